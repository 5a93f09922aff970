//! Inverse text normalization: rewrites spoken numbers, dates, times and amounts of money as
//! digits.
//!
//! The rules are WeTextProcessing's, compiled to two transducers per language: a tagger that finds
//! the expressions to rewrite, and a verbalizer that writes them. FunASR's runtime applies the same
//! grammars to its results (`--itn-dir`, `zh_itn_tagger.fst` and `zh_itn_verbalizer.fst`).
//!
//! Source: `wenet-e2e/WeTextProcessing` (`itn/`), and the `processor` of its runtimes.

mod align;
mod fst;
mod tagged;
#[cfg(test)]
mod tests;
mod units;

use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::{
    files::{self, need},
    recognizer::Error,
};
use align::Change;
use fst::Fst;
use units::{Unit, join, split, trim_punctuation};

/// Maximum number of words rewritten at once. Longer clauses are rewritten in windows of this many
/// words.
const MAX_WORDS: usize = 200;
/// Words at the end of a window that are searched again with the next one, so that no number is
/// cut.
const MARGIN: usize = 40;
/// Maximum number of units in a window whose words are whole sentences, because alignment takes
/// time and memory in proportion to its square.
const MAX_UNITS: usize = 2000;
/// English ordinals below ten stay words on their own, as numbers below ten do: "a second" is not a
/// number.
const SMALL_ORDINALS: [&str; 9] =
    ["first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth"];
/// Characters after which 十分 means ten minutes or points; otherwise it means "very".
const AFTER_TEN_MINUTES: [&str; 8] = ["钟", "之", "秒", "半", "多", "左", "以", "后"];

/// Inverse text normalization for one language.
///
/// ```no_run
/// # use speech::itn::Normalizer;
/// let normalizer = Normalizer::open("models/itn-zh".as_ref())?;
/// assert_eq!(normalizer.normalize("同比增长百分之六点三。"), "同比增长6.3%。");
/// # Ok::<(), speech::recognizer::Error>(())
/// ```
#[derive(Debug)]
pub struct Normalizer {
    tagger: Fst,
    verbalizer: Fst,
    digest: String,
}

/// A run of words and the text that replaces it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rewrite {
    /// Indices into the given words; never empty.
    pub words: Range<usize>,
    /// Never empty. May contain spaces: `5 2025`.
    pub text: String,
}

impl Normalizer {
    /// Opens the grammars in `directory`: `tagger.fst` and `verbalizer.fst`, or FunASR's names.
    ///
    /// # Errors
    /// [`Error::Model`] names the file that is missing or is not a transducer over bytes.
    pub fn open(directory: &Path) -> Result<Self, Error> {
        let paths: [PathBuf; 2] = [
            need(directory, &["tagger.fst", "zh_itn_tagger.fst"])?,
            need(directory, &["verbalizer.fst", "zh_itn_verbalizer.fst"])?,
        ];
        Ok(Self {
            tagger: Fst::open(&paths[0])?,
            verbalizer: Fst::open(&paths[1])?,
            digest: files::digest(&paths, "itn-1")?,
        })
    }

    /// Returns the grammars' digest, for fingerprints.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Returns the runs of `words` to replace, in order and without overlap; the other words stay
    /// unchanged. A rewrite starts with its first word and ends with its last.
    ///
    /// Punctuation at the end of a word stays there; upper case is kept in words that are not
    /// rewritten. In scripts without spaces a word may have one character or several.
    pub fn rewrite(&self, words: &[&str]) -> Vec<Rewrite> {
        let mut rewrites = Vec::new();
        let mut start = 0;
        for (index, word) in words.iter().enumerate() {
            // Quotes and backslashes would break the syntax between the two grammars.
            let excluded = word.contains(['"', '\\']);
            let ends = trim_punctuation(word).len() < word.len() || index + 1 == words.len();
            if excluded || ends {
                let end = if excluded { index } else { index + 1 };
                self.rewrite_clause(words, start..end, &mut rewrites);
                start = index + 1;
            }
        }
        rewrites
    }

    /// Rewrites one clause: words without punctuation between them.
    fn rewrite_clause(
        &self,
        words: &[&str],
        mut clause: Range<usize>,
        rewrites: &mut Vec<Rewrite>,
    ) {
        while clause.len() > MAX_WORDS {
            let window = clause.start..clause.start + MAX_WORDS;
            let safe = window.end - MARGIN;
            let found = self.rewrite_window(words, window.clone());
            let late = found.iter().find(|rewrite| rewrite.words.end > safe);
            clause.start = match late.map_or(safe, |late| late.words.start.min(safe)) {
                next if next > window.start => next,
                // No real number fills a window, so it may be cut.
                _ => window.end,
            };
            rewrites.extend(found.into_iter().filter(|found| found.words.end <= clause.start));
        }
        rewrites.extend(self.rewrite_window(words, clause));
    }

