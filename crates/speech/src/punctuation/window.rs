//! The network sees a text in windows; what a window leaves unfinished comes again in the next.

use super::Mark;

/// Units that each window adds.
const STEP: usize = 20;
/// A window longer than this that holds no end of a sentence is cut at its last comma.
const LONG: usize = 200;
/// A window longer than this that holds not even a comma is given up, but for its last units: the
/// work for a text stays proportional to its length. FunASR goes on for ever.
pub(super) const LONGEST: usize = 1000;

/// The mark of every unit: `marks` says those of a window (from its start to its end).
///
/// FunASR's `CT_Transformer.__call__`: of every window but the last, what stands behind the last
/// full stop or question mark waits for the next.
pub(super) fn over<E>(
    units: usize,
    mut marks: impl FnMut(std::ops::Range<usize>) -> Result<Vec<Mark>, E>,
) -> Result<Vec<Mark>, E> {
    let mut done = Vec::with_capacity(units);
    let mut end = 0;
    while end < units {
        end = units.min(end + STEP);
        let mut window = marks(done.len()..end)?;
        if end < units {
            let finished = finished(&mut window);
            window.truncate(finished);
        }
        done.append(&mut window);
    }
    Ok(done)
}

/// How many marks of a window are certain. A comma that becomes the end of a sentence changes.
fn finished(marks: &mut [Mark]) -> usize {
    if let Some(end) = sentence_end(marks) {
        end
    } else if marks.len() <= LONG {
        0
    } else if let Some(comma) = candidates(marks).find(|&unit| marks[unit] == Mark::Comma) {
        marks[comma] = Mark::Period;
        comma + 1
    } else if marks.len() > LONGEST {
        marks.len() - STEP
    } else {
        0
    }
}

/// The unit after the last end of a sentence that is neither among the first two units nor the
/// last.
pub(super) fn sentence_end(marks: &[Mark]) -> Option<usize> {
    candidates(marks).find(|&unit| marks[unit].ends_sentence()).map(|unit| unit + 1)
}

fn candidates(marks: &[Mark]) -> impl Iterator<Item = usize> + use<> {
    (2..marks.len().saturating_sub(1)).rev()
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, ops::Range};

    use super::*;

    /// Runs over `units`, a mark for each unit by its place in the text; returns the windows seen.
    fn run(units: usize, mark: impl Fn(usize) -> Mark) -> (Vec<Mark>, Vec<Range<usize>>) {
        let mut windows = Vec::new();
        let marks = over(units, |window| {
            windows.push(window.clone());
            Ok::<_, Infallible>(window.map(&mark).collect())
        });
        let Ok(marks) = marks;
        (marks, windows)
    }

    #[test]
    fn what_follows_a_sentence_comes_again() {
        let mark = |unit| if unit % 7 == 6 { Mark::Period } else { Mark::None };
        let (marks, windows) = run(45, mark);
        assert_eq!(marks, (0..45).map(mark).collect::<Vec<_>>());
        // The last unit of a window ends nothing: 13 does, 20 is beyond, 34 does.
        assert_eq!(windows, [0..20, 14..40, 35..45]);
    }

    #[test]
    fn the_first_two_units_and_the_last_end_nothing() {
        for unit in [0, 1, 19] {
            let (_, windows) = run(21, |at| if at == unit { Mark::Question } else { Mark::None });
            assert_eq!(windows, [0..20, 0..21], "{unit}");
        }
        for unit in [2, 18] {
            let (_, windows) = run(21, |at| if at == unit { Mark::Question } else { Mark::None });
            assert_eq!(windows, [0..20, unit + 1..21], "{unit}");
        }
    }

    #[test]
    fn a_long_sentence_ends_at_its_last_comma() {
        let (marks, windows) = run(300, |at| if at % 50 == 9 { Mark::Comma } else { Mark::None });
        // 200 units are not yet too many.
        assert_eq!(windows[9..12], [0..200, 0..220, 210..240]);
        assert_eq!((marks[159], marks[209], marks[259]), (Mark::Comma, Mark::Period, Mark::Comma));
    }

    #[test]
    fn text_without_marks_takes_bounded_windows() {
        let (marks, windows) = run(50_000, |_| Mark::None);
        assert_eq!(marks.len(), 50_000);
        assert_eq!(windows.iter().map(Range::len).max(), Some(LONGEST + STEP));
        assert_eq!(run(0, |_| Mark::None), (vec![], vec![]));
    }
}
