//! Streams with networks that know who speaks when.

use half::f16;
use proptest::prelude::*;

use crate::speakers::{
    Diarization, SpeakerOptions, Stream, Turn, Work, WorkKey, WorkResult,
    frames::{self, CHUNK_FRAMES, Span},
};

const RATE: usize = 16_000;

/// Turns of a conversation, in frames.
struct Truth(Vec<(Span, usize)>);

impl Truth {
    /// Two people who speak in turn, sometimes both at once.
    fn conversation(seconds: usize) -> Self {
        let mut random = fastrand::Rng::with_seed(7);
        let (mut turns, mut at, mut speaker) = (Vec::new(), 20, 0);
        loop {
            let end = at + random.u32(60..500);
            if end as usize * frames::FRAME_SAMPLES > seconds * RATE {
                return Self(turns);
            }
            turns.push((Span { start: at, end }, speaker));
            at = if random.u32(0..4) == 0 { end - 30 } else { end + random.u32(5..60) };
            speaker = 1 - speaker;
        }
    }

    fn speakers(&self, frame: u32) -> Vec<usize> {
        let turns = self.0.iter().filter(|(span, _)| (span.start..span.end).contains(&frame));
        turns.map(|&(_, speaker)| speaker).collect()
    }

    /// Does what the networks would do. In every other chunk, the local speakers have other numbers.
    fn compute(&self, work: &Work) -> WorkResult {
        match work.key() {
            WorkKey::Chunks { first, count, frames } => {
                let Work::Chunks { samples, step, .. } = work else { panic!("other work") };
                assert_eq!(
                    samples.len(),
                    (count - 1) as usize * *step as usize * frames::FRAME_SAMPLES
                        + frames::CHUNK_SAMPLES
                );
                let mut bytes = Vec::new();
                for chunk in *first..first + count {
                    for frame in 0..CHUNK_FRAMES as u32 {
                        let at = chunk * step + frame;
                        let within = at - first * step < *frames;
                        let speakers = if within { self.speakers(at) } else { Vec::new() };
                        let bits: u8 = speakers
                            .iter()
                            .map(|&speaker| 1 << ((speaker + chunk as usize) % 2))
                            .sum();
                        bytes.push(bits | (15 * speakers.len() as u8) << 3);
                    }
                }
                WorkResult::Chunks { frames: bytes }
            }
            WorkKey::Windows { spans, .. } => {
                let vector = |span: &Span| {
                    let speaker = self.speakers((span.start + span.end) / 2)[0];
                    [f16::from_f32(1.0 - speaker as f32), f16::from_f32(speaker as f32)]
                };
                WorkResult::Windows { width: 2, vectors: spans.iter().flat_map(vector).collect() }
            }
        }
    }
}

/// Finds the speakers of silence in which `truth` is heard. `next` says which of so many pieces of work is done
/// next.
fn run(
    truth: &Truth,
    seconds: usize,
    block: usize,
    mut next: impl FnMut(usize) -> usize,
) -> (Diarization, Vec<WorkKey>) {
    let (mut stream, mut work) = (Stream::new(Some(148)), Vec::new());
    let mut keys = Vec::new();
    let silence = vec![0.0; seconds * RATE];
    for samples in silence.chunks(block) {
        stream.push(samples, &mut work);
        // Some is done while samples come.
        if work.len() > 3 {
            let done: Work = work.remove(next(work.len()));
            stream.accept(done.key(), truth.compute(&done), &mut work);
            keys.push(done.key().clone());
        }
    }
    stream.finish(&mut work);
    while !work.is_empty() {
        let done = work.remove(next(work.len()));
        stream.accept(done.key(), truth.compute(&done), &mut work);
        keys.push(done.key().clone());
    }
    keys.sort_by_key(|key| format!("{key:?}"));
    (stream.diarize(&SpeakerOptions::default()), keys)
}

#[test]
fn the_turns_are_those_that_the_networks_hear() {
    let truth = Truth::conversation(300);
    let (found, _) = run(&truth, 300, RATE, |_| 0);
    assert_eq!(found.voices.len(), 2);
    let turn = |&(span, speaker): &(Span, usize)| Turn {
        start: frames::seconds(span.start),
        end: frames::seconds(span.end),
        speaker,
    };
    let expected: Vec<Turn> = truth.0.iter().map(turn).collect();
    assert!(expected.iter().zip(&expected[1..]).any(|(a, b)| b.start < a.end), "some overlap");
    assert_eq!(found.turns, expected);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn neither_the_order_of_results_nor_the_size_of_blocks_matters(
        seed in any::<u64>(),
        block in 1000usize..200_000,
    ) {
        let truth = Truth::conversation(120);
        let (expected, keys) = run(&truth, 120, RATE, |_| 0);
        let mut random = fastrand::Rng::with_seed(seed);
        let (found, other_keys) = run(&truth, 120, block, |count| random.usize(..count));
        prop_assert_eq!(found, expected);
        // A journal recalls what another run has recorded.
        prop_assert_eq!(other_keys, keys);
    }
}

#[test]
fn the_shortest_recordings_have_no_speakers_or_one() {
    for samples in [0, 1, 300, 5000, 159_999, 160_000, 160_001, 500_000] {
        let truth = Truth(vec![(Span { start: 0, end: 2000 }, 0)]);
        let (mut stream, mut work) = (Stream::new(Some(59)), Vec::new());
        stream.push(&vec![0.1; samples], &mut work);
        stream.finish(&mut work);
        let mut chunks = 0;
        while let Some(done) = work.pop() {
            if let WorkKey::Chunks { count, .. } = done.key() {
                chunks += count;
            }
            stream.accept(done.key(), truth.compute(&done), &mut work);
        }
        let expected = match samples {
            0 => 0,
            _ => 1 + samples.saturating_sub(frames::CHUNK_SAMPLES).div_ceil(59 * 270),
        };
        assert_eq!(chunks as usize, expected, "{samples} samples");
        let found = stream.diarize(&SpeakerOptions::default());
        assert_eq!(found.turns.len(), usize::from(samples >= 5000), "{samples} samples");
        let end = found.turns.last().map_or(0.0, |turn| turn.end);
        assert!(end <= samples as f64 / RATE as f64 + 0.01, "{end}");
    }
}

#[test]
fn samples_are_held_only_as_long_as_they_are_needed() {
    let truth = Truth(vec![(Span { start: 0, end: 3_000_000 }, 0)]);
    let (mut stream, mut work) = (Stream::new(Some(148)), Vec::new());
    let block = vec![0.0; RATE];
    for _ in 0..1800 {
        stream.push(&block, &mut work);
        while !work.is_empty() {
            let done = work.remove(0);
            stream.accept(done.key(), truth.compute(&done), &mut work);
        }
        assert!(stream.held_samples() < 120 * RATE, "{}", stream.held_samples());
    }
}
