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

/// Reads the settings and vocabularies of an untrusted directory, for the fuzzers.
#[cfg(feature = "test-util")]
pub(crate) fn read_untrusted(directory: &std::path::Path) {
    let model = directory.join("model.onnx");
    if let Ok(settings) = ModelSettings::open(directory, &model, |_| None) {
        let rows = settings.frontend.rows(&[0.5; 3200]);
        assert_eq!(rows.len() % settings.frontend.width(), 0);
    }
    if let Ok(vocabulary) = Vocabulary::open(directory) {
        let last = vocabulary.symbols().len() - 1;
        assert!(vocabulary.symbol(last as u32).is_some_and(|last| vocabulary.id(last).is_some()));
    }
}
