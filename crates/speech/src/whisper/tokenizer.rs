//! Whisper's tokens: text tokens, and special tokens by name, because their ids differ between
//! models.

use std::{collections::BTreeSet, path::Path};

use crate::{
    files::{self, broken, broken_by},
    recognizer::Error,
};

/// A `tokenizer.json`, read by Hugging Face's `tokenizers`.
pub(super) struct Tokenizer {
    inner: tokenizers::Tokenizer,
    /// Tokens below this one are text.
    pub(super) end_of_text: u32,
    pub(super) start_of_transcript: u32,
    pub(super) no_timestamps: u32,
    /// The next five are absent from some tokenizers.
    pub(super) transcribe: Option<u32>,
    pub(super) translate: Option<u32>,
    pub(super) start_of_language_model: Option<u32>,
    pub(super) start_of_previous: Option<u32>,
    pub(super) no_speech: Option<u32>,
    /// Codes and tokens of the languages, in the order of the tokens.
    pub(super) languages: Vec<(String, u32)>,
}

impl Tokenizer {
    /// Opens a `tokenizer.json`.
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let inner = tokenizers::Tokenizer::from_bytes(files::read(path)?)
            .map_err(|error| broken_by(path, "is not a tokenizer", error))?;
        let find = |name: &str| inner.token_to_id(name);
        let need = |name| {
            find(name).ok_or_else(|| {
                broken(path, format!("has no token {name}: it is not a tokenizer of Whisper"))
            })
        };
        let mut languages: Vec<(String, u32)> = inner
            .get_added_tokens_decoder()
            .iter()
            .filter_map(|(&token, added)| Some((language_code(&added.content)?.to_owned(), token)))
            .collect();
        languages.sort_by_key(|&(_, token)| token);
        Ok(Self {
            end_of_text: need("<|endoftext|>")?,
            start_of_transcript: need("<|startoftranscript|>")?,
            no_timestamps: need("<|notimestamps|>")?,
            transcribe: find("<|transcribe|>"),
            translate: find("<|translate|>"),
            start_of_language_model: find("<|startoflm|>"),
            start_of_previous: find("<|startofprev|>"),
            no_speech: find("<|nospeech|>").or_else(|| find("<|nocaptions|>")),
            languages,
            inner,
        })
    }

    /// Returns the timestamp token of 0.00 seconds.
    pub(super) fn timestamp_begin(&self) -> u32 {
        self.no_timestamps + 1
    }

    /// Returns the token of a language.
    pub(super) fn language(&self, code: &str) -> Option<u32> {
        self.languages.iter().find(|(known, _)| known == code).map(|&(_, token)| token)
    }

    /// Decodes the text tokens among `tokens`. Invalid UTF-8, for example a character that is cut
    /// off, becomes U+FFFD.
    pub(super) fn text(&self, tokens: &[u32]) -> String {
        let text: Vec<u32> =
            tokens.iter().copied().filter(|&token| token < self.end_of_text).collect();
        self.inner.decode(&text, true).unwrap_or_default()
    }

    /// Returns the tokens that must not be generated: those that belong in prompts, and those that
    /// start symbols of things that are not spoken.
    pub(super) fn suppressed(&self) -> Result<Vec<u32>, tokenizers::Error> {
        let mut tokens = self.non_speech_tokens()?;
        tokens.insert(self.start_of_transcript);
        tokens.extend(
            [
                self.transcribe,
                self.translate,
                self.start_of_language_model,
                self.start_of_previous,
                self.no_speech,
            ]
            .into_iter()
            .flatten(),
        );
        Ok(tokens.into_iter().collect())
    }

    /// Returns the tokens that must not be generated first: the blank and the end of the text.
    pub(super) fn suppressed_at_begin(&self) -> Result<Vec<u32>, tokenizers::Error> {
        let mut tokens = self.encode(" ")?;
        tokens.push(self.end_of_text);
        Ok(tokens)
    }

    /// Returns the tokens of speaker tags and annotations such as `[MUSIC]` or `♪♪`, as OpenAI's
    /// `Tokenizer.non_speech_tokens` (tokenizer.py) does. Hyphens and apostrophes stay allowed within
    /// words.
    fn non_speech_tokens(&self) -> Result<BTreeSet<u32>, tokenizers::Error> {
        const ANYWHERE: &str = "\" # ( ) * + / : ; < = > @ [ \\ ] ^ _ ` { | } ~ 「 」 『 』 \
             << >> <<< >>> -- --- -( -[ (' (\" (( )) ((( ))) [[ ]] {{ }} ♪♪ ♪♪♪";
        // A note may take several tokens. The first one is suppressed even so, because it starts no
        // character that is spoken.
        const NOTES: &str = "♩ ♪ ♫ ♬ ♭ ♮ ♯";

        let mut found = BTreeSet::new();
        for hyphen in [" -", " '"] {
            found.extend(self.encode(hyphen)?.first());
        }
        for (symbols, first_of_several) in [(ANYWHERE, false), (NOTES, true)] {
            for symbol in symbols.split(' ') {
                for text in [symbol.to_owned(), format!(" {symbol}")] {
                    let tokens = self.encode(&text)?;
                    if tokens.len() == 1 || first_of_several {
                        found.extend(tokens.first());
                    }
                }
            }
        }
        Ok(found)
    }

    /// Encodes text, without special tokens.
    pub(super) fn encode(&self, text: &str) -> Result<Vec<u32>, tokenizers::Error> {
        Ok(self.inner.encode_fast(text, false)?.get_ids().to_vec())
    }
}

