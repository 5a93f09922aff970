//! The network's classes: pieces of a SentencePiece model, or a list of tokens.

use std::{io::Cursor, path::Path};

use protobuf::{Reader, Span, Value};

use crate::{
    files::{self, broken, broken_by, find},
    funasr::Vocabulary,
    recognizer::Error,
};

/// SentencePiece's symbol for a space.
const SPACE: &str = "\u{2581}";
const MODELS: [&str; 2] = ["chn_jpn_yue_eng_ko_spectok.bpe.model", "bpe.model"];

/// Meaning of a class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    /// The beginning or end of a sentence, or an unknown symbol; not written.
    Nothing,
    /// Information about the text: the name between `<|` and `|>`.
    Tag(String),
    /// UTF-8, possibly only a part of a character.
    Text(Vec<u8>),
}

/// Reads the pieces of a model directory, ordered by id; also returns the file that holds them.
pub(super) fn open(directory: &Path) -> Result<(Vec<Piece>, std::path::PathBuf), Error> {
    let Some(path) = find(directory, &MODELS) else {
        let vocabulary = Vocabulary::open(directory).map_err(|error| match error {
            Error::Model { path, message, .. } if path == directory => {
                broken(directory, format!("{message}, nor a {}", MODELS[0]))
            }
            error => error,
        })?;
        let pieces = vocabulary.symbols().iter().map(|symbol| Piece::from_symbol(symbol)).collect();
        return Ok((pieces, vocabulary.path().to_owned()));
    };
    let pieces = parse(&files::read(&path)?)
        .map_err(|error| broken_by(&path, "is not a SentencePiece model", error))?;
    if pieces.is_empty() {
        return Err(broken(&path, "holds no pieces"));
    }
    Ok((pieces, path))
}

impl Piece {
    /// Interprets a symbol of the vocabulary.
    fn from_symbol(symbol: &str) -> Self {
        if let Some(tag) = symbol.strip_prefix("<|").and_then(|rest| rest.strip_suffix("|>")) {
            Self::Tag(tag.to_owned())
        } else if ["<unk>", "<s>", "</s>", "<blank>", "<pad>"].contains(&symbol) {
            Self::Nothing
        } else if let Some(byte) = byte(symbol) {
            Self::Text(vec![byte])
        } else {
            Self::Text(symbol.replace(SPACE, " ").into_bytes())
        }
    }
}

/// Parses `<0xE4>`, a byte of a character without a piece of its own.
fn byte(symbol: &str) -> Option<u8> {
    let digits = symbol.strip_prefix("<0x")?.strip_suffix('>')?;
    let is_byte = digits.len() == 2 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    u8::from_str_radix(digits, 16).ok().filter(|_| is_byte)
}

/// Reads `ModelProto` of `sentencepiece_model.proto`, whose first field is the pieces.
fn parse(model: &[u8]) -> Result<Vec<Piece>, protobuf::Error> {
    let mut pieces = Vec::new();
    let mut reader = Reader::from_slice(model);
    let mut message = reader.input();
    while let Some(field) = reader.next_field(&mut message)? {
        if let (1, Value::Bytes(piece)) = (field.number, field.value) {
            pieces.push(parse_piece(&mut reader, piece)?);
        }
    }
    Ok(pieces)
}

/// Reads `SentencePiece`: `piece = 1`, `score = 2`, `type = 3`.
fn parse_piece(
    reader: &mut Reader<Cursor<&[u8]>>,
    mut message: Span,
) -> Result<Piece, protobuf::Error> {
    const UNKNOWN: u64 = 2;
    const CONTROL: u64 = 3;
    let (mut symbol, mut kind) = (Vec::new(), 0);
    while let Some(field) = reader.next_field(&mut message)? {
        match (field.number, field.value) {
            // The whole model is in memory, so a copy of a part of it needs no limit.
            (1, Value::Bytes(bytes)) => symbol = reader.bytes(&bytes, u64::MAX)?,
            (3, Value::Varint(number)) => kind = number,
            _ => {}
        }
    }
    let piece = Piece::from_symbol(&String::from_utf8_lossy(&symbol));
    let is_hidden = matches!(kind, UNKNOWN | CONTROL) && !matches!(piece, Piece::Tag(_));
    Ok(if is_hidden { Piece::Nothing } else { piece })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Piece {
        Piece::Text(text.into())
    }

    #[test]
    fn interprets_symbols() {
        for (symbol, piece) in [
            ("<|zh|>", Piece::Tag("zh".into())),
            ("<unk>", Piece::Nothing),
            ("</s>", Piece::Nothing),
            ("<0xE4>", Piece::Text(vec![0xE4])),
            ("<0xE4", text("<0xE4")),
            ("<0x+4>", text("<0x+4>")),
            ("▁the", text(" the")),
            ("▁", text(" ")),
            ("你", text("你")),
            ("<|", text("<|")),
        ] {
            assert_eq!(Piece::from_symbol(symbol), piece);
        }
    }

    #[test]
    fn damaged_models_are_refused() {
        // Two pieces (score, type 3; no type), then a field of trainer settings.
        let good =
            b"\x0a\x0c\x0a\x03<s>\x15\0\0\0\0\x18\x03\x0a\x05\x0a\x03\xe4\xbd\xa0\x12\x02\x08\x01";
        assert_eq!(parse(good).unwrap(), [Piece::Nothing, text("你")]);
        for length in [1, 2, 5, 13, 16, 20, 22] {
            assert!(parse(&good[..length]).is_err(), "{length}");
        }
        assert!(parse(&[0xFF; 30]).is_err());
        assert!(parse(b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f").is_err());
        assert_eq!(parse(b"").unwrap(), []);
    }
}
