//! Embeds hotwords for SeACo's decoder, which attends to them (<https://arxiv.org/abs/2308.03266>).

use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use engine::{ElementType, Input, OnnxFile, OnnxNetwork};

use crate::{
    files::{self, broken, broken_by, not_loaded},
    funasr::Vocabulary,
    recognizer::Error,
};

/// Length to which hotwords are padded, in tokens; the exported network accepts no other.
const MAX_TOKENS: usize = 10;
/// The token that stands for "no hotword": `<s>`.
const NO_HOTWORD: u32 = 1;
/// Number of hotword lists whose embeddings are cached.
const CACHED_LISTS: usize = 8;
/// Maximum number of hotwords; more only confuse the model.
pub(super) const MAX_HOTWORDS: usize = 4096;

/// Embeds lists of hotwords.
pub(super) struct HotwordEmbedder {
    network: OnnxNetwork,
    width: usize,
    /// The most recent lists, the newest last.
    cache: Mutex<Vec<CachedList>>,
}

struct CachedList {
    list: Arc<[String]>,
    embeddings: Arc<HotwordEmbeddings>,
}

/// One embedding per hotword, and a last one for "no hotword". Row-major `[count, width]`.
#[derive(Debug, PartialEq)]
pub(super) struct HotwordEmbeddings {
    pub(super) values: Vec<f32>,
    pub(super) count: usize,
}

impl HotwordEmbedder {
    /// Opens the network for a recognizer with embeddings of `width` values and a vocabulary of
    /// this size.
    ///
    /// # Errors
    /// [`Error::Model`] if the file is missing, damaged, or not a hotword embedder that fits.
    pub(super) fn open(path: &Path, width: usize, vocabulary: usize) -> Result<Self, Error> {
        let unusable = |error: engine::Error| not_loaded(path, error);
        let file = OnnxFile::read(path).map_err(unusable)?;
        let [input] = file.inputs() else {
            return Err(broken(
                path,
                "is not a hotword embedder: it does not have exactly one input",
            ));
        };
        let Some(output) = file.outputs().first().filter(|_| input.element == ElementType::I32)
        else {
            return Err(broken(path, "is not a hotword embedder: its input is not token ids"));
        };
        let shape = ["hotwords".into(), MAX_TOKENS.into()];
        let network =
            file.network(&[Input::new(&input.name, shape)], &[&output.name]).map_err(unusable)?;
        let embedder = Self { network, width, cache: Mutex::default() };
        let last = vocabulary.saturating_sub(1) as u32;
        let probe = embedder
            .embed(&[vec![last; MAX_TOKENS], vec![NO_HOTWORD]])
            .map_err(|error| broken_by(path, "cannot be run", error))?;
        if probe.values.iter().any(|value| !value.is_finite()) {
            let message = "is damaged: its embeddings are not finite; download it again";
            return Err(broken(path, message));
        }
        Ok(embedder)
    }

    /// Returns the embeddings of a list, which are cached for later segments.
    pub(super) fn embed_list(
        &self,
        hotwords: &Arc<[String]>,
        tokenizer: &HotwordTokenizer,
    ) -> Result<Arc<HotwordEmbeddings>, Error> {
        let lock = || self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = lock().iter().find(|cached| cached.list == *hotwords) {
            return Ok(found.embeddings.clone());
        }
        let embeddings = Arc::new(self.embed(&tokenizer.tokenize_all(hotwords)?)?);
        let mut cache = lock();
        if cache.len() >= CACHED_LISTS {
            cache.remove(0);
        }
        cache.push(CachedList { list: hotwords.clone(), embeddings: embeddings.clone() });
        Ok(embeddings)
    }

    /// Embeds `words`, each of 1 to [`MAX_TOKENS`] token ids.
    fn embed(&self, words: &[Vec<u32>]) -> Result<HotwordEmbeddings, Error> {
        let count = words.len();
        let mut ids = vec![0i32; count * MAX_TOKENS];
        for (row, word) in ids.chunks_exact_mut(MAX_TOKENS).zip(words) {
            row.iter_mut().zip(word).for_each(|(slot, &id)| *slot = id as i32);
        }
        let ids = engine::tensor(&[count, MAX_TOKENS], &ids)?;
        let outputs = self.network.run(vec![ids])?;
        let states = match outputs.as_slice() {
            [states] if states.shape() == [MAX_TOKENS, count, self.width] => states,
            _ => {
                return Err(Error::Network(
                    "the hotword embeddings have an unexpected shape".into(),
                ));
            }
        };
        let states = engine::values::<f32>(states)?;
        // The embedding of a word is the LSTM's state after the word's last token.
        let values = words.iter().enumerate().flat_map(|(index, word)| {
            let state = (word.len().max(1) - 1) * count + index;
            states[state * self.width..][..self.width].iter().copied()
        });
        Ok(HotwordEmbeddings { values: values.collect(), count })
    }
}

/// Converts hotwords to tokens.
#[derive(Debug)]
pub(super) struct HotwordTokenizer {
    vocabulary: Arc<Vocabulary>,
    /// Tokens of words, from the model's `seg_dict`.
    segmentation: HashMap<String, Vec<String>>,
    unknown: u32,
}

