//! What people type: standard input, patterns, lists, other programs' spellings, and what they see.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::support::{
    Ran, SENTENCE, Scriptorium, models, read_json, sentence_samples, speech, text_of, write_wav,
};

/// Runs a command with this standard input.
fn run_with_input(scriptorium: &Scriptorium, arguments: &[&str], input: &[u8]) -> Ran {
    let mut command = scriptorium.command(arguments);
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = command.spawn().unwrap();
    // A command that refuses its arguments does not read.
    let _ = process.stdin.take().unwrap().write_all(input);
    Ran::from(process.wait_with_output().unwrap())
}

/// Copies the sentence to these names below a new folder.
fn recordings(names: &[&str]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for name in names {
        let path = root.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::copy(speech("sentence.opus"), path).unwrap();
    }
    root
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_recording_comes_from_standard_input() {
    let Some(models) = models() else { return };
    let scriptorium = Scriptorium::new(&models);
    let recording = fs::read(speech("sentence.mp4")).unwrap();
    let ran = run_with_input(&scriptorium, &["transcribe", "-", "-f", "json"], &recording);
    let transcript = ran.expect_code(0).json();
    assert_eq!(transcript["source"]["uri"], "file:///dev/stdin");
    assert_eq!(text_of(&transcript), SENTENCE);

    let out = tempfile::tempdir().unwrap();
    let arguments = ["transcribe", "-", "-o", out.path().to_str().unwrap(), "-f", "txt"];
    run_with_input(&scriptorium, &arguments, &recording).expect_code(0);
    assert_eq!(fs::read_to_string(out.path().join("stdin.txt")).unwrap().trim(), SENTENCE);

    let small = Scriptorium::new(&models).with("SCRIPTORIUM__AUDIO__MAX_BYTES", "1000");
    let ran = run_with_input(&small, &["transcribe", "-"], &recording).expect_code(1);
    assert!(ran.stderr.contains("audio.max_bytes"), "{}", ran.stderr);
    let nothing = run_with_input(&scriptorium, &["transcribe", "-"], b"").expect_code(1);
    assert!(nothing.stderr.contains("audio_empty"), "{}", nothing.stderr);
    let both = ["transcribe", "-", "--files-from", "-"];
    run_with_input(&scriptorium, &both, b"").expect_code(2);
}

#[test]
fn paths_come_from_patterns_and_lists() {
    let Some(models) = models() else { return };
    let scriptorium = Scriptorium::new(&models);
    let root = recordings(&["2024-01/a.opus", "2024-02/b.opus", "2025-01/c.opus", "[x].opus"]);
    let below = |name: &str| text(&root.path().join(name));
    let survey = |arguments: &[&str], input: &str| {
        let all = [&["transcribe", "--dry-run", "-o", "/nowhere"], arguments].concat();
        run_with_input(&scriptorium, &all, input.as_bytes())
    };
    let listed = |ran: Ran| {
        let mut names: Vec<String> =
            ran.stdout.lines().map(|line| line.split(" -> ").next().unwrap().to_owned()).collect();
        names.sort();
        names
    };
    let pattern = below("2024-*/*.opus");
    let ran = survey(&[&pattern], "").expect_code(0);
    assert!(ran.stdout.contains("/2024-01/a.opus -> /nowhere/2024-01/a.opus.json"), "{ran:?}");
    assert_eq!(listed(ran), [below("2024-01/a.opus"), below("2024-02/b.opus")]);
    // A file of this very name is no pattern.
    assert_eq!(listed(survey(&[&below("[x].opus")], "").expect_code(0)), [below("[x].opus")]);
    let none = survey(&[&below("*.wav")], "").expect_code(1);
    assert!(none.stderr.contains("no recording matches"), "{}", none.stderr);

    let list = format!("{}\r\n\n{}\n", below("2024-01/a.opus"), below("2025-01"));
    let ran = survey(&["--files-from", "-", "--exclude", "a.*"], &list).expect_code(0);
    assert_eq!(listed(ran), [below("2025-01/c.opus")]);
    let file = root.path().join("list.txt");
    fs::write(&file, list).unwrap();
    let ran = survey(&["--files-from", &text(&file), "--json"], "").expect_code(0);
    assert_eq!((&ran.json()["recordings"], &ran.json()["failed"]), (&2.into(), &0.into()));
    let missing = survey(&["--files-from", "/nowhere/list"], "").expect_code(2);
    assert!(missing.stderr.contains("--files-from /nowhere/list"), "{}", missing.stderr);
    assert!(!Path::new("/nowhere").exists(), "a dry run writes nothing");
}

#[test]
fn whispers_spellings_are_understood_with_a_hint() {
    let Some(models) = models() else { return };
    let root = recordings(&["a.opus"]);
    let out = text(&root.path().join("out"));
    let source = text(&root.path().join("a.opus"));
    let arguments = ["transcribe", &source, "--output_dir", &out, "--output_format", "all"];
    let more = ["--word_timestamps", "False", "--compute_type", "float32", "--device", "cpu"];
    let ran = Scriptorium::new(&models).run(arguments.iter().chain(&more)).expect_code(0);
    for hint in ["hint: --output_dir", "is --out", "--no-word-times", "has no effect"] {
        assert!(ran.stderr.contains(hint), "{hint}: {}", ran.stderr);
    }
    let transcript = read_json(&root.path().join("out/a.opus.json"));
    assert_eq!(transcript["pipeline"]["precision"], "f32");
    assert_eq!(transcript["segments"][0].get("words"), None);
    assert!(root.path().join("out/a.opus.tsv").is_file());
    let typo =
        Scriptorium::new(&models).run(["transcribe", &source, "--formt", "x"]).expect_code(2);
    assert!(typo.stderr.contains("'--format'"), "{}", typo.stderr);
}

#[test]
fn several_transcripts_on_standard_output_can_be_told_apart() {
    let Some(models) = models() else { return };
    let scriptorium = Scriptorium::new(&models);
    let root = recordings(&["Müller 1.opus", "b.opus"]);
    let folder = text(root.path());
    let lines = scriptorium.run(["transcribe", &folder, "-f", "json"]).expect_code(0).stdout;
    let transcripts: Vec<Value> =
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(transcripts.len(), 2, "{lines}");
    assert!(transcripts.iter().all(|transcript| text_of(transcript) == SENTENCE));
    let texts = scriptorium.run(["transcribe", &folder]).expect_code(0).stdout;
    let title = format!("== {folder}/Müller 1.opus\n{SENTENCE}\n");
    assert!(texts.contains(&title), "{texts}");
    let refused = scriptorium.run(["transcribe", &folder, "-f", "srt"]).expect_code(2);
    assert!(refused.stderr.contains("--out"), "{}", refused.stderr);
    let file = scriptorium.run(["transcribe", &folder, "-o", "talk.srt"]).expect_code(2);
    assert!(file.stderr.contains("> talk.srt"), "{}", file.stderr);
}

#[test]
fn quiet_shows_failures_only() {
    let Some(models) = models() else { return };
    let scriptorium = Scriptorium::new(&models);
    let root = recordings(&["a.opus"]);
    let out = text(&root.path().join("out"));
    let source = text(&root.path().join("a.opus"));
    let ran = scriptorium.run(["transcribe", &source, "-q", "-o", &out]).expect_code(0);
    assert_eq!((&*ran.stdout, &*ran.stderr), ("", ""));
    let missing = text(&root.path().join("b.opus"));
    let ran = scriptorium.run(["-q", "transcribe", &source, &missing, "-o", &out]).expect_code(1);
    assert!(ran.stderr.contains("source_missing: Check the name"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("os error"), "{}", ran.stderr);
    // Libraries are silent, also where this program says much.
    let ran = scriptorium.run(["transcribe", &source, "-v"]).expect_code(0);
    let foreign = ["tract", "symphonia", "hyper"];
    assert!(!foreign.iter().any(|name| ran.stderr.contains(name)), "{}", ran.stderr);
}

/// On a terminal, which `script` makes.
#[test]
fn text_appears_while_a_single_recording_is_transcribed() {
    let Some(models) = models() else { return };
    let root = recordings(&["a.opus"]);
    let binary = env!("CARGO_BIN_EXE_scriptorium");
    let command =
        format!("stty cols 45 rows 24; {binary} transcribe {}", text(&root.path().join("a.opus")));
    let ran = Command::new("script")
        .args(["--quiet", "--return", "--command", &command, "/dev/null"])
        .env("SCRIPTORIUM__MODELS__DIRECTORY", models)
        .env("HOME", root.path())
        .env_remove("XDG_STATE_HOME")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let screen = Ran::from(ran).expect_code(0).stdout;
    let shown: Vec<&str> = screen.split(['\r', '\n']).collect();
    let is_sentence = |line: &&&str| line.ends_with(SENTENCE);
    assert_eq!(
        shown.iter().filter(is_sentence).count(),
        1,
        "once, not again at the end: {screen:?}"
    );
    // Without the sequence that clears a line, and the spaces that fill it.
    let bars = shown.iter().filter(|line| line.contains("real time"));
    for bar in bars.filter(|line| !line.contains("transcribed")) {
        let columns = bar.replace("\u{1b}[2K", "").trim_end().chars().count();
        assert!(columns < 45, "{columns}: {bar:?}");
    }
}

#[test]
fn an_interrupted_recording_goes_on_where_it_was() {
    let Some(models) = models() else { return };
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("long.wav");
    let mut samples = sentence_samples();
    samples.resize(samples.len() + 24_000, 0);
    let repeated = samples.len() * 40;
    let bytes = u32::try_from(2 * repeated).unwrap();
    write_wav(&path, 16_000, 1, bytes, samples.iter().copied().cycle().take(repeated));

    let scriptorium = Scriptorium::new(&models).with("SCRIPTORIUM__COMPUTE__THREADS", "1");
    let (path, out) = (text(&path), text(&root.path().join("out")));
    let arguments = ["transcribe", &path, "-o", &out, "--print"];
    let mut command = scriptorium.command(arguments);
    let mut process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    assert!(first.starts_with("long.wav [0:0") && first.ends_with(SENTENCE), "{first}");
    let pid = process.id().to_string();
    assert!(Command::new("kill").args(["-s", "INT", &pid]).status().unwrap().success());
    let heard = lines.count();
    assert_eq!(process.wait().unwrap().code(), Some(130), "after {heard} lines");
    assert!(!Path::new(&out).join("long.wav.json").exists());

    let second = scriptorium.run(arguments).expect_code(0);
    assert!(second.stderr.contains("were transcribed before"), "{second:?}");
    let resumed = read_json(&Path::new(&out).join("long.wav.json"));
    let whole = root.path().join("whole");
    let whole_text = text(&whole);
    let third = scriptorium.run(["transcribe", &path, "-o", &whole_text]).expect_code(0);
    assert!(!third.stderr.contains("going on"), "what is done is not kept: {third:?}");
    let at_once = read_json(&whole.join("long.wav.json"));
    assert_eq!(resumed["segments"], at_once["segments"]);
    assert!(text_of(&resumed).matches("amiable").count() >= 20, "{resumed}");
}
