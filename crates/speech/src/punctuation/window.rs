//! Divides a text into windows for the network. The unfinished part of a window is repeated in the
//! next.

use super::PunctuationMark;

/// Number of units that each window adds.
const STEP: usize = 20;
/// Length beyond which a window without the end of a sentence is cut at its last comma.
const LONG_WINDOW: usize = 200;
/// Length beyond which a window without even a comma is finished except for its last [`STEP`]
/// units, so that the work stays proportional to the length of the text. FunASR has no such limit.
pub(super) const MAX_WINDOW: usize = 1000;

/// Returns the mark of every unit of a text, given a function for those of a window.
///
/// Follows FunASR's `CT_Transformer.__call__`: in every window except the last, the units after the
/// last full stop or question mark are repeated in the next window.
pub(super) fn over<E>(
    units: usize,
    mut marks: impl FnMut(std::ops::Range<usize>) -> Result<Vec<PunctuationMark>, E>,
) -> Result<Vec<PunctuationMark>, E> {
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

/// Returns the number of marks of a window that are final. Changes a comma at which it cuts the
/// window to a full stop.
fn finished(marks: &mut [PunctuationMark]) -> usize {
    if let Some(end) = sentence_end(marks) {
        end
    } else if marks.len() <= LONG_WINDOW {
        0
    } else if let Some(comma) =
        candidates(marks).find(|&unit| marks[unit] == PunctuationMark::Comma)
    {
        marks[comma] = PunctuationMark::Period;
        comma + 1
    } else if marks.len() > MAX_WINDOW {
        marks.len() - STEP
    } else {
        0
    }
}

/// Returns the index of the unit after the last end of a sentence, ignoring the first two units and
/// the last.
pub(super) fn sentence_end(marks: &[PunctuationMark]) -> Option<usize> {
    candidates(marks).find(|&unit| marks[unit].ends_sentence()).map(|unit| unit + 1)
}

/// Returns the units at which a window may end, the last first.
fn candidates(marks: &[PunctuationMark]) -> impl Iterator<Item = usize> + use<> {
    (2..marks.len().saturating_sub(1)).rev()
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, ops::Range};

    use super::*;

    /// Punctuates a text whose mark after each unit depends on its index; also returns the windows.
    fn run(
        units: usize,
        mark: impl Fn(usize) -> PunctuationMark,
    ) -> (Vec<PunctuationMark>, Vec<Range<usize>>) {
        let mut windows = Vec::new();
        let marks = over(units, |window| {
            windows.push(window.clone());
            Ok::<_, Infallible>(window.map(&mark).collect())
        });
        let Ok(marks) = marks;
        (marks, windows)
    }

    #[test]
    fn units_after_a_sentence_are_repeated() {
        let mark =
            |unit| if unit % 7 == 6 { PunctuationMark::Period } else { PunctuationMark::None };
        let (marks, windows) = run(45, mark);
        assert_eq!(marks, (0..45).map(mark).collect::<Vec<_>>());
        // The ends at 13 and 34 count; 20 is beyond the first window.
        assert_eq!(windows, [0..20, 14..40, 35..45]);
    }

    #[test]
    fn the_first_two_units_and_the_last_do_not_end_a_sentence() {
        for unit in [0, 1, 19] {
            let (_, windows) =
                run(
                    21,
                    |at| if at == unit { PunctuationMark::Question } else { PunctuationMark::None },
                );
            assert_eq!(windows, [0..20, 0..21], "{unit}");
        }
        for unit in [2, 18] {
            let (_, windows) =
                run(
                    21,
                    |at| if at == unit { PunctuationMark::Question } else { PunctuationMark::None },
                );
            assert_eq!(windows, [0..20, unit + 1..21], "{unit}");
        }
    }

    #[test]
    fn a_long_sentence_ends_at_its_last_comma() {
        let (marks, windows) =
            run(
                300,
                |at| if at % 50 == 9 { PunctuationMark::Comma } else { PunctuationMark::None },
            );
        // A window of 200 units is not cut yet.
        assert_eq!(windows[9..12], [0..200, 0..220, 210..240]);
        assert_eq!(
            (marks[159], marks[209], marks[259]),
            (PunctuationMark::Comma, PunctuationMark::Period, PunctuationMark::Comma)
        );
    }

    #[test]
    fn windows_of_text_without_punctuation_are_bounded() {
        let (marks, windows) = run(50_000, |_| PunctuationMark::None);
        assert_eq!(marks.len(), 50_000);
        assert_eq!(windows.iter().map(Range::len).max(), Some(MAX_WINDOW + STEP));
        assert_eq!(run(0, |_| PunctuationMark::None), (vec![], vec![]));
    }
}
