//! Aligns the units of a text with those of its rewritten form.

use std::ops::Range;

/// A run of source units and the target units that replace it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) source: Range<usize>,
    pub(super) target: Range<usize>,
}

/// Returns the runs in which two texts differ, by their longest common subsequence. Where one side
/// of a run would be empty, the run includes a neighbour that both texts have in common.
pub(super) fn changes(source: &[&str], target: &[&str]) -> Vec<Change> {
    let mut changes: Vec<Change> = Vec::new();
    for gap in gaps(source, target) {
        let Change { source: mut from, target: mut to } = gap;
        if from.is_empty() || to.is_empty() {
            if from.start > 0 && to.start > 0 {
                (from.start, to.start) = (from.start - 1, to.start - 1);
            } else if from.end < source.len() && to.end < target.len() {
                (from.end, to.end) = (from.end + 1, to.end + 1);
            }
        }
        match changes.last_mut() {
            Some(last) if last.source.end >= from.start => {
                last.source.end = from.end;
                last.target.end = to.end;
            }
            _ => changes.push(Change { source: from, target: to }),
        }
    }
    changes
}

/// Returns the runs between the units of the longest common subsequence; one side may be empty.
fn gaps(source: &[&str], target: &[&str]) -> Vec<Change> {
    // lengths[i][j]: length of the longest common subsequence of source[i..] and target[j..].
    let width = target.len() + 1;
    let mut lengths = vec![0_u32; (source.len() + 1) * width];
    for (i, from) in source.iter().enumerate().rev() {
        for (j, to) in target.iter().enumerate().rev() {
            lengths[i * width + j] = if from == to {
                lengths[(i + 1) * width + j + 1] + 1
            } else {
                lengths[(i + 1) * width + j].max(lengths[i * width + j + 1])
            };
        }
    }
    let (mut gaps, mut i, mut j) = (Vec::new(), 0, 0);
    let (mut from, mut to) = (0, 0);
    while i < source.len() || j < target.len() {
        let same = i < source.len() && j < target.len() && source[i] == target[j];
        if same {
            if from < i || to < j {
                gaps.push(Change { source: from..i, target: to..j });
            }
            (i, j) = (i + 1, j + 1);
            (from, to) = (i, j);
        } else if j == target.len()
            || i < source.len() && lengths[(i + 1) * width + j] >= lengths[i * width + j + 1]
        {
            i += 1;
        } else {
            j += 1;
        }
    }
    if from < i || to < j {
        gaps.push(Change { source: from..i, target: to..j });
    }
    gaps
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(source: &str, target: &str, expected: &[(Range<usize>, Range<usize>)]) {
        let split = |text: &'static str| text.split(' ').filter(|word| !word.is_empty()).collect();
        let (source, target): (Vec<_>, Vec<_>) =
            (split(source.to_owned().leak()), split(target.to_owned().leak()));
        let found = changes(&source, &target);
        let found: Vec<_> =
            found.into_iter().map(|change| (change.source, change.target)).collect();
        assert_eq!(found, expected, "{source:?} {target:?}");
    }

    #[test]
    fn finds_changed_runs() {
        check("a b c", "a b c", &[]);
        check("", "", &[]);
        check("i have twenty three cats", "i have 23 cats", &[(2..4, 2..3)]);
        check("twenty three", "23", &[(0..2, 0..1)]);
        check("a one b two", "a 1 b 2", &[(1..2, 1..2), (3..4, 3..4)]);
        check("二 零 年 五 月", "20 年 5 月", &[(0..2, 0..1), (3..4, 2..3)]);
    }

    #[test]
    fn changes_include_a_neighbour_where_one_side_is_empty() {
        check("a uh b", "a b", &[(0..2, 0..1)]);
        check("uh b", "b", &[(0..2, 0..1)]);
        check("a b", "a x b", &[(0..1, 0..2)]);
        check("b", "x b", &[(0..1, 0..2)]);
        check("a uh uh b", "a b", &[(0..3, 0..1)]);
        check("a b c", "", &[(0..3, 0..0)]);
        check("a x b c", "a b y c", &[(0..3, 0..3)]);
    }
}
