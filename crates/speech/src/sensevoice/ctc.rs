//! From the likeliest class of each frame to tokens: runs joined, blanks dropped.

use std::ops::Range;

/// A class other than the blank.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub(super) id: usize,
    /// Where it is the likeliest.
    pub(super) frames: Range<usize>,
    /// Natural; at the frame of these where it is highest.
    pub(super) log_probability: f32,
}

/// Greedy search (Graves et al. 2006) over the likeliest class, and its log-probability, of each frame.
pub(super) fn greedy(likeliest: Vec<(usize, f32)>, blank: usize) -> Vec<Token> {
    let mut tokens: Vec<Token> = Vec::new();
    let mut before = blank;
    for (frame, (id, log_probability)) in likeliest.into_iter().enumerate() {
        if id != blank {
            match tokens.last_mut() {
                Some(last) if id == before => {
                    last.frames.end = frame + 1;
                    last.log_probability = last.log_probability.max(log_probability);
                }
                _ => tokens.push(Token { id, frames: frame..frame + 1, log_probability }),
            }
        }
        before = id;
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
        assert_eq!(tokens[0].log_probability, -1.0, "of the better of two frames");
        assert_eq!(greedy(Vec::new(), 0), []);
    }
}