impl HotwordTokenizer {
    /// Opens `seg_dict`, if there is one: lines of a word and its tokens.
    pub(super) fn new(vocabulary: Arc<Vocabulary>, seg_dict: Option<&Path>) -> Result<Self, Error> {
        let mut segmentation = HashMap::new();
        if let Some(path) = seg_dict {
            for line in files::read_text(path)?.lines() {
                let mut fields = line.split_whitespace().map(str::to_owned);
                if let Some(word) = fields.next() {
                    segmentation.insert(word, fields.collect());
                }
            }
        }
        // The last token is the unknown one in all published vocabularies.
        let last = vocabulary.symbols().len().saturating_sub(1) as u32;
        let unknown = vocabulary.id("<unk>").unwrap_or(last);
        Ok(Self { vocabulary, segmentation, unknown })
    }

    /// Returns the tokens of all hotwords of a list, followed by [`NO_HOTWORD`].
    pub(super) fn tokenize_all(&self, hotwords: &[String]) -> Result<Vec<Vec<u32>>, Error> {
        if hotwords.len() > MAX_HOTWORDS {
            let message =
                format!("and {} more: at most {MAX_HOTWORDS} can be given", hotwords.len() - 1);
            return Err(refused(&hotwords[0], message));
        }
        let mut words =
            hotwords.iter().map(|hotword| self.tokenize(hotword)).collect::<Result<Vec<_>, _>>()?;
        words.push(vec![NO_HOTWORD]);
        Ok(words)
    }

    /// Returns the tokens of one hotword: with a `seg_dict` like FunASR's `generate_hotwords_list`,
    /// without one like `funasr_onnx`, character by character.
    pub(super) fn tokenize(&self, hotword: &str) -> Result<Vec<u32>, Error> {
        let mut ids = Vec::new();
        for word in split_runs(&hotword.to_lowercase()) {
            match self.segmentation.get(word) {
                Some(tokens) => ids.extend(tokens.iter().map(|token| self.id(token))),
                None => match self.vocabulary.id(word) {
                    Some(id) => ids.push(id),
                    None => {
                        ids.extend(word.chars().map(|char| self.id(char.encode_utf8(&mut [0; 4]))))
                    }
                },
            }
        }
        match ids.len() {
            0 => Err(refused(hotword, "is empty")),
            1..=MAX_TOKENS => Ok(ids),
            count => {
                let message = format!(
                    "has {count} tokens, but the model takes at most {MAX_TOKENS}: shorten it"
                );
                Err(refused(hotword, message))
            }
        }
    }

    fn id(&self, symbol: &str) -> u32 {
        self.vocabulary.id(symbol).unwrap_or(self.unknown)
    }
}

/// Splits text into words and single Chinese characters.
fn split_runs(text: &str) -> Vec<&str> {
    let ideograph = |char| matches!(char, '\u{3400}'..='\u{9fff}');
    let mut runs = Vec::new();
    for word in text.split_whitespace() {
        let mut rest = word;
        while let Some(char) = rest.chars().next() {
            let length = match rest.find(ideograph) {
                Some(0) => char.len_utf8(),
                Some(start) => start,
                None => rest.len(),
            };
            let (run, after) = rest.split_at(length);
            runs.push(run);
            rest = after;
        }
    }
    runs
}

fn refused(hotword: &str, message: impl ToString) -> Error {
    Error::Hotword { hotword: hotword.to_owned(), message: message.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;

    fn tokenizer(seg_dict: Option<&str>) -> HotwordTokenizer {
        let symbols = ["<blank>", "<s>", "</s>", "你", "好", "hel@@", "lo", "the", "x", "<unk>"];
        let tokens = Vocabulary::new(symbols.map(str::to_owned).to_vec(), Path::new("tokens.json"));
        let files: Vec<_> = seg_dict.map(|text| ("seg_dict", text)).into_iter().collect();
        let directory = fixtures::directory(&files);
        let path = seg_dict.map(|_| directory.path().join("seg_dict"));
        HotwordTokenizer::new(Arc::new(tokens.expect("tokens")), path.as_deref())
            .expect("tokenizer")
    }

    #[test]
    fn words_become_tokens() {
        let with = tokenizer(Some("hello hel@@ lo\n你 你\n\nodd\n"));
        let without = tokenizer(None);
        for (hotword, expected, letters) in [
            ("你好", vec![3, 4], vec![3, 4]),
            ("Hello 你", vec![5, 6, 3], vec![9, 9, 9, 9, 9, 3]),
            ("hello你the", vec![5, 6, 3, 7], vec![9, 9, 9, 9, 9, 3, 7]),
            ("x界", vec![8, 9], vec![8, 9]),
        ] {
            assert_eq!(with.tokenize(hotword).expect(hotword), expected, "{hotword}");
            assert_eq!(without.tokenize(hotword).expect(hotword), letters, "{hotword}");
        }
    }

    #[test]
    fn errors_name_the_hotword_and_the_cause() {
        let tokenizer = tokenizer(Some("odd\n"));
        for (hotword, cause) in [
            ("", "is empty"),
            ("odd", "is empty"),
            (
                "你你你你你你你你你你你",
                "`你你你你你你你你你你你` has 11 tokens, but the model takes at most 10",
            ),
        ] {
            let message = tokenizer.tokenize(hotword).expect_err(cause).to_string();
            assert!(message.contains(cause), "{message}");
        }
        assert_eq!(tokenizer.tokenize(&"你".repeat(10)).expect("ten").len(), 10);
        let many = vec!["好".to_owned(); MAX_HOTWORDS + 1];
        assert!(tokenizer.tokenize_all(&many).is_err());
        assert_eq!(tokenizer.tokenize_all(&many[..2]).expect("two"), [[4], [4], [1]]);
    }
}