/// Returns the language code of a token, e.g. `en` of `<|en|>`: two or three lower-case letters.
fn language_code(token: &str) -> Option<&str> {
    let code = token.strip_prefix("<|")?.strip_suffix("|>")?;
    let is_code = matches!(code.len(), 2 | 3) && code.bytes().all(|byte| byte.is_ascii_lowercase());
    is_code.then_some(code)
}

#[cfg(test)]
pub(super) mod tests {
    use std::fs;

    use super::*;

    /// Returns the printable characters that stand for the 256 bytes in GPT-2's vocabulary.
    fn byte_alphabet() -> Vec<char> {
        let printable = |byte: &u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
        let mut others = 256..;
        (0..=255u8)
            .map(|byte| {
                let code = if printable(&byte) { Some(byte.into()) } else { others.next() };
                char::from_u32(code.unwrap()).unwrap()
            })
            .collect()
    }

    /// Returns a `tokenizer.json` whose text tokens are the 256 bytes and " -", followed by
    /// `special`.
    pub(in crate::whisper) fn tokenizer_json(special: &[&str]) -> String {
        let mut vocabulary: serde_json::Map<String, serde_json::Value> = byte_alphabet()
            .into_iter()
            .enumerate()
            .map(|(token, letter)| (letter.to_string(), token.into()))
            .collect();
        vocabulary.insert("Ġ-".into(), 256.into());
        let added: Vec<_> = special
            .iter()
            .enumerate()
            .map(|(i, content)| {
                serde_json::json!({
                    "id": 257 + i, "content": content, "special": true, "single_word": false,
                    "lstrip": false, "rstrip": false, "normalized": false
                })
            })
            .collect();
        let level = serde_json::json!({
            "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true
        });
        serde_json::json!({
            "version": "1.0", "truncation": null, "padding": null, "added_tokens": added,
            "normalizer": null, "pre_tokenizer": level, "post_processor": null, "decoder": level,
            "model": {
                "type": "BPE", "dropout": null, "unk_token": null, "fuse_unk": false,
                "continuing_subword_prefix": "", "end_of_word_suffix": "",
                "vocab": vocabulary, "merges": ["Ġ -"]
            }
        })
        .to_string()
    }

    const SPECIAL: [&str; 10] = [
        "<|endoftext|>",
        "<|startoftranscript|>",
        "<|en|>",
        "<|haw|>",
        "<|translate|>",
        "<|transcribe|>",
        "<|startoflm|>",
        "<|startofprev|>",
        "<|nocaptions|>",
        "<|notimestamps|>",
    ];

    fn open(json: &str) -> Result<Tokenizer, Error> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tokenizer.json");
        fs::write(&path, json).unwrap();
        Tokenizer::open(&path)
    }

    #[test]
    fn special_tokens_are_found_by_name() {
        let tokenizer = open(&tokenizer_json(&SPECIAL)).unwrap();
        assert_eq!(tokenizer.end_of_text, 257);
        assert_eq!(tokenizer.start_of_transcript, 258);
        assert_eq!(tokenizer.languages, [("en".to_owned(), 259), ("haw".to_owned(), 260)]);
        assert_eq!(tokenizer.language("haw"), Some(260));
        assert_eq!(tokenizer.language("de"), None);
        assert_eq!(tokenizer.no_speech, Some(265));
        assert_eq!(tokenizer.timestamp_begin(), 267);

        let newer =
            SPECIAL.map(|name| if name == "<|nocaptions|>" { "<|nospeech|>" } else { name });
        assert_eq!(open(&tokenizer_json(&newer)).unwrap().no_speech, Some(265));
    }

    #[test]
    fn text_leaves_out_special_tokens_and_shows_broken_characters() {
        let tokenizer = open(&tokenizer_json(&SPECIAL)).unwrap();
        let tokens = |bytes: &[u8]| bytes.iter().map(|&byte| byte.into()).collect::<Vec<u32>>();
        let mut mixed = vec![258, 270];
        mixed.extend(tokens("né".as_bytes()));
        mixed.push(280);
        assert_eq!(tokenizer.text(&mixed), "né");
        assert_eq!(tokenizer.text(&tokens(&"né".as_bytes()[..2])), "n\u{fffd}");
        assert_eq!(tokenizer.text(&[]), "");
        assert_eq!(tokenizer.text(&[u32::MAX]), "");
    }

    #[test]
    fn symbols_that_are_not_spoken_are_suppressed() {
        let tokenizer = open(&tokenizer_json(&SPECIAL)).unwrap();
        let suppressed = tokenizer.suppressed().unwrap();
        for symbol in *b"\"#[{~" {
            assert!(suppressed.contains(&symbol.into()));
        }
        // A note is three tokens here. The first one is suppressed.
        assert!(suppressed.contains(&0xe2));
        for allowed in *b"-'.,?!a" {
            assert!(!suppressed.contains(&allowed.into()));
        }
        // " -" is one token. " '" is two, of which the first is suppressed.
        assert!(suppressed.contains(&256) && suppressed.contains(&b' '.into()));
        for special in [258, 261, 262, 263, 264, 265] {
            assert!(suppressed.contains(&special));
        }
        for kept in [257, 266] {
            assert!(!suppressed.contains(&kept));
        }
        assert_eq!(tokenizer.suppressed_at_begin().unwrap(), [32, 257]);
    }

    #[test]
    fn other_tokenizers_are_refused() {
        for (json, expected) in [
            ("", "is not a tokenizer"),
            ("{}", "is not a tokenizer"),
            (&tokenizer_json(&SPECIAL[..9]), "has no token <|notimestamps|>"),
            (&tokenizer_json(&[]), "has no token <|endoftext|>"),
        ] {
            let error = open(json).err().unwrap().to_string();
            assert!(error.contains("tokenizer.json") && error.contains(expected), "{error}");
        }
    }
}
