//! The vocabulary: what a row of the network's output stands for.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

use crate::{
    files::{self, broken},
    recognizer::Error,
};

const NAMES: [&str; 2] = ["tokens.json", "tokens.txt"];
/// No vocabulary is larger; a broken file should not take all memory.
const MOST: usize = 1 << 20;

/// The symbols of a vocabulary, in the order of their ids.
#[derive(Debug)]
pub(crate) struct Tokens {
    symbols: Vec<String>,
    /// A symbol that is listed twice has its last id, as in FunASR.
    ids: HashMap<String, u32>,
    path: PathBuf,
}

impl Tokens {
    /// Opens `tokens.json` (a list of symbols) or `tokens.txt` (`symbol id`, or a symbol a line) of
    /// a directory.
    pub(crate) fn open(directory: &Path) -> Result<Self, Error> {
        Self::read(&files::need(directory, &NAMES)?)
    }

    /// As [`Self::open`]; where there is no such file, the list that old settings hold, in `config`.
    pub(crate) fn open_or(
        directory: &Path,
        listed: Option<Vec<String>>,
        config: &Path,
    ) -> Result<Self, Error> {
        match listed {
            Some(list) if files::find(directory, &NAMES).is_none() => Self::new(list, config),
            _ => Self::open(directory),
        }
    }

    fn read(path: &Path) -> Result<Self, Error> {
        let text = fs::read_to_string(path)
            .map_err(|error| broken(path, format!("cannot be read: {error}")))?;
        let text = text.trim_start_matches('\u{feff}');
        let symbols = if path.extension().is_some_and(|extension| extension == "json") {
            serde_json::from_str(text)
                .map_err(|error| broken(path, format!("is not a list of tokens: {error}")))?
        } else {
            parse(text).map_err(|message| broken(path, message))?
        };
        Self::new(symbols, path)
    }

    /// `path`: where the symbols come from, for messages.
    pub(crate) fn new(symbols: Vec<String>, path: &Path) -> Result<Self, Error> {
        if symbols.is_empty() || symbols.len() > MOST {
            return Err(broken(path, format!("holds {} tokens", symbols.len())));
        }
        let ids = symbols.iter().enumerate().map(|(id, symbol)| (symbol.clone(), id as u32));
        Ok(Self { ids: ids.collect(), symbols, path: path.to_owned() })
    }

    /// The file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn symbols(&self) -> &[String] {
        &self.symbols
    }

    /// `None` for an id that [`Self::fit`] would have refused.
    pub(crate) fn symbol(&self, id: u32) -> Option<&str> {
        self.symbols.get(id as usize).map(String::as_str)
    }

    pub(crate) fn id(&self, symbol: &str) -> Option<u32> {
        self.ids.get(symbol).copied()
    }

    /// Refuses a vocabulary of another size than the network's: every word would be wrong.
    pub(crate) fn fit(&self, network: usize) -> Result<(), Error> {
        if self.symbols.len() == network {
            return Ok(());
        }
        let message = format!(
            "holds {} tokens, but the network tells {network} apart: the files are of different \
             models, or this one is cut off; take both from the same release",
            self.symbols.len()
        );
        Err(broken(&self.path, message))
    }
}

/// `tokens.txt`: with ids if the first line has one.
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
        let (symbol, id) =
            split(line).ok_or_else(|| format!("line {number} is no token and id: `{line}`"))?;
        if id >= MOST {
            return Err(format!("line {number}: the id {id} is too large"));
        }
        if symbols.len() <= id {
            symbols.resize(id + 1, None);
        }
        if symbols[id].replace(symbol.to_owned()).is_some() {
            return Err(format!("line {number}: the id {id} is given a second time"));
        }
    }
    let missing = |id| format!("no line has the id {id}");
    symbols.into_iter().enumerate().map(|(id, symbol)| symbol.ok_or_else(|| missing(id))).collect()
}

/// `symbol id`, apart by a space or tab. The symbol may be empty: a space, in some vocabularies.
fn split(line: &str) -> Option<(&str, usize)> {
    let (symbol, id) = line.trim_end().rsplit_once([' ', '\t'])?;
    Some((symbol.trim(), id.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, text: &str) -> Result<Tokens, String> {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join(name);
        fs::write(&path, text).expect("write");
        Tokens::open(directory.path()).map_err(|error| error.to_string())
    }

    #[test]
    fn all_three_forms_are_one() {
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
    fn broken_files_say_where() {
        for (name, text, cause) in [
            ("tokens.json", "{}", "is not a list of tokens"),
            ("tokens.json", "[]", "holds 0 tokens"),
            ("tokens.txt", "", "holds 0 tokens"),
            ("tokens.txt", "a 0\nb\n", "line 2 is no token and id: `b`"),
            ("tokens.txt", "a 0\nb 0\n", "the id 0 is given a second time"),
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
    fn another_size_is_refused() {
        let tokens = read("tokens.txt", "a\nb\n").expect("two");
        tokens.fit(2).expect("fits");
        for network in [1, 3] {
            let message = tokens.fit(network).expect_err("does not fit").to_string();
            assert!(message.contains("tokens.txt: holds 2 tokens"), "{message}");
        }
    }
}
