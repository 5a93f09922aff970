//! The files of a model directory, and what their names and contents say.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use protobuf::{Reader, Value};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::ModelFile;
use crate::convert::name::is_checkpoint;
use crate::family::{Family, Variant};
use crate::{Error, licence, yaml};

/// Names of the configuration in FunASR's releases, newest first.
pub(super) const CONFIGS: [&str; 4] = ["config.yaml", "asr.yaml", "vad.yaml", "punc.yaml"];
pub(super) const STATISTICS: [&str; 3] = ["am.mvn", "asr.mvn", "vad.mvn"];
pub(super) const TOKENS: [&str; 2] = ["tokens.json", "tokens.txt"];
pub(super) const SENTENCEPIECE: &str = "chn_jpn_yue_eng_ko_spectok.bpe.model";
/// Bytes of a text file. The largest known are old configurations with a vocabulary (8 MB of YAML).
const MAX_TEXT: u64 = 1 << 26;
/// Number of files to list or open: more than any model has. A directory of recordings may have millions.
pub(super) const MAX_LISTED: usize = 256;

/// The regular files of a directory, without subdirectories.
pub(super) struct Directory {
    path: PathBuf,
    /// Sizes in bytes, by name.
    files: BTreeMap<String, u64>,
}

impl Directory {
    pub(super) fn read(path: &Path) -> Result<Self, Error> {
        let mut files = BTreeMap::new();
        for item in fs::read_dir(path).map_err(Error::io(path))? {
            let item = item.map_err(Error::io(path))?;
            // Follows symbolic links, of which the caches of hubs consist.
            let Ok(metadata) = fs::metadata(item.path()) else { continue };
            if let (true, Ok(name)) = (metadata.is_file(), item.file_name().into_string()) {
                files.insert(name, metadata.len());
            }
        }
        Ok(Self { path: path.to_owned(), files })
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.files.contains_key(name)
    }

    pub(super) fn files(&self) -> impl Iterator<Item = (&str, u64)> {
        self.files.iter().map(|(name, &size)| (name.as_str(), size))
    }

    /// Returns the bytes of a file, if it exists.
    pub(super) fn size(&self, name: &str) -> Option<u64> {
        self.files.get(name).copied()
    }

    /// Returns the first of `names` that exists.
    pub(super) fn first_of<'n>(&self, names: &[&'n str]) -> Option<&'n str> {
        names.iter().copied().find(|name| self.has(name))
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    pub(super) fn list(&self) -> Vec<ModelFile> {
        let file = |(name, size): (&str, u64)| ModelFile {
            name: name.to_owned(),
            size,
            purpose: purpose(name),
        };
        self.files().take(MAX_LISTED).map(file).collect()
    }

    pub(super) fn text(&self, name: &str) -> Result<String, String> {
        let size = self.size(name).unwrap_or_default();
        if size > MAX_TEXT {
            return Err(format!("too large: {size} bytes, where at most {MAX_TEXT} are accepted"));
        }
        fs::read_to_string(self.path(name)).map_err(|error| format!("cannot be read: {error}"))
    }

    /// Returns the name of the model's configuration file and its content.
    pub(super) fn config(&self) -> Option<(&'static str, Result<Config, String>)> {
        let name = self.first_of(&CONFIGS)?;
        let parsed = self.text(name).and_then(|text| {
            yaml::parse(&text).map_err(|error| format!("not a model's configuration: {error}"))
        });
        Some((name, parsed))
    }

    /// Returns the family after which old releases name their files.
    pub(super) fn family_by_names(&self) -> Option<(Family, Option<Variant>)> {
        let names = [
            ("vad.yaml", Family::FsmnVad),
            ("vad.mvn", Family::FsmnVad),
            ("punc.yaml", Family::CtTransformer),
            (SENTENCEPIECE, Family::SenseVoice),
        ];
        names.iter().find(|(name, _)| self.has(name)).map(|&(_, family)| (family, None))
    }

    /// Returns the number of lines of a text file, blank ones as well.
    pub(super) fn count_lines(&self, name: &str) -> Result<u64, String> {
        Ok(self.text(name)?.lines().count() as u64)
    }

    /// Returns the number of symbols in a vocabulary.
    pub(super) fn count_tokens(&self, name: &str) -> Result<u64, String> {
        if name == SENTENCEPIECE {
            return count_pieces(&self.path(name));
        }
        let text = self.text(name)?;
        let text = text.trim_start_matches('\u{feff}');
        if name.ends_with(".json") {
            let tokens: Vec<IgnoredAny> = serde_json::from_str(text)
                .map_err(|error| format!("not a list of tokens: {error}"))?;
            return Ok(tokens.len() as u64);
        }
        Ok(text.lines().filter(|line| !line.trim().is_empty()).count() as u64)
    }

    /// Returns the number of values per frame of a Kaldi file of mean and variance.
    pub(super) fn count_statistics(&self, name: &str) -> Result<u64, String> {
        let text = self.text(name)?;
        let values = |component: &str| {
            let (_, after) = text.split_once(component)?;
            let (values, _) = after.split_once('[')?.1.split_once(']')?;
            let values = values.split_ascii_whitespace().map(str::parse::<f32>);
            values.map(|value| value.ok().filter(|value| value.is_finite())).collect()
        };
        let count = |component: &str| {
            let values: Option<Vec<f32>> = values(component);
            values
                .map(|values| values.len() as u64)
                .ok_or_else(|| format!("no finite values between brackets follow {component}"))
        };
        match (count("<AddShift>")?, count("<Rescale>")?) {
            (shifts, scales) if shifts != scales => {
                Err(format!("{shifts} shifts, but {scales} scales"))
            }
            (shifts, _) => Ok(shifts),
        }
    }
}

