//! Tests of the segmenter with the published FSMN-VAD model.

mod support;

use std::sync::Arc;

use proptest::prelude::*;
use speech::{
    segmenter::{Segment, SegmentationConfig, Segmenter},
    vad::{FsmnVad, VadOptions},
};
use support::{model, speech_10s};

fn segments(vad: &Arc<FsmnVad>, options: &SegmentationConfig, samples: &[f32]) -> Vec<Segment> {
    let (mut segmenter, mut out) = (Segmenter::new(&**vad, options.clone()), Vec::new());
    segmenter.push(samples, &mut out).expect("push");
    segmenter.finish(&mut out).expect("finish");
    out
}

/// Returns a configuration with which the detector never ends a segment in a pause.
fn without_pauses(max_seconds: f64) -> SegmentationConfig {
    let vad = VadOptions { max_end_silence_ms: Some(100_000), ..Default::default() };
    SegmentationConfig { vad, max_seconds: Some(max_seconds) }
}

/// Checks that segments are in order, not too long, and equal to the recording.
fn assert_valid(segments: &[Segment], recording: &[f32], max_seconds: f64) {
    for segment in segments {
        let start = segment.start as usize;
        assert_eq!(segment.samples, recording[start..start + segment.samples.len()]);
        assert!(segment.samples.len() as f64 <= max_seconds * 16_000.0);
        assert!(!segment.samples.is_empty());
    }
    for pair in segments.windows(2) {
        assert!(pair[0].start + pair[0].samples.len() as u64 <= pair[1].start);
    }
}

#[test]
fn short_speech_is_not_cut() {
    let Some(vad) = model() else { return };
    let speech = speech_10s().repeat(7);
    let found = segments(&vad, &SegmentationConfig::default(), &speech);
    assert_valid(&found, &speech, 30.0);
    let ranges: Vec<_> = found.iter().map(|s| s.start..s.start + s.samples.len() as u64).collect();
    assert_eq!(ranges, vad.segments(&speech, &VadOptions::default()).expect("segments"));
}

#[test]
fn long_speech_is_cut_in_pauses() {
    let Some(vad) = model() else { return };
    let speech = speech_10s();
    // Speech is from 0.34 to 4.67 s and from 5.86 s to the end. The detector finds one segment.
    let whole = segments(&vad, &without_pauses(30.0), &speech);
    assert_eq!(whole.len(), 1);
    let found = segments(&vad, &without_pauses(6.0), &speech);
    assert_valid(&found, &speech, 6.0);
    assert_eq!(found.len(), 2, "{:?}", found.iter().map(|s| s.start).collect::<Vec<_>>());
    let cut = found[1].start as f64 / 16_000.0;
    assert!((4.6..5.9).contains(&cut), "cut at {cut} s");
    assert_eq!(found[0].samples.len() + found[1].samples.len(), whole[0].samples.len());
}

#[test]
fn speech_without_pauses_is_cut_while_it_continues() {
    let Some(vad) = model() else { return };
    let speech = speech_10s()[96_000..150_000].repeat(40);
    let (mut segmenter, mut out) = (Segmenter::new(&*vad, without_pauses(5.0)), Vec::new());
    let mut pushed = 0;
    for block in speech.chunks(16_000) {
        segmenter.push(block, &mut out).expect("push");
        pushed += block.len();
        // The limit, the longest delay of an end point, and the samples of one network run.
        let emitted = out.last().map_or(0, |s| s.start as usize + s.samples.len());
        assert!(pushed - emitted < (5 + 1 + 4) * 16_000, "{emitted} of {pushed}");
    }
    segmenter.finish(&mut out).expect("finish");
    assert_valid(&out, &speech, 5.0);
    assert!(out.len() > 27, "{} segments of {} s", out.len(), speech.len() / 16_000);
    let total: usize = out.iter().map(|segment| segment.samples.len()).sum();
    assert!(total > speech.len() * 95 / 100, "{total} of {} samples", speech.len());
}

#[test]
fn an_hour_of_silence_has_no_segments() {
    let Some(vad) = model() else { return };
    let (mut segmenter, mut out) =
        (Segmenter::new(&*vad, SegmentationConfig::default()), Vec::new());
    for _ in 0..360 {
        segmenter.push(&[0.0; 160_000], &mut out).expect("push");
        assert!(segmenter.buffered_samples() < 10 * 16_000);
    }
    segmenter.finish(&mut out).expect("finish");
    assert_eq!(out, []);
}

#[test]
fn memory_is_bounded_by_the_longest_segment() {
    let Some(vad) = model() else { return };
    let speech = speech_10s()[96_000..150_000].repeat(60);
    let (mut segmenter, mut out) =
        (Segmenter::new(&*vad, SegmentationConfig::default()), Vec::new());
    for block in speech.chunks(4_000) {
        segmenter.push(block, &mut out).expect("push");
        assert!(segmenter.buffered_samples() < 36 * 16_000);
    }
    segmenter.finish(&mut out).expect("finish");
    assert_valid(&out, &speech, 30.0);
    assert!(out.len() > 5);
}

#[test]
fn bad_input_gives_finite_segments() {
    let Some(vad) = model() else { return };
    assert_eq!(segments(&vad, &SegmentationConfig::default(), &[]), []);
    assert_eq!(segments(&vad, &SegmentationConfig::default(), &[0.5; 800]), []);
    let mut bad = vec![f32::NAN; 48_000];
    bad.extend(speech_10s());
    bad[80_000..80_010].fill(f32::INFINITY);
    let found = segments(&vad, &SegmentationConfig::default(), &bad);
    assert_eq!(found.len(), 2);
    assert!(found.iter().flat_map(|segment| &segment.samples).all(|sample| sample.is_finite()));
}

#[test]
fn values_are_checked_when_read() {
    let config: SegmentationConfig =
        serde_json::from_str(r#"{"max_seconds": 20, "vad": {"max_end_silence_ms": 500}}"#)
            .expect("options");
    assert_eq!(config.max_seconds, Some(20.0));
    assert_eq!(config.vad.max_end_silence_ms, Some(500));
    assert_eq!(
        serde_json::from_str::<SegmentationConfig>("{}").expect("defaults"),
        SegmentationConfig::default()
    );
    for bad in [r#"{"max_seconds": 0}"#, r#"{"max_seconds": 1e9}"#, r#"{"seconds": 20}"#] {
        serde_json::from_str::<SegmentationConfig>(bad).expect_err(bad);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn segments_do_not_depend_on_the_pushes(
        cuts in prop::collection::vec(0usize..60_000, 1..8),
        max_seconds in 1.0..8.0,
    ) {
        let Some(vad) = model() else { return Ok(()) };
        let speech = speech_10s();
        for options in [
            without_pauses(max_seconds),
            SegmentationConfig { max_seconds: Some(max_seconds), ..Default::default() },
        ] {
            let mut segmenter = Segmenter::new(&*vad, options.clone());
            let (mut out, mut rest) = (Vec::new(), &speech[..]);
            for &cut in &cuts {
                let (push, after) = rest.split_at(cut.min(rest.len()));
                segmenter.push(push, &mut out).expect("push");
                rest = after;
            }
            segmenter.push(rest, &mut out).expect("push");
            segmenter.finish(&mut out).expect("finish");
            assert_valid(&out, &speech, max_seconds);
            prop_assert!(out == segments(&vad, &options, &speech));
        }
    }
}
