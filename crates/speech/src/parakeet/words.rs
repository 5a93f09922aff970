//! Text and words of decoded tokens.

use super::{decode::Token, vocabulary::Piece};
use crate::{
    recognizer::Word,
    timed_pieces::{TimedPiece, words},
};

/// Seconds from one frame of the encoder to the next.
pub(super) const FRAME_SECONDS: f64 = 0.08;

/// What was said in a segment. Times are in seconds from its start.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Said {
    pub(super) text: String,
    pub(super) words: Vec<Word>,
    /// Ids of the tokens that are text.
    pub(super) tokens: Vec<u32>,
    /// Mean log-probability of these.
    pub(super) log_probability: f32,
}

/// Joins tokens to text as SentencePiece does, and to words: one begins where a piece begins with a space,
/// lasts from the frame of its first letter to the end of its last, whatever punctuation follows, and lies
/// within `seconds`. `lead`: the seconds of padding before the segment.
pub(super) fn said(tokens: &[Token], pieces: &[Piece], lead: f64, seconds: f64) -> Said {
    let time = |frame: usize| (frame as f64 * FRAME_SECONDS - lead).clamp(0.0, seconds);
    let mut said = Said::default();
    let mut timed: Vec<TimedPiece<'_>> = Vec::new();
    for token in tokens {
        let Some(text) = pieces.get(token.id).and_then(Piece::text) else { continue };
        timed.push(TimedPiece {
            text: text.as_bytes(),
            time: time(token.frame)..time(token.frame + token.duration),
            log_probability: token.log_probability,
        });
        said.tokens.push(token.id as u32);
    }
    (said.text, said.words) = words(&timed, |_| true);
    widen(&mut said.words, seconds);
    let sum: f32 = timed.iter().map(|piece| piece.log_probability).sum();
    said.log_probability = sum / timed.len().max(1) as f32;
    said
}

/// Gives words at least the length of a frame, as far as the next word leaves room for it: the last token of
/// a word may have the duration 0.
fn widen(words: &mut [Word], seconds: f64) {
    for index in 0..words.len() {
        let limit = words.get(index + 1).map_or(seconds, |next| next.start);
        let word = &mut words[index];
        word.end = word.end.max((word.start + FRAME_SECONDS).min(limit));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pieces(texts: &[&str]) -> Vec<Piece> {
        let piece = |&text: &&str| match text {
            "<unk>" => Piece::Unknown,
            "<|en|>" => Piece::Special,
            text => Piece::Text(text.to_owned()),
        };
        texts.iter().map(piece).collect()
    }

    fn token(id: usize, frame: usize, duration: usize) -> Token {
        Token { id, frame, duration, log_probability: -(id as f32) }
    }

    fn times(words: &[Word]) -> Vec<(&str, usize, usize)> {
        let frame = |time: f64| (time / FRAME_SECONDS).round() as usize;
        words.iter().map(|w| (w.text.as_str(), frame(w.start), frame(w.end))).collect()
    }

    #[test]
    fn words_begin_with_spaces_and_end_before_marks() {
        let pieces = pieces(&[" ¿", "Qu", "é", "?", " Hola", ".", " 3", "5", " "]);
        // A question mark after a pause of 20 frames, and a lone space.
        let tokens = [
            token(4, 1, 2),
            token(5, 30, 1),
            token(0, 40, 1),
            token(1, 41, 0),
            token(2, 41, 2),
            token(3, 63, 1),
            token(8, 64, 1),
            token(6, 65, 1),
            token(5, 66, 0),
            token(7, 66, 0),
        ];
        let said = said(&tokens, &pieces, 0.0, 30.0);
        assert_eq!(said.text, "Hola. ¿Qué? 3.5");
        assert_eq!(times(&said.words), [("Hola.", 1, 3), ("¿Qué?", 41, 43), ("3.5", 65, 66)]);
        assert_eq!(said.tokens, [4, 5, 0, 1, 2, 3, 8, 6, 5, 7]);
        assert_eq!(said.log_probability, -4.1);
    }

    #[test]
    fn unknown_letters_are_marked_and_specials_left_out() {
        let pieces = pieces(&["<unk>", "<|en|>", " ", "лка", " лес"]);
        let tokens =
            [token(1, 0, 1), token(2, 1, 1), token(0, 2, 1), token(3, 3, 1), token(4, 5, 1)];
        let said = said(&tokens, &pieces, 0.0, 1.0);
        assert_eq!(said.text, "\u{FFFD}лка лес");
        assert_eq!(said.tokens, [2, 0, 3, 4]);
        assert_eq!(times(&said.words), [("\u{FFFD}лка", 3, 4), ("лес", 5, 6)]);
    }

    #[test]
    fn padding_before_the_segment_is_taken_off() {
        let pieces = pieces(&[" a"]);
        let found = said(&[token(0, 5, 2), token(0, 10, 4)], &pieces, 0.48, 0.5);
        let expected = [(0.0, 0.08), (0.32, 0.5)];
        for (word, (start, end)) in found.words.iter().zip(expected) {
            assert!((word.start - start).abs() < 1e-9 && (word.end - end).abs() < 1e-9, "{word:?}");
        }
        assert_eq!(said(&[], &pieces, 0.0, 1.0), Said::default());
    }

    proptest! {
        /// Whatever is decoded, words are in order and within the segment.
        #[test]
        fn times_are_in_order(
            steps in prop::collection::vec((0usize..7, 0usize..5, 0usize..3), 0..60),
            lead in 0f64..0.6,
            seconds in 0f64..6.0,
        ) {
            let pieces = pieces(&[" a", "b", ".", " ", "<unk>", "<|en|>", "语"]);
            let mut frame = 0;
            let tokens: Vec<Token> = steps
                .iter()
                .map(|&(id, duration, blanks)| {
                    let token = token(id, frame, duration);
                    frame += duration + blanks;
                    token
                })
                .collect();
            let said = said(&tokens, &pieces, lead, seconds);
            for word in &said.words {
                prop_assert!(0.0 <= word.start && word.start <= word.end && word.end <= seconds);
            }
            for pair in said.words.windows(2) {
                prop_assert!(pair[0].start <= pair[1].start && pair[0].end <= pair[1].start);
            }
        }
    }
}
