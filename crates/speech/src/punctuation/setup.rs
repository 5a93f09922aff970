//! What a model's directory says besides the network: words and marks, and the numbers for them.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::Mark;
use crate::{
    files::{self, broken, find},
    funasr::Tokens,
    recognizer::Error,
};

const CONFIG: [&str; 2] = ["config.yaml", "punc.yaml"];

/// What is needed of `config.yaml`; the rest differs between releases and is passed over.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Config {
    model_conf: ModelConfig,
    /// Both lists stand here in files from before 2023.
    punc_list: Option<Vec<String>>,
    token_list: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ModelConfig {
    punc_list: Option<Vec<String>>,
}

/// Words to ids, and classes to marks.
pub(super) struct Setup {
    pub(super) tokens: Tokens,
    /// The id of words that are not in `tokens`.
    pub(super) unknown: i32,
    /// What the network's classes stand for.
    pub(super) marks: Vec<Mark>,
    /// The files read besides the ONNX file.
    pub(super) files: Vec<PathBuf>,
}

impl Setup {
    /// Reads `config.yaml` and `tokens.json` of `directory`, or, where there is no config, what
    /// sherpa-onnx's scripts put into the `metadata` of the ONNX file `model`.
    pub(super) fn open<'a>(
        directory: &Path,
        model: &Path,
        metadata: impl Fn(&str) -> Option<&'a str>,
    ) -> Result<Self, Error> {
        let Some(config_path) = find(directory, &CONFIG) else {
            return Self::from_metadata(model, metadata);
        };
        let config: Config = files::read_yaml(&config_path)?;
        let symbols = config.model_conf.punc_list.or(config.punc_list).ok_or_else(|| {
            broken(&config_path, "has no `punc_list`: it is not the configuration of a punctuator")
        })?;
        let tokens = Tokens::open_or(directory, config.token_list, &config_path)?;
        let mut files = vec![config_path.clone()];
        if tokens.path() != config_path {
            files.push(tokens.path().to_owned());
        }
        // FunASR takes the last, whatever it is called.
        let unknown = tokens.symbols().len() - 1;
        Self::new(tokens, unknown, &symbols, &config_path, files)
    }

    fn from_metadata<'a>(
        model: &Path,
        metadata: impl Fn(&str) -> Option<&'a str>,
    ) -> Result<Self, Error> {
        let need = files::needed(model, metadata, "which words and marks the network knows");
        let list = |key: &str| Ok::<_, Error>(need(key)?.split('|').map(str::to_owned).collect());
        let tokens = Tokens::new(list("tokens")?, model)?;
        let symbols: Vec<String> = list("punctuations")?;
        let unknown = need("unk_symbol")?;
        let unknown = tokens.id(unknown).ok_or_else(|| {
            broken(model, format!("its metadata: `{unknown}` is not among the tokens"))
        })?;
        Self::new(tokens, unknown as usize, &symbols, model, Vec::new())
    }

    fn new(
        tokens: Tokens,
        unknown: usize,
        symbols: &[String],
        path: &Path,
        files: Vec<PathBuf>,
    ) -> Result<Self, Error> {
        let marks = symbols.iter().map(|symbol| {
            Mark::from_symbol(symbol)
                .ok_or_else(|| broken(path, format!("the mark `{symbol}` is not supported")))
        });
        let marks = marks.collect::<Result<Vec<_>, _>>()?;
        if !marks.iter().any(|mark| mark.ends_sentence()) {
            return Err(broken(path, "none of the marks in `punc_list` ends a sentence"));
        }
        let unknown = i32::try_from(unknown).map_err(|error| broken(path, error))?;
        Ok(Self { tokens, unknown, marks, files })
    }

    pub(super) fn id(&self, unit: &str) -> i32 {
        self.tokens.id(unit).and_then(|id| i32::try_from(id).ok()).unwrap_or(self.unknown)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const YAML: &str = "model: CTTransformer\nmodel_conf:\n  ignore_id: 0\n  punc_list:\n  - <unk>\n  \
        - _\n  - ','\n  - 。\n  - '?'\n  - 、\n";

    fn open(files: &[(&str, &str)], metadata: &[(&str, &str)]) -> Result<Setup, String> {
        let directory = tempfile::tempdir().expect("directory");
        for (name, text) in files {
            fs::write(directory.path().join(name), text).expect("write");
        }
        let lookup =
            |key: &str| metadata.iter().find(|(name, _)| *name == key).map(|&(_, value)| value);
        Setup::open(directory.path(), &directory.path().join("model.onnx"), lookup)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn all_layouts_say_the_same() {
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
            let setup = open(&files, metadata).expect("opens");
            assert_eq!(["a", "中", "b", "<unk>"].map(|unit| setup.id(unit)), [0, 1, 2, 2]);
            use Mark::*;
            assert_eq!(setup.marks, [Unknown, None, Comma, Period, Question, Enumeration]);
            assert_eq!(setup.files.len(), files.len());
        }
    }

    #[test]
    fn a_vocabulary_in_the_settings_may_be_large() {
        let words: String = (0..300_000).map(|id| format!("- w{id}\n")).collect();
        let yaml = format!("punc_list: ['<unk>', _, 。]\ntoken_list:\n{words}- <unk>\n");
        let setup = open(&[("punc.yaml", &yaml)], &[]).expect("opens");
        assert_eq!((setup.id("w299999"), setup.unknown), (299_999, 300_000));
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
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
            (vec![("config.yaml", &odd), tokens], vec![], "the mark `!` is not supported"),
            (vec![("config.yaml", &endless), tokens], vec![], "ends a sentence"),
        ] {
            let message = open(&files, &metadata).err().expect(cause);
            assert!(message.contains(cause), "{message}");
        }
    }
}
