//! How many people speak in each frame: the mean of what the chunks there expect.

use super::{
    chunks::{self, Chunks},
    frames::Span,
    windows::OVERLAP,
};

/// Mean number of speakers of speech: it has a frame of at least the first, and none below the second. A voice that becomes
/// doubtful for a moment goes on, and what is never clear is none.
const CLEAR_SPEECH: f32 = 0.6;
const SPEECH: f32 = 0.4;

/// Returns how many people speak in each of the first `frames` frames, at most two. Where there are no chunks, there is one in
/// each span of `speech`.
pub(super) fn counts(chunks: &Chunks, speech: &[Span], frames: u32) -> Vec<u8> {
    let mut counts = vec![0; frames as usize];
    for span in speech {
        let end = span.end.min(frames);
        counts[span.start.min(end) as usize..end as usize].fill(1);
    }
    let means = means(chunks, frames);
    let mut start = 0;
    for run in means.chunk_by(|a, b| (*a >= SPEECH) == (*b >= SPEECH)) {
        if run.iter().any(|&mean| mean >= CLEAR_SPEECH) {
            for (count, &mean) in counts[start..].iter_mut().zip(run) {
                *count = 1 + u8::from(mean >= OVERLAP);
            }
        }
        start += run.len();
    }
    counts
}

/// Returns the mean number of speakers of each frame.
fn means(chunks: &Chunks, frames: u32) -> Vec<f32> {
    let mut means = vec![0.0; frames as usize];
    let all = Span { start: 0, end: frames };
    for chunk in chunks.covering(all) {
        let first = chunks.span(chunk).start as usize;
        for (mean, &frame) in means[first..].iter_mut().zip(chunks.frames_in(chunk, all)) {
            *mean += chunks::expected_count(frame);
        }
    }
    for (frame, mean) in (0..).zip(&mut means) {
        let covering = chunks.covering(Span { start: frame, end: frame + 1 });
        *mean /= covering.len().max(1) as f32;
    }
    means
}

#[cfg(test)]
mod tests {
    use super::{
        super::{frames::CHUNK_FRAMES, segmentation::CLASSES},
        *,
    };

    const STEP: u32 = 200;

    /// Makes chunks that all expect the same number of speakers in a frame of the recording: from 0 to 1 speaker A, from 1 to
    /// 2 also B.
    fn chunks_of(number: u32, expected: impl Fn(u32) -> f32) -> Chunks {
        let mut chunks = Chunks::new(STEP);
        for chunk in 0..number {
            let frame = |index: u32| {
                let expected = expected(chunk * STEP + index);
                let mut classes = [f32::NEG_INFINITY; CLASSES];
                let both = (expected - 1.0).max(0.0);
                (classes[4], classes[1]) = (both.ln(), (expected - 2.0 * both).ln());
                classes[0] = (1.0 - expected + both).ln();
                classes
            };
            let values: Vec<f32> = (0..CHUNK_FRAMES as u32).flat_map(frame).collect();
            chunks.extend(&chunks::encode(&values, STEP, u32::MAX));
        }
        chunks
    }

    #[test]
    fn speech_goes_on_while_it_is_in_doubt_and_begins_where_it_is_clear() {
        let expected = |frame: u32| match frame {
            100..200 => 0.5,
            // Doubtful before, between and after what is clear.
            300..320 | 340..360 | 380..400 => 0.45,
            320..340 => 0.7,
            360..380 => 1.0,
            // Over the edges of chunks.
            700..800 => 1.8,
            800..805 => 0.3,
            805..900 => 1.2,
            _ => 0.05,
        };
        let counts = counts(&chunks_of(4, expected), &[], 1_000);
        let expected = |frame: usize| match frame {
            300..400 | 805..900 => 1,
            700..800 => 2,
            _ => 0,
        };
        let wrong: Vec<usize> = (0..1_000).filter(|&at| counts[at] != expected(at)).collect();
        assert!(wrong.is_empty(), "{wrong:?}");
    }

    #[test]
    fn a_mean_counts_where_chunks_disagree() {
        // The second chunk begins with frame 200, and hears what the first does not.
        let mut chunks = chunks_of(1, |_| 0.0);
        let heard = chunks_of(1, |_| 1.0);
        chunks.extend(heard.frames(0));
        let counts = counts(&chunks, &[], 200 + CHUNK_FRAMES as u32);
        assert_eq!(counts.iter().position(|&count| count > 0), Some(200));
        assert!(counts[200..].iter().all(|&count| count == 1));
    }

    #[test]
    fn speech_that_was_found_otherwise_is_of_one() {
        let speech = [Span { start: 3, end: 5 }, Span { start: 9, end: 30 }];
        assert_eq!(counts(&Chunks::new(1), &speech, 10), [0, 0, 0, 1, 1, 0, 0, 0, 0, 1]);
        assert!(counts(&Chunks::new(1), &[], 0).is_empty());
    }
}
