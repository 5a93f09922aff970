//! Families of models, and what distinguishes models of one family.
//!
//! A new family touches these places. The compiler finds those marked with *, because the matches over
//! [`Family`] there have no wildcard arm:
//!
//! - [`Family`] itself, its name* and its role*;
//! - `inspect`: the class names of FunASR's `config.yaml` (`Config::family`), the inputs and outputs
//!   of the network (`network::recognize`), and the checks of its files* (`checks.rs`); of a model of
//!   several networks a module of its own, such as `parakeet`;
//! - `catalogue.toml`: the models to pull, and perhaps presets;
//! - `speech`: a module that implements the trait of its role, such as `Recognizer`;
//! - `app/src/models.rs`: the call that opens a model*;
//! - `docs/models.md`: the tables of models and of files.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Architecture of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// Whisper in CTranslate2's format: the directories that faster-whisper reads.
    Whisper,
    /// FunASR's FSMN voice activity detector.
    FsmnVad,
    /// FunASR's Paraformer, plain or with timestamps (BiCif) or hotwords (SeACo).
    Paraformer,
    /// SenseVoice-Small: five languages, emotions and events.
    SenseVoice,
    /// NVIDIA's Parakeet-TDT 0.6b: a FastConformer encoder and a transducer that predicts durations.
    Parakeet,
    /// FunASR's punctuation model, for complete texts or for real time.
    CtTransformer,
    /// CAM++ speaker embeddings, from 3D-Speaker.
    CamPlusPlus,
    /// pyannote's segmentation-3.0: who of three speakers speaks when, and over one another.
    PyannoteSegmentation,
    /// WeTextProcessing's grammars, which write numbers, dates and money as digits.
    TextNormalization,
}

/// Purpose of a family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    Recognizer,
    VoiceActivity,
    Punctuation,
    Speakers,
    SpeakerSegmentation,
    TextNormalization,
}

impl Family {
    /// Returns the name that the catalogue and JSON use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Whisper => "whisper",
            Self::FsmnVad => "fsmn-vad",
            Self::Paraformer => "paraformer",
            Self::SenseVoice => "sense-voice",
            Self::Parakeet => "parakeet",
            Self::CtTransformer => "ct-transformer",
            Self::CamPlusPlus => "cam-plus-plus",
            Self::PyannoteSegmentation => "pyannote-segmentation",
            Self::TextNormalization => "text-normalization",
        }
    }

    /// Returns the purpose of this family.
    pub fn role(self) -> Role {
        match self {
            Self::Whisper | Self::Paraformer | Self::SenseVoice | Self::Parakeet => {
                Role::Recognizer
            }
            Self::FsmnVad => Role::VoiceActivity,
            Self::CtTransformer => Role::Punctuation,
            Self::CamPlusPlus => Role::Speakers,
            Self::PyannoteSegmentation => Role::SpeakerSegmentation,
            Self::TextNormalization => Role::TextNormalization,
        }
    }
}

impl Role {
    /// Returns the name that JSON uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Recognizer => "recognizer",
            Self::VoiceActivity => "voice-activity",
            Self::Punctuation => "punctuation",
            Self::Speakers => "speakers",
            Self::SpeakerSegmentation => "speaker-segmentation",
            Self::TextNormalization => "text-normalization",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What distinguishes a model from others of its family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Variant {
    Plain,
    /// Paraformer with a second predictor for the times of tokens (BiCif).
    Timestamps,
    /// Paraformer that takes hotwords (SeACo).
    Hotwords,
    /// CT-Transformer that does not look ahead (vadrealtime).
    Realtime,
}

impl Variant {
    /// Returns the name that JSON uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Timestamps => "timestamps",
            Self::Hotwords => "hotwords",
            Self::Realtime => "realtime",
        }
    }
}

/// The project whose naming of files a directory follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// `model.onnx` or `model_quant.onnx`, `config.yaml`, `am.mvn`, `tokens.json`.
    Funasr,
    /// `model.onnx` or `model.int8.onnx` with its constants in metadata, `tokens.txt`; of transducers
    /// `encoder`, `decoder` and `joiner`.
    SherpaOnnx,
    /// `encoder-model.onnx`, `decoder_joint-model.onnx`, `vocab.txt`: onnx-asr's, and of the conversions of
    /// NVIDIA's models.
    OnnxAsr,
    /// `model.bin`, `config.json`, `tokenizer.json`.
    Ctranslate2,
    /// `tagger.fst`, `verbalizer.fst`.
    Wetext,
    /// A checkpoint that is not converted yet.
    Pytorch,
}

impl Layout {
    /// Returns the name that JSON uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Funasr => "funasr",
            Self::SherpaOnnx => "sherpa-onnx",
            Self::OnnxAsr => "onnx-asr",
            Self::Ctranslate2 => "ctranslate2",
            Self::Wetext => "wetext",
            Self::Pytorch => "pytorch",
        }
    }
}

/// Number format in which weights are stored. (The format in which they are computed is
/// `engine::Precision`.)
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum WeightFormat {
    Int8,
    F16,
    Bf16,
    F32,
}

impl WeightFormat {
    /// Returns the name that JSON uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Int8 => "int8",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::F32 => "f32",
        }
    }
}
