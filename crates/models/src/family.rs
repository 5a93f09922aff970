use std::fmt;

use serde::{Deserialize, Serialize};

/// What kind of model a directory holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// Whisper weights as CTranslate2 keeps them: the directories that faster-whisper reads.
    Whisper,
    /// FunASR's FSMN voice activity detector.
    FsmnVad,
    /// FunASR's Paraformer, plain or with timestamps (BiCif) or hotwords (SeACo).
    Paraformer,
    /// SenseVoice-Small: five languages, emotions and events.
    SenseVoice,
    /// FunASR's punctuation model, for whole texts or for text as it comes.
    CtTransformer,
    /// CAM++ speaker embeddings, from 3D-Speaker.
    CamPlusPlus,
    /// WeTextProcessing's grammars that write numbers, dates and money as digits.
    TextNormalization,
}

/// What a family is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    Recognizer,
    VoiceActivity,
    Punctuation,
    Speakers,
    TextNormalization,
}

impl Family {
    pub const RECOGNIZERS: &[Self] = &[Self::Whisper, Self::Paraformer, Self::SenseVoice];

    /// As in the catalogue, and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Whisper => "whisper",
            Self::FsmnVad => "fsmn-vad",
            Self::Paraformer => "paraformer",
            Self::SenseVoice => "sense-voice",
            Self::CtTransformer => "ct-transformer",
            Self::CamPlusPlus => "cam-plus-plus",
            Self::TextNormalization => "text-normalization",
        }
    }

    pub fn role(self) -> Role {
        match self {
            Self::Whisper | Self::Paraformer | Self::SenseVoice => Role::Recognizer,
            Self::FsmnVad => Role::VoiceActivity,
            Self::CtTransformer => Role::Punctuation,
            Self::CamPlusPlus => Role::Speakers,
            Self::TextNormalization => Role::TextNormalization,
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a model can do that others of its family cannot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Variant {
    Plain,
    /// Paraformer with a second predictor for the times of tokens (BiCif).
    Timestamps,
    /// Paraformer that takes hotwords (SeACo).
    Hotwords,
    /// CT-Transformer that looks no further than what has been said (vadrealtime).
    Realtime,
}

impl Variant {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Timestamps => "timestamps",
            Self::Hotwords => "hotwords",
            Self::Realtime => "realtime",
        }
    }
}

/// Whose arrangement of files a directory follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// `model.onnx` or `model_quant.onnx`, `config.yaml`, `am.mvn`, `tokens.json`.
    Funasr,
    /// `model.onnx` or `model.int8.onnx` with its constants in metadata, `tokens.txt`.
    SherpaOnnx,
    /// `model.bin`, `config.json`, `tokenizer.json`.
    Ctranslate2,
    /// `tagger.fst`, `verbalizer.fst`.
    Wetext,
}

impl Layout {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Funasr => "funasr",
            Self::SherpaOnnx => "sherpa-onnx",
            Self::Ctranslate2 => "ctranslate2",
            Self::Wetext => "wetext",
        }
    }
}

/// How a model's weights are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    Int8,
    F16,
    Bf16,
    F32,
}

impl Precision {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Int8 => "int8",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::F32 => "f32",
        }
    }
}
