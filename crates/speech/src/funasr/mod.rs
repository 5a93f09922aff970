//! What FunASR's models share: directory layouts, settings, vocabularies, and joining tokens to
//! text.
//!
//! Two layouts are supported. FunASR's own has `model_quant.onnx` or `model.onnx`, `config.yaml`
//! (formerly `asr.yaml`), `am.mvn` (formerly `asr.mvn`) and `tokens.json` (formerly `tokens.txt`).
//! sherpa-onnx's has `model.int8.onnx` or `model.onnx` and `tokens.txt`; its settings are metadata
//! of the ONNX file.

mod settings;
pub(crate) mod text;
mod vocabulary;
mod weights;

pub(crate) use settings::{ConfigYaml, ModelSettings};
pub(crate) use vocabulary::Vocabulary;
pub(crate) use weights::Weights;
