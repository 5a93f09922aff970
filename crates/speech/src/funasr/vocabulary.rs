//! The vocabulary of a model: the symbol of each token id.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use crate::{
    files::{self, broken, broken_by},
    recognizer::Error,
};

const FILE_NAMES: [&str; 2] = ["tokens.json", "tokens.txt"];
/// No vocabulary is larger. The limit keeps a broken file from exhausting memory.
const MAX_TOKENS: usize = 1 << 20;

/// Symbols of a vocabulary, ordered by id.
#[derive(Debug)]
pub(crate) struct Vocabulary {
    symbols: Vec<String>,
    /// A symbol listed twice has its last id, as in FunASR.
    ids: HashMap<String, u32>,
    path: PathBuf,
}

impl Vocabulary {
    /// Opens `tokens.json` (a list of symbols) or `tokens.txt` (lines of `symbol id`, or of a
    /// symbol) of a directory.
    pub(crate) fn open(directory: &Path) -> Result<Self, Error> {
        Self::read(&files::need(directory, &FILE_NAMES)?)
    }

    /// Like [`Self::open`]; if there is no such file, takes the symbols that old settings in
    /// `config` list.
    pub(crate) fn open_or(
        directory: &Path,
        listed: Option<Vec<String>>,
        config: &Path,
    ) -> Result<Self, Error> {
        match listed {
            Some(list) if files::find(directory, &FILE_NAMES).is_none() => Self::new(list, config),
            _ => Self::open(directory),
        }
    }

    /// Reads a file of one of these formats.
    pub(crate) fn read(path: &Path) -> Result<Self, Error> {
        let text = files::read_text(path)?;
        let text = text.trim_start_matches('\u{feff}');
        let symbols = if path.extension().is_some_and(|extension| extension == "json") {
            serde_json::from_str(text)
                .map_err(|error| broken_by(path, "is not a list of tokens", error))?
        } else {
            parse(text).map_err(|message| broken(path, message))?
        };
        Self::new(symbols, path)
    }

    /// Makes a vocabulary of `symbols` that come from the file `path`.
    pub(crate) fn new(symbols: Vec<String>, path: &Path) -> Result<Self, Error> {
        if symbols.is_empty() || symbols.len() > MAX_TOKENS {
            return Err(broken(path, format!("holds {} tokens", symbols.len())));
        }
        let ids = symbols.iter().enumerate().map(|(id, symbol)| (symbol.clone(), id as u32));
        Ok(Self { ids: ids.collect(), symbols, path: path.to_owned() })
    }

    /// Returns the file that holds the symbols.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn symbols(&self) -> &[String] {
        &self.symbols
    }

    /// Returns the symbol of a token; `None` for an id outside the vocabulary.
    pub(crate) fn symbol(&self, id: u32) -> Option<&str> {
        self.symbols.get(id as usize).map(String::as_str)
    }

    pub(crate) fn id(&self, symbol: &str) -> Option<u32> {
        self.ids.get(symbol).copied()
    }

    /// Refuses a vocabulary that differs in size from the network's output, because every word
    /// would be wrong.
    pub(crate) fn check_size(&self, classes: usize) -> Result<(), Error> {
        if self.symbols.len() == classes {
            return Ok(());
        }
        let message = format!(
            "holds {} tokens, but the network has {classes} classes: the files are from different \
             models, or this one is truncated; take both from the same release",
            self.symbols.len()
        );
        Err(broken(&self.path, message))
    }
}

/// Parses `tokens.txt`, whose lines have ids if the first line has one.
fn parse(text: &str) -> Result<Vec<String>, String> {
    let lines = || text.lines().enumerate().map(|(index, line)| (index + 1, line));
    let numbered = text.lines().next().is_some_and(|line| split(line).is_some());
    if !numbered {
        return lines()
            .map(|(number, line)| match line.trim() {
                "" => Err(format!("line {number} is empty")),
                symbol => Ok(symbol.to_owned()),
            })
            .collect();
    }
    let mut symbols: Vec<Option<String>> = Vec::new();
    for (number, line) in lines().filter(|(_, line)| !line.trim().is_empty()) {
        let (symbol, id) = split(line).ok_or_else(|| {
            let line: String = line.chars().take(40).collect();
            format!("line {number} is not a token and an id: `{line}`")
        })?;
        if id >= MAX_TOKENS {
            return Err(format!("line {number}: the id {id} is too large"));
        }
        if symbols.len() <= id {
            symbols.resize(id + 1, None);
        }
        if symbols[id].replace(symbol.to_owned()).is_some() {
            return Err(format!("line {number}: the id {id} appears a second time"));
        }
    }
    let missing = |id| format!("no line has the id {id}");
    symbols.into_iter().enumerate().map(|(id, symbol)| symbol.ok_or_else(|| missing(id))).collect()
}

/// Splits `symbol id` at a space or tab. The symbol may be empty, because some vocabularies contain
/// the space itself.
fn split(line: &str) -> Option<(&str, usize)> {
    let (symbol, id) = line.trim_end().rsplit_once([' ', '\t'])?;
    Some((symbol.trim(), id.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;
    use errors::Chain;

    fn read(name: &str, text: &str) -> Result<Vocabulary, String> {
        let directory = fixtures::directory(&[(name, text)]);
        Vocabulary::open(directory.path()).map_err(|error| Chain(&error).to_string())
    }

    #[test]
    fn all_formats_give_the_same_vocabulary() {
        for (name, text) in [
            ("tokens.json", "[\"<blank>\", \"你\", \"a@@\"]"),
            ("tokens.txt", "<blank> 0\n你 1\r\na@@ 2\n\n"),
            ("tokens.txt", "a@@ 2\n<blank>\t0\n你 1"),
            ("tokens.txt", "\u{feff}<blank>\n你\na@@\n"),
        ] {
            let tokens = read(name, text).expect(text);
            assert_eq!(tokens.symbols(), ["<blank>", "你", "a@@"], "{text:?}");
            assert_eq!((tokens.symbol(1), tokens.symbol(3)), (Some("你"), None));
            assert_eq!((tokens.id("a@@"), tokens.id("b")), (Some(2), None));
        }
    }

    #[test]
    fn errors_in_broken_files_name_the_line() {
        for (name, text, cause) in [
            ("tokens.json", "{}", "is not a list of tokens"),
            ("tokens.json", "[]", "holds 0 tokens"),
            ("tokens.txt", "", "holds 0 tokens"),
            ("tokens.txt", "a 0\nb\n", "line 2 is not a token and an id: `b`"),
            ("tokens.txt", "a 0\nb 0\n", "the id 0 appears a second time"),
            ("tokens.txt", "a 0\nb 2\n", "no line has the id 1"),
            ("tokens.txt", "a 0\nb 99999999999\n", "is too large"),
            ("tokens.txt", "a\n\nb\n", "line 2 is empty"),
            ("other.txt", "", "no tokens.json or tokens.txt"),
        ] {
            let message = read(name, text).expect_err(cause);
            assert!(message.contains(cause), "{message}");
        }
    }

    #[test]
    fn refuses_another_size_than_the_networks() {
        let tokens = read("tokens.txt", "a\nb\n").expect("two");
        tokens.check_size(2).expect("fits");
        for classes in [1, 3] {
            let message = tokens.check_size(classes).expect_err("does not fit").to_string();
            assert!(message.contains("tokens.txt: holds 2 tokens"), "{message}");
        }
    }
}
