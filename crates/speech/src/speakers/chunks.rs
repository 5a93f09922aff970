//! Divides speech into windows with one embedding each, as FunASR's `sv_chunk`.

use std::ops::Range;

/// Samples per window: 1.5 s at 16 kHz.
pub const WINDOW_SAMPLES: usize = 24_000;
/// Samples from the start of one window to the start of the next.
const SHIFT_SAMPLES: usize = WINDOW_SAMPLES / 2;

/// Returns the windows of a segment of `length` samples. The last window ends with the segment. All
/// windows have [`WINDOW_SAMPLES`], except that of a shorter segment.
pub(super) fn windows(length: usize) -> impl Iterator<Item = Range<usize>> {
    let count =
        length.saturating_sub(WINDOW_SAMPLES).div_ceil(SHIFT_SAMPLES) + usize::from(length > 0);
    (0..count).map(move |window| {
        let end = (window * SHIFT_SAMPLES + WINDOW_SAMPLES).min(length);
        end.saturating_sub(WINDOW_SAMPLES)..end
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FunASR's loop.
    fn reference(length: usize) -> Vec<Range<usize>> {
        let (mut found, mut last_end) = (Vec::new(), 0);
        for start in (0..length).step_by(SHIFT_SAMPLES) {
            let end = (start + WINDOW_SAMPLES).min(length);
            if end <= last_end {
                break;
            }
            last_end = end;
            found.push(end.saturating_sub(WINDOW_SAMPLES)..end);
        }
        found
    }

    #[test]
    fn windows_match_funasr() {
        let edges = [
            0,
            SHIFT_SAMPLES,
            WINDOW_SAMPLES,
            WINDOW_SAMPLES + SHIFT_SAMPLES,
            3 * WINDOW_SAMPLES,
            960_000,
        ];
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
