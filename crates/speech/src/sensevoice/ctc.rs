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
    use proptest::prelude::*;

    use super::*;

    const BLANK: usize = 0;

    /// Returns the most probable way through `scores` (rows of classes) that gives `tokens`: the class of
    /// each frame. Plain forced alignment (Graves et al. 2006): blanks may stand between tokens, and must
    /// between two that are the same.
    fn forced_alignment(scores: &[[f32; 4]], tokens: &[usize]) -> Vec<usize> {
        let states: Vec<usize> =
            tokens.iter().flat_map(|&token| [BLANK, token]).chain([BLANK]).collect();
        let mut best = vec![vec![f32::NEG_INFINITY; states.len()]; scores.len()];
        let mut from = vec![vec![0; states.len()]; scores.len()];
        for (frame, row) in scores.iter().enumerate() {
            for (state, &class) in states.iter().enumerate() {
                let skips = state >= 2 && class != BLANK && class != states[state - 2];
                let first = state.saturating_sub(if skips { 2 } else { 1 });
                let before = |state: usize| match frame {
                    0 if state == 0 => 0.0,
                    0 => f32::NEG_INFINITY,
                    _ => best[frame - 1][state],
                };
                // The first frame may also begin with the first token.
                let start = if frame == 0 && state <= 1 { 0..=0 } else { first..=state };
                let parent =
                    start.max_by(|&a, &b| before(a).total_cmp(&before(b))).unwrap_or(state);
                best[frame][state] = before(parent) + row[class];
                from[frame][state] = parent;
            }
        }
        let Some(last) = best.last() else { return Vec::new() };
        let end = states.len() - 1;
        let mut state = if end > 0 && last[end - 1] > last[end] { end - 1 } else { end };
        let mut path = Vec::new();
        for frame in (0..scores.len()).rev() {
            path.push(states[state]);
            state = from[frame][state];
        }
        path.reverse();
        path
    }

    proptest! {
        /// The runs of the greedy path are where forced alignment, as FunASR does it, puts its tokens.
        #[test]
        fn runs_are_those_of_forced_alignment(
            scores in prop::collection::vec(prop::array::uniform4(-9.0f32..0.0), 0..40),
        ) {
            let classes: Vec<(usize, f32)> = scores
                .iter()
                .map(|row| {
                    let class = (0..4).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap_or(BLANK);
                    (class, row[class])
                })
                .collect();
            let tokens = greedy(classes, BLANK);
            let ids: Vec<usize> = tokens.iter().map(|token| token.id).collect();
            let mut path = vec![BLANK; scores.len()];
            for token in &tokens {
                path[token.frames.clone()].fill(token.id);
            }
            prop_assert_eq!(path, forced_alignment(&scores, &ids));
        }
    }

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
