//! Which words of a text became which of its rewritten form.

use std::ops::Range;

/// A run of words and what stands in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) words: Range<usize>,
    pub(super) tokens: Range<usize>,
}

/// The runs in which two texts differ, by their longest common subsequence. Each has words and
/// tokens: where one side were empty, the neighbour that is the same on both belongs to it.
pub(super) fn changes(words: &[&str], tokens: &[&str]) -> Vec<Change> {
    let mut changes: Vec<Change> = Vec::new();
    for gap in gaps(words, tokens) {
        let Change { words: mut from, tokens: mut to } = gap;
        if from.is_empty() || to.is_empty() {
            if from.start > 0 && to.start > 0 {
                (from.start, to.start) = (from.start - 1, to.start - 1);
            } else if from.end < words.len() && to.end < tokens.len() {
                (from.end, to.end) = (from.end + 1, to.end + 1);
            }
        }
        match changes.last_mut() {
            Some(last) if last.words.end >= from.start => {
                last.words.end = from.end;
                last.tokens.end = to.end;
            }
            _ => changes.push(Change { words: from, tokens: to }),
        }
    }
    changes
}

fn gaps(words: &[&str], tokens: &[&str]) -> Vec<Change> {
    // lengths[i][j]: of the longest common subsequence of words[i..] and tokens[j..].
    let width = tokens.len() + 1;
    let mut lengths = vec![0_u32; (words.len() + 1) * width];
    for (i, word) in words.iter().enumerate().rev() {
        for (j, token) in tokens.iter().enumerate().rev() {
            lengths[i * width + j] = if word == token {
                lengths[(i + 1) * width + j + 1] + 1
            } else {
                lengths[(i + 1) * width + j].max(lengths[i * width + j + 1])
            };
        }
    }
    let (mut gaps, mut i, mut j) = (Vec::new(), 0, 0);
    let (mut from, mut to) = (0, 0);
    while i < words.len() || j < tokens.len() {
        let same = i < words.len() && j < tokens.len() && words[i] == tokens[j];
        if same {
            if from < i || to < j {
                gaps.push(Change { words: from..i, tokens: to..j });
            }
            (i, j) = (i + 1, j + 1);
            (from, to) = (i, j);
        } else if j == tokens.len()
            || i < words.len() && lengths[(i + 1) * width + j] >= lengths[i * width + j + 1]
        {
            i += 1;
        } else {
            j += 1;
        }
    }
    if from < i || to < j {
        gaps.push(Change { words: from..i, tokens: to..j });
    }
    gaps
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(words: &str, tokens: &str, expected: &[(Range<usize>, Range<usize>)]) {
        let split = |text: &'static str| text.split(' ').filter(|word| !word.is_empty()).collect();
        let (words, tokens): (Vec<_>, Vec<_>) =
            (split(words.to_owned().leak()), split(tokens.to_owned().leak()));
        let found = changes(&words, &tokens);
        let found: Vec<_> = found.into_iter().map(|change| (change.words, change.tokens)).collect();
        assert_eq!(found, expected, "{words:?} {tokens:?}");
    }

    #[test]
    fn finds_what_changed() {
        check("a b c", "a b c", &[]);
        check("", "", &[]);
        check("i have twenty three cats", "i have 23 cats", &[(2..4, 2..3)]);
        check("twenty three", "23", &[(0..2, 0..1)]);
        check("a one b two", "a 1 b 2", &[(1..2, 1..2), (3..4, 3..4)]);
        check("二 零 年 五 月", "20 年 5 月", &[(0..2, 0..1), (3..4, 2..3)]);
    }

    #[test]
    fn no_side_of_a_change_is_empty() {
        check("a uh b", "a b", &[(0..2, 0..1)]);
        check("uh b", "b", &[(0..2, 0..1)]);
        check("a b", "a x b", &[(0..1, 0..2)]);
        check("b", "x b", &[(0..1, 0..2)]);
        check("a uh uh b", "a b", &[(0..3, 0..1)]);
        check("a b c", "", &[(0..3, 0..0)]);
        check("a x b c", "a b y c", &[(0..3, 0..3)]);
    }
}
