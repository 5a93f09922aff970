//! Hotwords: words to expect, each as an embedding that SeACo's decoder attends to
//! (<https://arxiv.org/abs/2308.03266>).

use std::{
    collections::HashMap,
    fs,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use engine::{ElementType, Input, OnnxFile, OnnxNetwork};

use crate::{files::broken, funasr::Tokens, recognizer::Error};

/// Tokens per hotword; the exported network takes no other number.
const LONGEST: usize = 10;
/// The token that stands for "none of them": `<s>`.
const NONE: u32 = 1;
/// Lists of hotwords whose embeddings are kept.
const KEPT: usize = 8;
/// More hotwords than that only confuse the model.
pub(super) const MOST: usize = 4096;

/// Embeds lists of hotwords.
pub(super) struct Embedder {
    network: OnnxNetwork,
    width: usize,
    /// The last lists, the latest last.
    kept: Mutex<Vec<Kept>>,
}

struct Kept {
    list: Arc<[String]>,
    embeddings: Arc<Embeddings>,
}

/// One embedding per hotword, and a last one for none of them. Row-major `[count, width]`.
#[derive(Debug, PartialEq)]
pub(super) struct Embeddings {
    pub(super) values: Vec<f32>,
    pub(super) count: usize,
}

impl Embedder {
    /// `width`: that of the embeddings which the recognizer takes.
    pub(super) fn open(path: &Path, width: usize, vocabulary: usize) -> Result<Self, Error> {
        let file = OnnxFile::read(path).map_err(|error| broken(path, error))?;
        let [input] = file.inputs() else {
            return Err(broken(path, "is no embedder of hotwords: it takes other inputs"));
        };
        let Some(output) = file.outputs().first().filter(|_| input.element == ElementType::I32)
        else {
            return Err(broken(path, "is no embedder of hotwords: it takes no token ids"));
        };
        let shape = ["hotwords".into(), LONGEST.into()];
        let network = file
            .network(&[Input::new(&input.name, shape)], &[&output.name])
            .map_err(|error| broken(path, error))?;
        let embedder = Self { network, width, kept: Mutex::default() };
        let last = vocabulary.saturating_sub(1) as u32;
        let probe = embedder
            .embed(&[vec![last; LONGEST], vec![NONE]])
            .map_err(|error| broken(path, error))?;
        if probe.values.iter().any(|value| !value.is_finite()) {
            return Err(broken(path, "its weights are damaged: the embeddings are no numbers"));
        }
        Ok(embedder)
    }

    /// The embeddings of a list: computed once, then kept for the segments to come.
    pub(super) fn list(
        &self,
        hotwords: &Arc<[String]>,
        speller: &Speller,
    ) -> Result<Arc<Embeddings>, Error> {
        let lock = || self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = lock().iter().find(|kept| kept.list == *hotwords) {
            return Ok(found.embeddings.clone());
        }
        let embeddings = Arc::new(self.embed(&speller.spell_all(hotwords)?)?);
        let mut kept = lock();
        if kept.len() >= KEPT {
            kept.remove(0);
        }
        kept.push(Kept { list: hotwords.clone(), embeddings: embeddings.clone() });
        Ok(embeddings)
    }

    /// `words`: token ids, 1 to [`LONGEST`] each.
    fn embed(&self, words: &[Vec<u32>]) -> Result<Embeddings, Error> {
        let count = words.len();
        let mut ids = vec![0i32; count * LONGEST];
        for (row, word) in ids.chunks_exact_mut(LONGEST).zip(words) {
            row.iter_mut().zip(word).for_each(|(slot, &id)| *slot = id as i32);
        }
        let ids = engine::tensor(&[count, LONGEST], &ids).map_err(network)?;
        let outputs = self.network.run(vec![ids]).map_err(network)?;
        let states = match outputs.as_slice() {
            [states] if states.shape() == [LONGEST, count, self.width] => states,
            _ => return Err(Error::Network("the hotwords' embeddings do not fit".into())),
        };
        let states = engine::values::<f32>(states).map_err(network)?;
        // An LSTM has read a word when it has read its last token.
        let values = words.iter().enumerate().flat_map(|(index, word)| {
            let state = (word.len().max(1) - 1) * count + index;
            states[state * self.width..][..self.width].iter().copied()
        });
        Ok(Embeddings { values: values.collect(), count })
    }
}

/// Turns hotwords into tokens.
#[derive(Debug)]
pub(super) struct Speller {
    tokens: Arc<Tokens>,
    /// Pieces of words, from the model's `seg_dict`.
    pieces: HashMap<String, Vec<String>>,
    unknown: u32,
}

impl Speller {
    /// `seg_dict`: lines of a word and its pieces.
    pub(super) fn new(tokens: Arc<Tokens>, seg_dict: Option<&Path>) -> Result<Self, Error> {
        let mut pieces = HashMap::new();
        if let Some(path) = seg_dict {
            let text = fs::read_to_string(path)
                .map_err(|error| broken(path, format!("cannot be read: {error}")))?;
            for line in text.lines() {
                let mut fields = line.split_whitespace().map(str::to_owned);
                if let Some(word) = fields.next() {
                    pieces.insert(word, fields.collect());
                }
            }
        }
        // The last token is the unknown one in all vocabularies published.
        let last = tokens.symbols().len().saturating_sub(1) as u32;
        let unknown = tokens.id("<unk>").unwrap_or(last);
        Ok(Self { tokens, pieces, unknown })
    }

    /// All hotwords of a list, and the one that is none of them.
    pub(super) fn spell_all(&self, hotwords: &[String]) -> Result<Vec<Vec<u32>>, Error> {
        if hotwords.len() > MOST {
            let message = format!("and {} more: at most {MOST} can be given", hotwords.len() - 1);
            return Err(refused(&hotwords[0], message));
        }
        let mut words =
            hotwords.iter().map(|hotword| self.spell(hotword)).collect::<Result<Vec<_>, _>>()?;
        words.push(vec![NONE]);
        Ok(words)
    }

    /// The tokens of one hotword, as FunASR's `generate_hotwords_list` does with a `seg_dict`, and
    /// as `funasr_onnx` without: character by character.
    pub(super) fn spell(&self, hotword: &str) -> Result<Vec<u32>, Error> {
        let mut ids = Vec::new();
        for word in runs(&hotword.to_lowercase()) {
            match self.pieces.get(word) {
                Some(pieces) => ids.extend(pieces.iter().map(|piece| self.id(piece))),
                None => match self.tokens.id(word) {
                    Some(id) => ids.push(id),
                    None => {
                        ids.extend(word.chars().map(|char| self.id(char.encode_utf8(&mut [0; 4]))))
                    }
                },
            }
        }
        match ids.len() {
            0 => Err(refused(hotword, "is empty")),
            1..=LONGEST => Ok(ids),
            count => {
                let message =
                    format!("is {count} tokens long, and the model takes {LONGEST}: shorten it");
                Err(refused(hotword, message))
            }
        }
    }

    fn id(&self, symbol: &str) -> u32 {
        self.tokens.id(symbol).unwrap_or(self.unknown)
    }
}

/// Words, and characters of scripts that do without spaces.
fn runs(text: &str) -> Vec<&str> {
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

fn network(error: engine::Error) -> Error {
    Error::Network(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn speller(seg_dict: Option<&str>) -> Speller {
        let symbols = ["<blank>", "<s>", "</s>", "你", "好", "hel@@", "lo", "the", "x", "<unk>"];
        let tokens = Tokens::new(symbols.map(str::to_owned).to_vec(), Path::new("tokens.json"));
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("seg_dict");
        let path = seg_dict.map(|text| {
            fs::write(&path, text).expect("write");
            path
        });
        Speller::new(Arc::new(tokens.expect("tokens")), path.as_deref()).expect("speller")
    }

    #[test]
    fn words_become_tokens() {
        let with = speller(Some("hello hel@@ lo\n你 你\n\nodd\n"));
        let without = speller(None);
        for (hotword, expected, letters) in [
            ("你好", vec![3, 4], vec![3, 4]),
            ("Hello 你", vec![5, 6, 3], vec![9, 9, 9, 9, 9, 3]),
            ("hello你the", vec![5, 6, 3, 7], vec![9, 9, 9, 9, 9, 3, 7]),
            ("x界", vec![8, 9], vec![8, 9]),
        ] {
            assert_eq!(with.spell(hotword).expect(hotword), expected, "{hotword}");
            assert_eq!(without.spell(hotword).expect(hotword), letters, "{hotword}");
        }
    }

    #[test]
    fn what_cannot_be_taken_is_named() {
        let speller = speller(Some("odd\n"));
        for (hotword, cause) in [
            ("", "is empty"),
            ("odd", "is empty"),
            (
                "你你你你你你你你你你你",
                "`你你你你你你你你你你你` is 11 tokens long, and the model takes 10",
            ),
        ] {
            let message = speller.spell(hotword).expect_err(cause).to_string();
            assert!(message.contains(cause), "{message}");
        }
        assert_eq!(speller.spell(&"你".repeat(10)).expect("ten").len(), 10);
        let many = vec!["好".to_owned(); MOST + 1];
        assert!(speller.spell_all(&many).is_err());
        assert_eq!(speller.spell_all(&many[..2]).expect("two"), [[4], [4], [1]]);
    }
}
