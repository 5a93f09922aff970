//! What FunASR's models have in common: their directories, settings and tokens, and the text that
//! tokens make.
//!
//! Two layouts are read. FunASR's own has `model_quant.onnx` or `model.onnx`, `config.yaml` (once
//! `asr.yaml`), `am.mvn` (once `asr.mvn`) and `tokens.json` (once `tokens.txt`). sherpa-onnx's has
//! `model.int8.onnx` or `model.onnx` and `tokens.txt`; its settings are metadata of the ONNX file.

mod config;
pub(crate) mod text;
mod tokens;
mod weights;

pub(crate) use config::{Config, Setup};
pub(crate) use tokens::Tokens;
pub(crate) use weights::Weights;
