//! The vocabulary: SentencePiece's pieces, in lines of `piece id`; the last one is the blank.

use std::path::{Path, PathBuf};

use crate::{files::broken, funasr, recognizer::Error};

/// Spellings of the blank.
const BLANKS: [&str; 2] = ["<blk>", "<blank>"];
/// SentencePiece's symbol for a space.
const SPACE: &str = "\u{2581}";
/// Limits: no piece is longer, and no vocabulary a larger file.
const MAX_PIECE_BYTES: usize = 256;
const MAX_FILE_BYTES: u64 = 16 << 20;

/// Meaning of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    Text(String),
    /// Letters or marks that the vocabulary cannot write, such as `Ё` in v3. The text has U+FFFD in their
    /// place: something was said there, and nobody knows what.
    Unknown,
    /// Language, emotion, speaker and the like; not text.
    Special,
}

/// Pieces ordered by id, without the blank.
#[derive(Debug)]
pub(super) struct Vocabulary {
    pieces: Vec<Piece>,
    path: PathBuf,
}

impl Vocabulary {
    /// Reads a file of lines of `piece id`, in any order.
    ///
    /// # Errors
    /// [`Error::Model`] says what is wrong with which line: not a piece and an id, an id twice or none, a
    /// piece that is empty or too long, or a last one that is not the blank.
    pub(super) fn read(path: &Path) -> Result<Self, Error> {
        let length = std::fs::metadata(path).map_or(0, |metadata| metadata.len());
        if length > MAX_FILE_BYTES {
            return Err(broken(path, format!("has {length} bytes: it is not a vocabulary")));
        }
        let symbols = funasr::Vocabulary::read(path)?;
        let symbols = symbols.symbols();
        let is_piece = |symbol: &String| (1..=MAX_PIECE_BYTES).contains(&symbol.len());
        if let Some(id) = symbols.iter().position(|symbol| !is_piece(symbol)) {
            let length = symbols[id].len();
            return Err(broken(path, format!("the piece of the id {id} has {length} bytes")));
        }
        match symbols {
            [pieces @ .., last] if BLANKS.contains(&last.as_str()) => {
                let pieces = pieces.iter().map(|symbol| Piece::from_symbol(symbol)).collect();
                Ok(Self { pieces, path: path.to_owned() })
            }
            _ => Err(broken(path, format!("does not end with the blank, `{}`", BLANKS[0]))),
        }
    }

    /// Returns the file that holds the pieces.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the pieces, ordered by id, without the blank, whose id is their number.
    pub(super) fn pieces(&self) -> &[Piece] {
        &self.pieces
    }
}

impl Piece {
    /// Returns the text that the piece stands for, with a space for U+2581.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Unknown => Some("\u{FFFD}"),
            Self::Special => None,
        }
    }

    fn from_symbol(symbol: &str) -> Self {
        match symbol {
            "<unk>" => Self::Unknown,
            "<pad>" | "<s>" | "</s>" => Self::Special,
            _ if symbol.starts_with("<|") && symbol.ends_with("|>") && symbol.len() > 4 => {
                Self::Special
            }
            _ => Self::Text(symbol.replace(SPACE, " ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;

    fn read(text: &str) -> Result<Vocabulary, String> {
        let directory = fixtures::directory(&[("pieces", text)]);
        Vocabulary::read(&directory.path().join("pieces")).map_err(|error| error.to_string())
    }

    #[test]
    fn pieces_are_text_or_not() {
        let text = "\u{feff}<unk> 0\r\n<|en|> 1\n<pad> 2\n▁the\t3\n▁ 4\n<| 6\n\n, 5\n<|emo:sad|> 7\n<blk> 8\n";
        let vocabulary = read(text).expect("a vocabulary");
        let texts: Vec<_> = vocabulary.pieces().iter().map(Piece::text).collect();
        let expected =
            [Some("\u{FFFD}"), None, None, Some(" the"), Some(" "), Some(","), Some("<|"), None];
        assert_eq!(texts, expected);
    }

    #[test]
    fn hostile_vocabularies_are_refused() {
        let long = format!("{} 0\n<blk> 1\n", "a".repeat(300));
        for (text, cause) in [
            ("", "holds 0 tokens"),
            ("a 0\nb 1\n", "does not end with the blank"),
            ("a 0\nb\n<blk> 2\n", "line 2 is not a token and an id: `b`"),
            ("a 0\n 1\n<blk> 2\n", "the piece of the id 1 has 0 bytes"),
            ("a -1\n<blk> 0\n", "does not end with the blank"),
            ("a 0\nb 0\n<blk> 1\n", "line 2: the id 0 appears a second time"),
            ("a 0\n<blk> 2\n", "no line has the id 1"),
            ("a 0\n<blk> 4000000000\n", "line 2: the id 4000000000 is too large"),
            ("a 0\n<blk> 99999999999999999999\n", "line 2 is not a token and an id"),
            (&*long, "the piece of the id 0 has 300 bytes"),
        ] {
            let message = read(text).expect_err(cause);
            assert!(message.contains(cause), "{message}");
        }
        assert!(read(&"x".repeat(MAX_FILE_BYTES as usize + 1)).is_err_and(|e| e.contains("bytes")));
        let line = format!("a 0\n{}\n", "x".repeat(1 << 20));
        assert!(read(&line).is_err_and(|message| message.len() < 300), "a short message");
    }
}
