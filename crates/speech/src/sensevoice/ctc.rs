//! Greedy CTC decoding: joins runs of a class to tokens and drops blanks.

use std::ops::Range;

/// A run of frames of one class other than the blank.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub(super) id: usize,
    /// Frames whose argmax is the class.
    pub(super) frames: Range<usize>,
    /// Natural log-probability at the frame of these where it is highest.
    pub(super) log_probability: f32,
}

/// Decodes the most probable class of each frame, with its log-probability, by greedy search
/// (Graves et al. 2006).
pub(super) fn greedy(classes: Vec<(usize, f32)>, blank: usize) -> Vec<Token> {
    let mut tokens: Vec<Token> = Vec::new();
    let mut previous = blank;
    for (frame, (id, log_probability)) in classes.into_iter().enumerate() {
        if id != blank {
            match tokens.last_mut() {
                Some(last) if id == previous => {
                    last.frames.end = frame + 1;
                    last.log_probability = last.log_probability.max(log_probability);
                }
                _ => tokens.push(Token { id, frames: frame..frame + 1, log_probability }),
            }
        }
        previous = id;
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_joined_and_blanks_dropped() {
        let classes = [1, 1, 0, 1, 2, 2, 0, 0, 2];
        let frames = classes.iter().enumerate().map(|(frame, &class)| (class, -1.0 / frame as f32));
        let tokens = greedy(frames.collect(), 0);
        let found: Vec<_> =
            tokens.iter().map(|token| (token.id, token.frames.start, token.frames.end)).collect();
        assert_eq!(found, [(1, 0, 2), (1, 3, 4), (2, 4, 6), (2, 8, 9)]);
        assert_eq!(tokens[0].log_probability, -1.0, "that of the better of two frames");
        assert_eq!(greedy(Vec::new(), 0), []);
    }
}