/// The needed parts of FunASR's configuration.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Config {
    /// Class of the model.
    #[serde(default)]
    pub(super) model: Option<String>,
    #[serde(default)]
    pub(super) lang: Option<String>,
    /// The vocabulary, in old files: newer releases have a separate file.
    #[serde(default)]
    pub(super) token_list: Option<Vec<IgnoredAny>>,
    /// The punctuation marks, in old files.
    #[serde(default)]
    punc_list: Option<Vec<IgnoredAny>>,
    #[serde(default)]
    model_conf: Option<ModelConf>,
    #[serde(default)]
    pub(super) encoder_conf: Option<EncoderConf>,
    /// Parameters of the features, which recognizers require.
    #[serde(default)]
    pub(super) frontend_conf: Option<IgnoredAny>,
}

#[derive(Debug, Default, Deserialize)]
struct ModelConf {
    #[serde(default)]
    punc_list: Option<Vec<IgnoredAny>>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct EncoderConf {
    /// Number of layers of an FSMN-VAD. Each has a cache among the network's inputs.
    #[serde(default)]
    pub(super) fsmn_layers: Option<u64>,
}

impl Config {
    /// Returns the number of punctuation marks.
    pub(super) fn punctuation_marks(&self) -> Option<u64> {
        let in_model = self.model_conf.as_ref().and_then(|model| model.punc_list.as_ref());
        in_model.or(self.punc_list.as_ref()).map(|list| list.len() as u64)
    }

    /// Returns the class in one spelling for FunASR's old (`bicif_paraformer`) and new names
    /// (`BiCifParaformer`).
    fn class(&self) -> Option<String> {
        Some(self.model.as_deref()?.to_ascii_lowercase().replace(['_', '-'], ""))
    }

    /// Returns whether the model takes hotwords as FunASR did before SeACo.
    pub(super) fn is_contextual(&self) -> bool {
        let class = self.class();
        matches!(class.as_deref(), Some("contextualparaformer" | "neatcontextualparaformer"))
    }

    /// Returns the family and variant of the class.
    pub(super) fn family(&self) -> Option<(Family, Option<Variant>)> {
        Some(match self.class()?.as_str() {
            "paraformer" => (Family::Paraformer, Some(Variant::Plain)),
            "bicifparaformer" => (Family::Paraformer, Some(Variant::Timestamps)),
            "seacoparaformer" => (Family::Paraformer, Some(Variant::Hotwords)),
            "sensevoicesmall" | "sensevoice" => (Family::SenseVoice, None),
            "cttransformer" => (Family::CtTransformer, Some(Variant::Plain)),
            "cttransformerstreaming" => (Family::CtTransformer, Some(Variant::Realtime)),
            "fsmnvadstreaming" | "fsmnvad" | "e2evad" => (Family::FsmnVad, None),
            "campplus" | "cam++" => (Family::CamPlusPlus, None),
            _ => return None,
        })
    }
}

/// Counts the pieces of a SentencePiece model: its first field, repeated.
fn count_pieces(path: &Path) -> Result<u64, String> {
    let malformed = |error: protobuf::Error| format!("not a SentencePiece model: {error}");
    let mut reader = Reader::open(path).map_err(|error| error.to_string())?;
    let (mut model, mut pieces) = (reader.input(), 0);
    while let Some(field) = reader.next_field(&mut model).map_err(malformed)? {
        pieces += u64::from(field.number == 1 && matches!(field.value, Value::Bytes(_)));
    }
    Ok(pieces)
}

/// Returns the purpose of a file, by its name.
fn purpose(name: &str) -> Option<&'static str> {
    Some(match name {
        "model_eb.onnx" | "model_eb_quant.onnx" => "network that embeds hotwords",
        "decoder.onnx" | "decoder_quant.onnx" => return None,
        _ if name.ends_with(".onnx") => "network",
        _ if STATISTICS.contains(&name) => "mean and variance of the features",
        _ if CONFIGS.contains(&name) => "configuration",
        _ if TOKENS.contains(&name) => "vocabulary",
        SENTENCEPIECE => "vocabulary (SentencePiece)",
        "seg_dict" => "splits hotwords into tokens",
        "model.bin" => "weights",
        "config.json" => "configuration",
        "tokenizer.json" => "tokenizer",
        "vocabulary.txt" | "vocabulary.json" => "vocabulary",
        licence::FILE => "licence",
        _ if is_checkpoint(name) => "weights (PyTorch checkpoint)",
        _ if name.ends_with("tagger.fst") => "grammar that finds numbers and dates",
        _ if name.ends_with("verbalizer.fst") => "grammar that writes them",
        _ => return None,
    })
}
