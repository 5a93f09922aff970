//! The readers of the single files of a model directory, for the fuzzers: a directory whose files fit
//! together, which opening a model needs, is rarely found by chance.

use std::path::Path;

use crate::{
    features::Cmvn, funasr, itn, paraformer, parakeet, punctuation, sensevoice, vad, whisper,
};

/// Reads each file in a directory with all readers that take one of its name. What they refuse is of no
/// interest: the caller wants to know whether they end.
pub fn read_files(directory: &Path) {
    for name in ["am.mvn", "vad.mvn", "asr.mvn"] {
        let _ = Cmvn::open(&directory.join(name));
    }
    funasr::read_untrusted(directory);
    paraformer::read_untrusted(directory);
    parakeet::read_untrusted(directory);
    punctuation::read_untrusted(directory);
    sensevoice::read_untrusted(directory);
    vad::read_untrusted(directory);
    whisper::read_untrusted(directory);
}

/// Returns what a grammar makes of a text; `None` if it is not a grammar, or does not accept the text.
pub fn transduce(grammar: &[u8], text: &[u8]) -> Option<Vec<u8>> {
    itn::transduce_untrusted(grammar, text)
}
