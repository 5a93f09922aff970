//! Every command line of this program in the documentation, and in its own help, parses. What the blocks of the main
//! pages do is tried by tests/docs/run.sh.

mod shell;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use clap::{
    CommandFactory, Parser,
    error::{ContextKind, ContextValue, ErrorKind},
};

use crate::{args::Arguments, as_clap_reads_them};

/// Where pages are. CHANGELOG.md tells of flags that are gone.
const PAGES: [&str; 9] = [
    "README.md",
    "CONTRIBUTING.md",
    "RELEASING.md",
    "SECURITY.md",
    "docs",
    "infra",
    "helm",
    "examples",
    "crates",
];
/// Languages of blocks of commands. In those without one, only what begins with the name of the program counts.
const LANGUAGES: [&str; 5] = ["", "sh", "bash", "shell", "console"];

/// A command line, and where it stands.
struct Found {
    place: String,
    words: Vec<String>,
    /// Whether it is a mention, which may leave out what the command needs.
    is_mention: bool,
}

impl Found {
    /// Returns why the command line does not parse.
    fn complaint(&self) -> Option<String> {
        let (words, _hints) = as_clap_reads_them(self.words.iter().map(Into::into));
        let error = Arguments::try_parse_from(words).err()?;
        let is_incomplete = matches!(
            error.kind(),
            ErrorKind::MissingRequiredArgument | ErrorKind::MissingSubcommand
        ) || error.kind()
            == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
        match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => None,
            _ if self.is_mention && (is_incomplete || names_placeholder(&error)) => None,
            _ => Some(format!("{}: {}\n{error}", self.place, self.words.join(" "))),
        }
    }
}

/// Whether a value is refused that stands for one, as in `--notify URL`.
fn names_placeholder(error: &clap::Error) -> bool {
    let value = error.get(ContextKind::InvalidValue);
    matches!(value, Some(ContextValue::String(value)) if value.bytes().all(|b| b.is_ascii_uppercase()))
}

/// Returns the command lines of a page: those of its blocks, and those that its text mentions.
fn of_page(name: &str, text: &str) -> Vec<Found> {
    let mut found = Vec::new();
    // The block that is open: its fence, whether it has commands, its first line and its text.
    let mut open: Option<(&str, bool, usize, String)> = None;
    for (index, line) in text.lines().enumerate() {
        let trimmed = line.trim_start();
        match &mut open {
            Some((fence, has_commands, first, block)) => {
                if trimmed.trim_end() == *fence {
                    if *has_commands {
                        found.extend(of_block(&format!("{name}:{first}"), block));
                    }
                    open = None;
                } else {
                    block.push_str(line);
                    block.push('\n');
                }
            }
            None if trimmed.starts_with("```") => {
                let language = trimmed.trim_start_matches('`');
                let fence = &trimmed[..trimmed.len() - language.len()];
                let language = language.split_whitespace().next().unwrap_or_default();
                open = Some((fence, LANGUAGES.contains(&language), index + 2, String::new()));
            }
            None => found.extend(of_text(&format!("{name}:{}", index + 1), line)),
        }
    }
    found
}

fn of_block(place: &str, block: &str) -> Vec<Found> {
    let found = |words| Found { place: place.to_owned(), words, is_mention: false };
    shell::commands(&without_prompts(block))
        .into_iter()
        .filter_map(|words| of_command(&words))
        .map(found)
        .collect()
}

/// Returns the typed lines of a console session, if it is one.
fn without_prompts(block: &str) -> String {
    let typed: Vec<_> = block.lines().filter_map(|line| line.strip_prefix("$ ")).collect();
    if typed.is_empty() { block.to_owned() } else { typed.join("\n") }
}

/// Returns the arguments of this program in a command, its name included.
fn of_command(words: &[String]) -> Option<Vec<String>> {
    let is_assignment = |word: &str| {
        word.split_once('=').is_some_and(|(name, _)| {
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        })
    };
    let is_program = |word: &str| word.rsplit('/').next() == Some("scriptorium");
    let start = words.iter().position(|word| {
        !is_assignment(word) && !["sudo", "exec", "env", "time"].contains(&&**word)
    })?;
    let words = &words[start..];
    let own = match words[0].as_str() {
        // The image's entry point is the program.
        "docker" | "podman" if words.get(1).is_some_and(|word| word == "run") => {
            let image = |word: &&String| {
                word.contains("/scriptorium")
                    && !word.starts_with(['-', '"', '$'])
                    && !word.contains('=')
            };
            let at = words.iter().position(|word| image(&word))?;
            &words[at + 1..]
        }
        program if is_program(program) => &words[1..],
        _ => return None,
    };
    let name = std::iter::once("scriptorium".to_owned());
    // The name alone is a line of a figure.
    (!own.is_empty()).then(|| name.chain(own.iter().cloned()).collect())
}

