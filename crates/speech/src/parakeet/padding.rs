//! Silence around a segment. The model loses a last word that ends with the recording, and finds nothing at
//! all in some segments with a certain silence before the speech, but does with more.

use super::{decode::Token, mel::HOP};
use crate::recognizer::Error;

const SAMPLE_RATE: usize = 16_000;
/// Silence after the last word, in samples: 0.5 s.
const TRAILING: usize = SAMPLE_RATE / 2;
/// Silence before the segment in a second attempt, in samples: 0.5 s.
const LEADING: usize = SAMPLE_RATE / 2;
/// Energy of a frame that counts as silence, as a ratio to that of the loudest: 30 dB below it.
const QUIET: f32 = 1e-3;

/// Most seconds that are added to a segment.
pub(super) const MAX_PADDING: f64 = (TRAILING + LEADING) as f64 / SAMPLE_RATE as f64;

/// Tokens of a segment, and the seconds of silence before it that their frames include.
#[derive(Debug, PartialEq)]
pub(super) struct Decoded {
    pub(super) tokens: Vec<Token>,
    pub(super) lead: f64,
}

/// Decodes a segment with silence after it, and, if that gives no token of which `is_text` and the segment
/// is not digital silence, once more with silence before it, too.
pub(super) fn decode_padded(
    samples: &[f32],
    decode: impl Fn(&[f32]) -> Result<Vec<Token>, Error>,
    is_text: impl Fn(&Token) -> bool,
) -> Result<Decoded, Error> {
    let attempt = |leading: usize| {
        let trailing = TRAILING.saturating_sub(trailing_silence(samples));
        let mut padded = Vec::with_capacity(leading + samples.len() + trailing);
        padded.resize(leading, 0.0);
        padded.extend_from_slice(samples);
        padded.resize(padded.len() + trailing, 0.0);
        let lead = leading as f64 / SAMPLE_RATE as f64;
        Ok(Decoded { tokens: decode(&padded)?, lead })
    };
    let decoded = attempt(0)?;
    if decoded.tokens.iter().any(is_text) || samples.iter().all(|&sample| sample == 0.0) {
        return Ok(decoded);
    }
    attempt(LEADING)
}

/// Returns the number of samples after the last frame that is not silent.
fn trailing_silence(samples: &[f32]) -> usize {
    let energy = |frame: &[f32]| frame.iter().map(|sample| sample * sample).sum::<f32>();
    let loudest = samples.rchunks(HOP).map(energy).fold(0.0, f32::max);
    let is_quiet = |frame: &&[f32]| energy(frame) <= QUIET * loudest;
    samples.rchunks(HOP).take_while(is_quiet).map(<[f32]>::len).sum()
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    const TOKEN: Token = Token { id: 0, frame: 0, duration: 1, log_probability: 0.0 };

    /// Decodes with a network that finds a token in attempts from `first` on; also returns the padded
    /// segments.
    fn run(samples: &[f32], first: usize) -> (Decoded, Vec<Vec<f32>>) {
        let attempts = RefCell::new(Vec::new());
        let decode = |padded: &[f32]| {
            attempts.borrow_mut().push(padded.to_vec());
            Ok(if attempts.borrow().len() > first { vec![TOKEN] } else { Vec::new() })
        };
        let decoded = decode_padded(samples, decode, |token| token.id == 0).expect("decodes");
        (decoded, attempts.into_inner())
    }

    #[test]
    fn half_a_second_of_silence_follows() {
        let speech = vec![0.5; 5000];
        let (decoded, attempts) = run(&speech, 0);
        assert_eq!(decoded, Decoded { tokens: vec![TOKEN], lead: 0.0 });
        assert_eq!(attempts, [[&speech[..], &[0.0; 8000]].concat()]);
        // Silence that the segment has counts.
        let (_, attempts) = run(&[&speech[..], &[0.001; 3200]].concat(), 0);
        assert_eq!(attempts[0].len(), 5000 + 8000);
        let (_, attempts) = run(&[&speech[..], &[0.001; 9600]].concat(), 0);
        assert_eq!(attempts[0].len(), 5000 + 9600);
        let quiet = vec![0.001; 5000];
        assert_eq!(run(&quiet, 0).1[0].len(), 5000 + 8000, "what is quiet depends on the segment");
    }

    #[test]
    fn speech_without_tokens_is_decoded_again() {
        let speech = vec![0.5; 5000];
        let (decoded, attempts) = run(&speech, 1);
        assert_eq!(decoded, Decoded { tokens: vec![TOKEN], lead: 0.5 });
        assert_eq!(attempts[1], [&[0.0; 8000], &attempts[0][..]].concat());
        let (decoded, attempts) = run(&speech, 9);
        assert_eq!((decoded.tokens.len(), attempts.len()), (0, 2), "once");
        assert_eq!(run(&[0.0; 5000], 9).1.len(), 1, "nobody speaks in digital silence");
    }

    #[test]
    fn tokens_that_are_not_text_do_not_count() {
        let attempts = RefCell::new(0);
        let decode = |_: &[f32]| {
            *attempts.borrow_mut() += 1;
            Ok(vec![Token { id: 7, ..TOKEN }])
        };
        decode_padded(&[0.5; 500], decode, |token| token.id == 0).expect("decodes");
        assert_eq!(attempts.into_inner(), 2);
    }
}
