//! The settings of a punctuation model: ids of units, and marks of classes.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::PunctuationMark;
use crate::{
    files::{self, broken, broken_by, find},
    funasr::Vocabulary,
    recognizer::Error,
};

const CONFIG: [&str; 2] = ["config.yaml", "punc.yaml"];

/// The keys of `config.yaml` that are needed; others differ between releases and are ignored.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ConfigYaml {
    model_conf: ModelConf,
    /// Files from before 2023 have both lists at this level.
    punc_list: Option<Vec<String>>,
    token_list: Option<Vec<String>>,
}

/// The section `model_conf` of `config.yaml`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ModelConf {
    punc_list: Option<Vec<String>>,
}

/// Ids of units, and marks of classes.
pub(super) struct PunctuationSettings {
    pub(super) vocabulary: Vocabulary,
    /// Id of units that are not in the vocabulary.
    pub(super) unknown: i32,
    /// Mark of each class of the network.
    pub(super) marks: Vec<PunctuationMark>,
    /// Files read in addition to the ONNX file.
    pub(super) files: Vec<PathBuf>,
}

impl PunctuationSettings {
    /// Reads `config.yaml` and `tokens.json` of `directory`, or, if there is no `config.yaml`, the
    /// `metadata` that sherpa-onnx's scripts write into the ONNX file `model`.
    pub(super) fn open<'a>(
        directory: &Path,
        model: &Path,
        metadata: impl Fn(&str) -> Option<&'a str>,
    ) -> Result<Self, Error> {
        let Some(config_path) = find(directory, &CONFIG) else {
            return Self::from_metadata(model, metadata);
        };
        let config: ConfigYaml = files::read_yaml(&config_path)?;
        let symbols = config.model_conf.punc_list.or(config.punc_list).ok_or_else(|| {
            broken(
                &config_path,
                "has no `punc_list`: it is not the configuration of a punctuation model",
            )
        })?;
        let vocabulary = Vocabulary::open_or(directory, config.token_list, &config_path)?;
        let mut files = vec![config_path.clone()];
        if vocabulary.path() != config_path {
            files.push(vocabulary.path().to_owned());
        }
        // FunASR uses the last token for unknown words, whatever its symbol.
        let unknown = vocabulary.symbols().len() - 1;
        Self::new(vocabulary, unknown, &symbols, &config_path, files)
    }

    fn from_metadata<'a>(
        model: &Path,
        metadata: impl Fn(&str) -> Option<&'a str>,
    ) -> Result<Self, Error> {
        let need = files::needed(model, metadata, "which words and punctuation the network uses");
        let list = |key: &str| Ok::<_, Error>(need(key)?.split('|').map(str::to_owned).collect());
        let vocabulary = Vocabulary::new(list("tokens")?, model)?;
        let symbols: Vec<String> = list("punctuations")?;
        let unknown = need("unk_symbol")?;
        let unknown = vocabulary.id(unknown).ok_or_else(|| {
            broken(model, format!("its metadata: `{unknown}` is not among the tokens"))
        })?;
        Self::new(vocabulary, unknown as usize, &symbols, model, Vec::new())
    }

    fn new(
        vocabulary: Vocabulary,
        unknown: usize,
        symbols: &[String],
        path: &Path,
        files: Vec<PathBuf>,
    ) -> Result<Self, Error> {
        let marks = symbols.iter().map(|symbol| {
            PunctuationMark::from_symbol(symbol)
                .ok_or_else(|| broken(path, format!("the punctuation `{symbol}` is not supported")))
        });
        let marks = marks.collect::<Result<Vec<_>, _>>()?;
        if !marks.iter().any(|mark| mark.ends_sentence()) {
            return Err(broken(path, "no punctuation in `punc_list` ends a sentence"));
        }
        let unknown = i32::try_from(unknown)
            .map_err(|error| broken_by(path, "holds too many tokens", error))?;
        Ok(Self { vocabulary, unknown, marks, files })
    }

    /// Returns the id of a unit, which is [`Self::unknown`] if the vocabulary does not contain it.
    pub(super) fn id(&self, unit: &str) -> i32 {
        self.vocabulary.id(unit).and_then(|id| i32::try_from(id).ok()).unwrap_or(self.unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;
    use errors::Chain;

    const YAML: &str = "model: CTTransformer\nmodel_conf:\n  ignore_id: 0\n  punc_list:\n  - <unk>\n  \
        - _\n  - ','\n  - 。\n  - '?'\n  - 、\n";

    fn open(
        files: &[(&str, &str)],
        metadata: &[(&str, &str)],
    ) -> Result<PunctuationSettings, String> {
        let directory = fixtures::directory(files);
        let lookup =
            |key: &str| metadata.iter().find(|(name, _)| *name == key).map(|&(_, value)| value);
        PunctuationSettings::open(directory.path(), &directory.path().join("model.onnx"), lookup)
            .map_err(|error| Chain(&error).to_string())
    }

    #[test]
    fn all_layouts_give_the_same_settings() {
        let old = "punc_list: ['<unk>', _, ',', 。, '?', 、]\ntoken_list: [a, 中, <unk>]\n";
        let metadata = [
            ("tokens", "a|中|<unk>"),
            ("punctuations", "<unk>|_|，|。|？|、"),
            ("unk_symbol", "<unk>"),
        ];
        let tokens = r#"["a", "中", "<unk>"]"#;
        for (files, metadata) in [
            (vec![("config.yaml", YAML), ("tokens.json", tokens)], &metadata[..0]),
            (vec![("punc.yaml", YAML), ("tokens.txt", "a\n中\n<unk>\n")], &[]),
            (vec![("punc.yaml", old)], &[]),
            (vec![], &metadata),
        ] {
            let settings = open(&files, metadata).expect("opens");
            assert_eq!(["a", "中", "b", "<unk>"].map(|unit| settings.id(unit)), [0, 1, 2, 2]);
            use PunctuationMark::*;
            assert_eq!(settings.marks, [Unknown, None, Comma, Period, Question, Enumeration]);
            assert_eq!(settings.files.len(), files.len());
        }
    }

    #[test]
    fn accepts_a_large_vocabulary_in_the_settings() {
        let words: String = (0..300_000).map(|id| format!("- w{id}\n")).collect();
        let yaml = format!("punc_list: ['<unk>', _, 。]\ntoken_list:\n{words}- <unk>\n");
        let settings = open(&[("punc.yaml", &yaml)], &[]).expect("opens");
        assert_eq!((settings.id("w299999"), settings.unknown), (299_999, 300_000));
    }

    #[test]
    fn errors_name_what_is_missing_or_wrong() {
        let tokens = ("tokens.json", r#"["a", "b"]"#);
        let odd = YAML.replace("、", "'!'");
        let endless = YAML.replace("。", "，").replace("'?'", "，");
        for (files, metadata, cause) in [
            (vec![], vec![], "no `tokens` in its metadata, and no config.yaml"),
            (vec![], vec![("tokens", "a|b")], "no `punctuations` in its metadata"),
            (
                vec![],
                vec![("tokens", "a|b"), ("punctuations", "_|。"), ("unk_symbol", "u")],
                "`u` is not among the tokens",
            ),
            (vec![("config.yaml", YAML)], vec![], "no tokens.json or tokens.txt"),
            (vec![("config.yaml", "model: Paraformer"), tokens], vec![], "has no `punc_list`"),
            (vec![("config.yaml", "["), tokens], vec![], "is not a model's configuration"),
            (vec![("config.yaml", &odd), tokens], vec![], "the punctuation `!` is not supported"),
            (vec![("config.yaml", &endless), tokens], vec![], "ends a sentence"),
        ] {
            let message = open(&files, &metadata).err().expect(cause);
            assert!(message.contains(cause), "{message}");
        }
    }
}
