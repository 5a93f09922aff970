//! Settings of FunASR's recognizers, from `config.yaml` and `am.mvn` or from the ONNX file's
//! metadata.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::{
    features::{Cmvn, Frontend, FrontendConfig, Window},
    files::{self, broken, find},
    recognizer::Error,
};

/// The keys of `config.yaml` that recognizers need; others differ between releases and are ignored.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct ConfigYaml {
    pub(crate) frontend_conf: FrontendConfig,
    #[serde(default)]
    pub(crate) model_conf: ModelConf,
    #[serde(default)]
    pub(crate) predictor_conf: PredictorConf,
    /// Class of the model, e.g. `Paraformer`; absent in old files.
    #[serde(default)]
    pub(crate) model: Option<String>,
    /// E.g. `zh-cn`, `en`, or `en-bpe` for SentencePiece tokens.
    #[serde(default)]
    pub(crate) lang: Option<String>,
    /// Vocabulary, in old releases that have no separate file for it.
    #[serde(default)]
    pub(crate) token_list: Option<Vec<String>>,
}

/// The section `model_conf` of `config.yaml`.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ModelConf {
    /// Tokens that the predictor counts in addition to those of the text: 1, for the end of
    /// sentence.
    pub(crate) predictor_bias: usize,
}

/// The section `predictor_conf` of `config.yaml`, for `CifPredictorV2` and similar predictors.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
pub(crate) struct PredictorConf {
    /// Weight at which a token fires.
    pub(crate) threshold: f32,
    /// Weight of the frame appended after the last.
    pub(crate) tail_threshold: Option<f32>,
}

impl Default for PredictorConf {
    fn default() -> Self {
        Self { threshold: 1.0, tail_threshold: None }
    }
}

/// Settings and feature front end of a model.
pub(crate) struct ModelSettings {
    pub(crate) config: ConfigYaml,
    pub(crate) frontend: Frontend,
    /// Files read in addition to the ONNX file.
    pub(crate) files: Vec<PathBuf>,
}

impl ConfigYaml {
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        files::read_yaml(path)
    }
}

