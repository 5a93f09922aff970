//! Windows of speech, one embedding each: FunASR's `sv_chunk`.

use std::ops::Range;

/// Samples per window: 1.5 s at 16 kHz.
pub const WINDOW: usize = 24_000;
/// Samples from the start of one window to that of the next.
const SHIFT: usize = WINDOW / 2;

/// Where the windows of a segment of `length` samples lie. The last one ends with the segment, and
/// only that of a segment shorter than [`WINDOW`] is shorter.
pub(super) fn windows(length: usize) -> impl Iterator<Item = Range<usize>> {
    let count = length.saturating_sub(WINDOW).div_ceil(SHIFT) + usize::from(length > 0);
    (0..count).map(move |window| {
        let end = (window * SHIFT + WINDOW).min(length);
        end.saturating_sub(WINDOW)..end
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As FunASR's loop finds them.
    fn reference(length: usize) -> Vec<Range<usize>> {
        let (mut found, mut last_end) = (Vec::new(), 0);
        for start in (0..length).step_by(SHIFT) {
            let end = (start + WINDOW).min(length);
            if end <= last_end {
                break;
            }
            last_end = end;
            found.push(end.saturating_sub(WINDOW)..end);
        }
        found
    }

    #[test]
    fn windows_are_those_of_funasr() {
        let edges = [0, SHIFT, WINDOW, WINDOW + SHIFT, 3 * WINDOW, 960_000];
        for length in
            edges.iter().flat_map(|&edge: &usize| [edge.saturating_sub(1), edge, edge + 1])
        {
            assert_eq!(windows(length).collect::<Vec<_>>(), reference(length), "{length} samples");
        }
        assert_eq!(
            windows(40_000).collect::<Vec<_>>(),
            [0..24_000, 12_000..36_000, 16_000..40_000]
        );
    }
}