/// Returns the command lines that a line of text mentions as code, with or without the name of the program.
fn of_text(place: &str, line: &str) -> Vec<Found> {
    let command = Arguments::command();
    let is_command = |word: &str| command.get_subcommands().any(|known| known.get_name() == word);
    let code = line.split('`').skip(1).step_by(2);
    let mentioned = code.filter_map(|code| {
        let mut words = shell::commands(code).into_iter().next()?;
        if words.first().is_some_and(|word| is_command(word)) {
            words.insert(0, "scriptorium".to_owned());
        }
        let has_flags = words.iter().any(|word| word.starts_with("--"));
        let words = of_command(&words).filter(|_| has_flags)?;
        Some(Found { place: place.to_owned(), words, is_mention: true })
    });
    mentioned.collect()
}

/// Returns the examples in the help of a command and of those below it.
fn of_help(command: &clap::Command, found: &mut Vec<Found>) {
    let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    for line in help.lines().filter(|line| line.starts_with("  ")) {
        found.extend(of_block(&format!("help of {}", command.get_name()), line));
    }
    command.get_subcommands().for_each(|command| of_help(command, found));
}

fn pages(path: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    if path.is_dir() {
        for entry in fs::read_dir(path)? {
            pages(&entry?.path(), found)?;
        }
    } else if path.extension().is_some_and(|extension| extension == "md") {
        found.push(path.to_owned());
    }
    Ok(())
}

#[test]
fn every_command_line_in_the_documentation_parses() -> io::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut paths = Vec::new();
    for name in PAGES {
        pages(&root.join(name), &mut paths)?;
    }
    paths.sort();
    let mut found = Vec::new();
    for path in paths {
        let name = path.strip_prefix(&root).unwrap_or(&path).display().to_string();
        found.extend(of_page(&name, &fs::read_to_string(&path)?));
    }
    let blocks = found.iter().filter(|found| !found.is_mention).count();
    assert!(
        blocks > 30,
        "only {blocks} command lines were found: the pages are not read as they should be"
    );
    let complaints: Vec<_> = found.iter().filter_map(Found::complaint).collect();
    assert!(
        complaints.is_empty(),
        "{} of {}:\n{}",
        complaints.len(),
        found.len(),
        complaints.join("\n")
    );
    Ok(())
}

#[test]
fn every_example_in_the_help_parses() {
    let mut found = Vec::new();
    of_help(&Arguments::command(), &mut found);
    assert!(found.len() > 30, "only {} examples were found", found.len());
    let complaints: Vec<_> = found.iter().filter_map(Found::complaint).collect();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

/// Mistakes that were planted are found, wherever they stand.
#[test]
fn a_wrong_command_line_is_found() {
    for text in [
        "```sh\nscriptorium submit a --out b --formats srt\n```",
        "```\nscriptorium transcribe \\\n    talk.mp3 --modell x   # a comment\n```",
        "1. Do this:\n\n   ```sh\n   KEY=1 target/release/scriptorium statuss X\n   ```",
        "```console\n$ scriptorium status\nno output\n```",
        "```sh\nfor f in *; do scriptorium transcribe \"$f\" --outt x; done\n```",
        "```sh\nsh -c 'echo; exec scriptorium bench --run 1'\n```",
        "```sh\necho \"$(scriptorium results X --jsn | jq)\" && true\n```",
        "```sh\ndocker run --rm -v \"$PWD:/w\" ghcr.io/scriptorium-asr/scriptorium models pul x\n```",
        "say `scriptorium submit --bach ID` or",
        "say `status --waitt`",
    ] {
        let found = of_page("page", text);
        let complaints: Vec<_> = found.iter().filter_map(Found::complaint).collect();
        assert_eq!(complaints.len(), 1, "{text}: {complaints:?}");
    }
    for text in [
        "```json\nscriptorium nonsense\n```",
        "`scriptorium submit --wait` and `transcribe --speakers` and `scriptorium`, `models`",
        "```sh\nhelm install scriptorium oci://x/scriptorium --namespace speech\n```",
        "```\nscriptorium config --json > \"a b\" 2>&1 | head -n 1; ls # scriptorium x\n```",
    ] {
        assert!(of_page("page", text).iter().all(|found| found.complaint().is_none()), "{text}");
    }
}