impl ModelSettings {
    /// Reads `config.yaml` and `am.mvn` of `directory`, or, if there is no `config.yaml`, the
    /// `metadata` that sherpa-onnx's scripts write into the ONNX file `model`.
    pub(crate) fn open<'a>(
        directory: &Path,
        model: &Path,
        metadata: impl Fn(&str) -> Option<&'a str>,
    ) -> Result<Self, Error> {
        let Some(config_path) = find(directory, &["config.yaml", "asr.yaml"]) else {
            return Self::from_metadata(model, metadata);
        };
        let cmvn_path = files::need(directory, &["am.mvn", "asr.mvn"])?;
        let config = ConfigYaml::open(&config_path)?;
        let frontend = Frontend::new(&config.frontend_conf, Some(Cmvn::open(&cmvn_path)?))
            .map_err(|message| broken(&config_path, message))?;
        Ok(Self { config, frontend, files: vec![config_path, cmvn_path] })
    }

    fn from_metadata<'a>(
        model: &Path,
        metadata: impl Fn(&str) -> Option<&'a str>,
    ) -> Result<Self, Error> {
        let need = files::needed(model, &metadata, "how the features are computed");
        let number = |key: &str| {
            let value = need(key)?;
            let number: usize = value.trim().parse().map_err(|_| {
                broken(model, format!("`{key}` in its metadata is not a number: `{value}`"))
            })?;
            Ok::<_, Error>(number)
        };
        let numbers = |key: &str| {
            let invalid = |value: &str| {
                broken(model, format!("`{key}` in its metadata: `{value}` is not a finite number"))
            };
            let values = need(key)?.split(',').map(|value| match value.trim().parse::<f32>() {
                Ok(number) if number.is_finite() => Ok(number),
                _ => Err(invalid(value)),
            });
            values.collect::<Result<Vec<_>, _>>()
        };
        let shift = numbers("neg_mean")?;
        let lfr_m = number("lfr_window_size")?;
        let frontend_conf = FrontendConfig {
            fs: 16_000,
            window: Window::Hamming,
            n_mels: shift.len().checked_div(lfr_m).unwrap_or_default(),
            frame_length: 25,
            frame_shift: 10,
            lfr_m,
            lfr_n: number("lfr_window_shift")?,
        };
        let frontend = Cmvn::new(shift, numbers("inv_stddev")?)
            .and_then(|cmvn| Frontend::new(&frontend_conf, Some(cmvn)))
            .map_err(|message| broken(model, format!("its metadata: {message}")))?;
        let config = ConfigYaml {
            frontend_conf,
            // All published Paraformers use 1; sherpa-onnx's metadata does not include it.
            model_conf: ModelConf { predictor_bias: 1 },
            predictor_conf: PredictorConf::default(),
            model: metadata("model_type").map(str::to_owned),
            lang: None,
            token_list: None,
        };
        Ok(Self { config, frontend, files: Vec::new() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;
    use errors::Chain;

    const YAML: &str = "model: Paraformer\nmodel_conf:\n  ctc_weight: 0.0\n  predictor_bias: 1\n\
        predictor_conf:\n  idim: 512\n  threshold: 1.0\n  tail_threshold: 0.45\n\
        frontend: WavFrontend\nfrontend_conf:\n  fs: 16000\n  window: hamming\n  n_mels: 80\n  \
        frame_length: 25\n  frame_shift: 10\n  lfr_m: 7\n  lfr_n: 6\nnormalize: null\n";

    fn mvn(width: usize) -> String {
        let row = |value: &str| format!("<LearnRateCoef> 0 [ {}]\n", value.repeat(width));
        format!("<AddShift> 1 1\n{}<Rescale> 1 1\n{}", row("-1 "), row("2 "))
    }

    fn open(files: &[(&str, &str)], metadata: &[(&str, &str)]) -> Result<ModelSettings, String> {
        let directory = fixtures::directory(files);
        let lookup =
            |key: &str| metadata.iter().find(|(name, _)| *name == key).map(|&(_, value)| value);
        ModelSettings::open(directory.path(), &directory.path().join("model.onnx"), lookup)
            .map_err(|error| Chain(&error).to_string())
    }

    #[test]
    fn accepts_old_and_new_file_names() {
        let mvn = mvn(560);
        for names in [("config.yaml", "am.mvn"), ("asr.yaml", "asr.mvn")] {
            let settings = open(&[(names.0, YAML), (names.1, &mvn)], &[]).expect("opens");
            assert_eq!(settings.frontend.width(), 560);
            assert_eq!(settings.files.len(), 2);
            assert_eq!(settings.config.model_conf.predictor_bias, 1);
            assert_eq!(settings.config.predictor_conf.tail_threshold, Some(0.45));
            assert_eq!((settings.config.lang, settings.config.token_list), (None, None));
        }
    }

    #[test]
    fn metadata_and_yaml_give_the_same_settings() {
        let values = |value: &str| vec![value; 560].join(",");
        let (shift, scale) = (values("-1"), values("2"));
        let metadata = [
            ("lfr_window_size", "7"),
            ("lfr_window_shift", "6"),
            ("neg_mean", shift.as_str()),
            ("inv_stddev", scale.as_str()),
            ("vocab_size", "8404"),
        ];
        let settings = open(&[], &metadata).expect("opens");
        let mvn = mvn(560);
        let other = open(&[("config.yaml", YAML), ("am.mvn", &mvn)], &[]).expect("opens");
        assert_eq!(settings.config.frontend_conf, other.config.frontend_conf);
        let samples: Vec<f32> = (0..3200).map(|i| (i as f32 * 0.1).sin() * 0.1).collect();
        assert_eq!(settings.frontend.rows(&samples), other.frontend.rows(&samples));

        for (index, value, cause) in [
            (0, "x", "`lfr_window_size` in its metadata is not a number: `x`"),
            (0, "0", "0 mel bins"),
            (0, "6", "93 x 6"),
            (2, "1,nan", "`nan` is not a finite number"),
            (3, "1,2", "560 shifts, but 2 scales"),
        ] {
            let mut metadata = metadata;
            metadata[index].1 = value;
            let message = open(&[], &metadata).err().expect(cause);
            assert!(message.contains(cause), "{message}");
        }
    }

    #[test]
    fn errors_name_what_is_missing() {
        let (mvn, short) = (mvn(560), mvn(400));
        for (files, cause) in [
            (vec![], "no `neg_mean` in its metadata, and no config.yaml"),
            (vec![("config.yaml", YAML)], "no am.mvn or asr.mvn"),
            (vec![("config.yaml", "model: [}"), ("am.mvn", &mvn)], "is not a model's"),
            (vec![("config.yaml", "model: Paraformer\n"), ("am.mvn", &mvn)], "frontend_conf"),
            (vec![("config.yaml", YAML), ("am.mvn", &short)], "400 values"),
        ] {
            let message = open(&files, &[]).err().expect(cause);
            assert!(message.contains(cause), "{message}");
        }
    }
}
