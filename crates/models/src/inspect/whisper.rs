//! Whisper in CTranslate2's format (`ModelSpec._serialize` in its `specs/model_spec.py`).

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use super::Inspection;
use super::checks::Checks;
use super::files::Directory;
use crate::family::WeightFormat;

/// Number of symbols of the English-only models; multilingual ones have more.
const ENGLISH_SYMBOLS: u64 = 51864;
/// Bytes of a name.
const MAX_NAME: u16 = 4096;

/// Inspects a directory with a `model.bin`.
pub(super) fn inspect(directory: &Directory, inspection: &mut Inspection) {
    let count = match directory.first_of(&["vocabulary.txt", "vocabulary.json"]) {
        // Of the multilingual models a symbol is empty, and its line blank.
        Some(file @ "vocabulary.txt") => directory.count_lines(file).ok(),
        Some(file) => directory.count_tokens(file).ok(),
        None => None,
    };
    if let Some(count) = count {
        inspection.vocabulary = Some(count);
        let language = if count <= ENGLISH_SYMBOLS { "en" } else { "multilingual" };
        inspection.languages = vec![language.to_owned()];
    }
    match weight_format(&directory.path("model.bin")) {
        Ok(format) => inspection.weight_formats = vec![format],
        Err(cause) => {
            let remedy = "download it again completely, or convert the model again";
            Checks::new(directory, inspection).add_problem("model.bin", cause, remedy);
        }
    }
    let mut checks = Checks::new(directory, inspection);
    checks.require(&["config.json"], "the model's configuration");
    checks.require(&["tokenizer.json"], "the tokenizer");
}

/// Returns the format of most of the weights.
fn weight_format(path: &Path) -> Result<WeightFormat, String> {
    let read = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::UnexpectedEof => "it is truncated".to_owned(),
        _ => error.to_string(),
    };
    let mut input = BufReader::new(File::open(path).map_err(read)?);
    let version = number::<4>(&mut input).map_err(read)?;
    if !(4..=6).contains(&version) {
        return Err(format!("not CTranslate2's format, or an unknown version of it: {version}"));
    }
    let spec = name(&mut input)?;
    if spec != "WhisperSpec" {
        return Err(format!("a model of another kind: {spec:?}"));
    }
    let _revision = number::<4>(&mut input).map_err(read)?;
    let count = number::<4>(&mut input).map_err(read)?;
    // Bytes per format.
    let mut bytes = [
        (WeightFormat::F32, 0),
        (WeightFormat::Int8, 0),
        (WeightFormat::F16, 0),
        (WeightFormat::Bf16, 0),
    ];
    for _ in 0..count {
        name(&mut input)?;
        let rank = number::<1>(&mut input).map_err(read)?;
        for _ in 0..rank {
            number::<4>(&mut input).map_err(read)?;
        }
        let kind = number::<1>(&mut input).map_err(read)?;
        let length = number::<4>(&mut input).map_err(read)?;
        let index = match kind {
            0 => Some(0),
            1 => Some(1),
            4 => Some(2),
            5 => Some(3),
            _ => None,
        };
        if let Some(index) = index {
            bytes[index].1 += length;
        }
        input.seek_relative(length as i64).map_err(read)?;
    }
    Ok(bytes.iter().max_by_key(|(_, bytes)| *bytes).map_or(WeightFormat::F32, |&(kind, _)| kind))
}

/// Reads a string: its length, and bytes of which the last is zero.
fn name(input: &mut impl Read) -> Result<String, String> {
    let length = number::<2>(input).map_err(|_| "it is truncated")? as u16;
    if length > MAX_NAME {
        return Err("not CTranslate2's format".into());
    }
    let mut bytes = vec![0; length.into()];
    input.read_exact(&mut bytes).map_err(|_| "it is truncated")?;
    Ok(String::from_utf8_lossy(&bytes).trim_end_matches('\0').to_owned())
}

/// Reads a little-endian number of `N` bytes.
fn number<const N: usize>(input: &mut impl Read) -> std::io::Result<u64> {
    let mut bytes = [0; 8];
    input.read_exact(&mut bytes[..N])?;
    Ok(u64::from_le_bytes(bytes))
}