    /// Rewrites a text as [`Normalizer::rewrite`] does. Runs of spaces become single spaces.
    pub fn normalize(&self, text: &str) -> String {
        let units = split(text);
        let words: Vec<&str> = units.iter().map(|unit| unit.text).collect();
        let mut rewrites = self.rewrite(&words).into_iter().peekable();
        let (mut written, mut index) = (String::with_capacity(text.len()), 0);
        while let Some(&unit) = units.get(index) {
            match rewrites.next_if(|rewrite| rewrite.words.start == index) {
                Some(Rewrite { words, text }) => {
                    Unit { text: &text, ..unit }.write(&mut written);
                    index = words.end;
                }
                None => {
                    unit.write(&mut written);
                    index += 1;
                }
            }
        }
        written
    }

    /// Rewrites at most [`MAX_WORDS`] words of a clause.
    fn rewrite_window(&self, words: &[&str], clause: Range<usize>) -> Vec<Rewrite> {
        let mut rewrites = Vec::new();
        let cores: Vec<&str> =
            words[clause.clone()].iter().map(|word| trim_punctuation(word)).collect();
        let source = join(&cores).to_lowercase();
        let Some(written) = self.apply(&source).filter(|_| !source.is_empty()) else {
            return rewrites;
        };
        let (from, to) = (split(&source), split(&written));
        // The word that each unit of the source belongs to.
        let owners: Vec<usize> =
            (0..).zip(&cores).flat_map(|(i, core)| vec![i; split(core).len()]).collect();
        if from == to || owners.len() != from.len() || from.len().max(to.len()) > MAX_UNITS {
            return rewrites;
        }
        let [source, target] =
            [&from, &to].map(|units| units.iter().map(|unit| unit.text).collect::<Vec<_>>());
        let changes = align::changes(&source, &target);
        let mut done = 0;
        for change in changes.iter().filter(|change| !is_false_positive(&source, &change.source)) {
            let change = widen_to_words(change, &changes, &owners);
            // A word with several changes has been rewritten with the first.
            if change.source.start < done {
                continue;
            }
            done = change.source.end;
            let (first, last) = (owners[change.source.start], owners[change.source.end - 1]);
            let (first, last) = (clause.start + first, clause.start + last);
            let mut text = String::new();
            to[change.target].iter().for_each(|unit| unit.write(&mut text));
            if !text.is_empty() {
                text.push_str(&words[last][trim_punctuation(words[last]).len()..]);
                rewrites.push(Rewrite { words: first..last + 1, text });
            }
        }
        rewrites
    }

    /// Applies both grammars to a clause; returns `None` if they do not accept it.
    fn apply(&self, text: &str) -> Option<String> {
        let tagged = String::from_utf8(self.tagger.transduce(text.as_bytes())?).ok()?;
        let ordered = tagged::reorder(&tagged)?;
        String::from_utf8(self.verbalizer.transduce(ordered.as_bytes())?).ok()
    }
}

/// Returns whether the grammars took ordinary words for a number.
fn is_false_positive(source: &[&str], changed: &Range<usize>) -> bool {
    let next = |distance: usize| source.get(changed.end - 1 + distance).copied();
    match source[changed.clone()] {
        ["十"] if next(1) == Some("分") => {
            next(2).is_some_and(|after| !AFTER_TEN_MINUTES.contains(&after))
        }
        [word] => SMALL_ORDINALS.contains(&word),
        _ => false,
    }
}

/// Widens a change to whole words, and to the other changes in these.
fn widen_to_words(change: &Change, changes: &[Change], owners: &[usize]) -> Change {
    let mut source = change.source.clone();
    loop {
        let owner = owners[source.start];
        source.start -= owners[..source.start].iter().rev().take_while(|o| **o == owner).count();
        let owner = owners[source.end - 1];
        source.end += owners[source.end..].iter().take_while(|o| **o == owner).count();
        match (target_index(changes, source.start), target_index(changes, source.end)) {
            (Ok(start), Ok(end)) => return Change { source, target: start..end },
            (start, end) => {
                source.start = start.map_or_else(|inside| inside.source.start, |_| source.start);
                source.end = end.map_or_else(|inside| inside.source.end, |_| source.end);
            }
        }
    }
}

/// Returns the target index that corresponds to a source index, or the change that contains it.
fn target_index(changes: &[Change], source: usize) -> Result<usize, &Change> {
    let before = changes.iter().take_while(|change| change.source.start < source).last();
    match before {
        None => Ok(source),
        Some(change) if source < change.source.end => Err(change),
        // Between two changes both sides have the same units.
        Some(change) => Ok(change.target.end + source - change.source.end),
    }
}

/// Applies an untrusted grammar to a text, for the fuzzers.
#[cfg(feature = "test-util")]
pub(crate) fn transduce_untrusted(grammar: &[u8], text: &[u8]) -> Option<Vec<u8>> {
    Fst::parse(grammar).ok()?.transduce(text)
}
