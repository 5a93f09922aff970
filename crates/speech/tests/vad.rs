//! Compares the published FSMN-VAD model with the segments that FunASR's own code finds.

mod support;

use std::{collections::BTreeMap, ops::Range, path::Path, sync::Arc};

use errors::Chain;
use proptest::prelude::*;
use speech::{
    recognizer::Error,
    vad::{FsmnVad, SilenceSchedule, VadOptions, VoiceActivityDetector},
};
use support::{assert_close, fixture, floats, model, speech_10s};

/// Returns the segments of one case in `vad.json`, in samples.
fn expected(case: &str) -> Vec<Range<u64>> {
    let json = std::fs::read(fixture("frontend/vad.json")).expect("vad.json");
    let cases: BTreeMap<String, Vec<[u64; 2]>> = serde_json::from_slice(&json).expect("vad.json");
    cases[case].iter().map(|[start, end]| start * 16..end * 16).collect()
}

/// Returns noise from Marsaglia's xorshift32, scaled to +-0.002.
fn noise(count: usize) -> Vec<f32> {
    let mut state = 1u32;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        ((f64::from(state) / f64::from(1u32 << 31) - 1.0) * 0.002) as f32
    };
    (0..count).map(|_| next()).collect()
}

#[test]
fn segments_equal_funasrs_to_the_frame() {
    let Some(vad) = model() else { return };
    let speech = speech_10s();
    let cases = [
        ("speech_10s", speech.clone()),
        ("speech_10s_x7", speech.repeat(7)),
        ("speech_3s", speech[16_000..64_000].to_vec()),
        ("speech_50ms", speech[16_000..16_800].to_vec()),
        ("silence_2s", vec![0.0; 32_000]),
        ("noise_2s", noise(32_000)),
    ];
    for (case, samples) in cases {
        let segments = vad.segments(&samples, &VadOptions::default()).expect(case);
        assert_eq!(segments, expected(case), "{case}");
    }
    for (case, end_silence) in
        [("speech_10s end silence 300", 300), ("speech_10s end silence 1500", 1500)]
    {
        let options = VadOptions { max_end_silence_ms: Some(end_silence), ..Default::default() };
        assert_eq!(vad.segments(&speech, &options).expect(case), expected(case), "{case}");
    }
}

#[test]
fn segments_with_a_schedule_equal_those_of_funasrs_pytorch_code() {
    let Some(vad) = model() else { return };
    let options =
        VadOptions { dynamic_silence: Some(SilenceSchedule::funasr()), ..Default::default() };
    // In milliseconds, by funasr 1.4.16, which uses this schedule by default.
    let cases: [(usize, &[[u64; 2]]); 2] = [
        (1, &[[340, 9980]]),
        (7, &[[340, 59_970], [60_340, 64_620], [65_860, 68_490], [68_490, 69_760]]),
    ];
    for (times, expected) in cases {
        let segments = vad.segments(&speech_10s().repeat(times), &options).expect("segments");
        let expected: Vec<_> = expected.iter().map(|[start, end]| start * 16..end * 16).collect();
        assert_eq!(segments, expected, "{times}");
    }
}

#[test]
fn silence_probabilities_equal_onnx_runtimes() {
    let Some(vad) = model() else { return };
    let (mut stream, mut frames) = (vad.stream(&VadOptions::default()), Vec::new());
    stream.push(&speech_10s(), &mut frames).expect("push");
    stream.finish(&mut frames).expect("finish");
    let silence: Vec<f32> = frames.iter().map(|frame| frame.silence).collect();
    assert_close(&silence, &floats("vad_silence.f32"), 2e-3);
}

#[test]
fn too_little_audio_has_no_speech() {
    let Some(vad) = model() else { return };
    for samples in [0, 1, 399, 400, 800] {
        let none = vad.segments(&vec![0.3; samples], &VadOptions::default()).expect("segments");
        assert!(none.is_empty(), "{samples} samples: {none:?}");
    }
}

#[test]
fn bad_samples_do_not_affect_later_segments() {
    let Some(vad) = model() else { return };
    let mut samples = vec![f32::NAN; 16_000];
    samples.extend([f32::INFINITY; 8_000]);
    samples.extend([f32::MAX, f32::MIN].repeat(4_000));
    samples.extend([0.0; 16_000]);
    let offset = samples.len() as u64;
    samples.extend(speech_10s());
    let segments = vad.segments(&samples, &VadOptions::default()).expect("segments");
    let after: Vec<_> = segments.into_iter().filter(|segment| segment.end > offset).collect();
    let moved: Vec<_> =
        expected("speech_10s").iter().map(|s| s.start + offset..s.end + offset).collect();
    assert_eq!(after, moved);
}

#[test]
fn incomplete_or_broken_model_directories_are_refused() {
    let Some(_) = model() else { return };
    let good =
        Path::new(&std::env::var_os("SCRIPTORIUM_TEST_MODELS").expect("set")).join("fsmn-vad");
    let directory = tempfile::tempdir().expect("temporary directory");
    let bad = directory.path();
    let refused = |expected: &str| match FsmnVad::open(bad) {
        Err(error @ Error::Model { .. }) => {
            let message = Chain(&error).to_string();
            assert!(message.contains(expected), "{message}");
        }
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("opened, expected: {expected}"),
    };
    refused("the directory holds no model.onnx");
    std::fs::copy(good.join("model.onnx"), bad.join("model.onnx")).expect("copy");
    refused("no config.yaml or vad.yaml");
    std::fs::copy(good.join("config.yaml"), bad.join("vad.yaml")).expect("copy");
    refused("no am.mvn or vad.mvn");
    std::fs::copy(fixture("frontend/paraformer.mvn"), bad.join("vad.mvn")).expect("copy");
    refused("the normalization has 560 values");
    std::fs::copy(good.join("am.mvn"), bad.join("vad.mvn")).expect("copy");
    FsmnVad::open(bad).expect("complete, under the other names");
    // ReLU turns NaN into a number, so that every recording would be silent.
    let whole = std::fs::read(bad.join("model.onnx")).expect("model");
    // Find the bias of the first layer by its name. A tag and a length of two bytes follow.
    let name = b"encoder.in_linear1.linear.bias";
    let at = whole.windows(name.len()).rposition(|window| window == name).expect("a bias");
    let raw = at + name.len() + 3;
    let mut damaged = whole.clone();
    damaged[raw..raw + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    std::fs::write(bad.join("model.onnx"), damaged).expect("write");
    refused("a weight of `");
    refused("is NaN: the file is damaged");
    std::fs::write(bad.join("model.onnx"), whole).expect("write");
    std::fs::rename(bad.join("model.onnx"), bad.join("model_quant.onnx")).expect("rename");
    FsmnVad::open(bad).expect("the quantized model is used if there is no other");
    std::fs::rename(bad.join("model_quant.onnx"), bad.join("model.onnx")).expect("rename");

    let config = std::fs::read_to_string(good.join("config.yaml")).expect("config");
    let edit = |from: &str, to: &str| {
        std::fs::write(bad.join("vad.yaml"), config.replace(from, to)).expect("write");
    };
    edit("snr_thres: -100.0", "snr_thres: 3.0");
    refused("this value of `snr_thres` is not supported");
    edit("sil_pdf_ids: [0]", "sil_pdf_ids: [248]");
    refused("`sil_pdf_ids`");
    edit("proj_dim: 128", "proj_dim: 64");
    refused("model.onnx");
    edit("fsmn_layers: 4", "fsmn_layers: 3");
    refused("model.onnx");
    edit("n_mels", "mels");
    refused("n_mels");
    std::fs::copy(good.join("config.yaml"), bad.join("vad.yaml")).expect("copy");
    let model = std::fs::read(good.join("model.onnx")).expect("model");
    std::fs::write(bad.join("model.onnx"), &model[..model.len() / 2]).expect("write");
    refused("model.onnx");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn frames_do_not_depend_on_the_pushes(cuts in prop::collection::vec(0usize..60_000, 1..8)) {
        let Some(vad) = model() else { return Ok(()) };
        let speech = speech_10s();
        let (mut stream, mut frames, mut rest) =
            (vad.stream(&VadOptions::default()), Vec::new(), &speech[..]);
        for cut in cuts {
            let (push, after) = rest.split_at(cut.min(rest.len()));
            stream.push(push, &mut frames).expect("push");
            rest = after;
        }
        stream.push(rest, &mut frames).expect("push");
        let end = stream.finish(&mut frames).expect("finish");
        let (mut whole_stream, mut whole) = (vad.stream(&VadOptions::default()), Vec::new());
        whole_stream.push(&speech, &mut whole).expect("push");
        prop_assert_eq!(end, whole_stream.finish(&mut whole).expect("finish"));
        prop_assert!(frames == whole);
    }
}

#[test]
fn threads_share_the_model() {
    let Some(vad) = model() else { return };
    let speech = speech_10s();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let (vad, speech) = (Arc::clone(&vad), &speech);
            scope.spawn(move || {
                let segments = vad.segments(speech, &VadOptions::default()).expect("segments");
                assert_eq!(segments, expected("speech_10s"));
            });
        }
    });
}

/// Prints the speed of one thread: `cargo test -p speech --test vad speed -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn speed() {
    let Some(vad) = model() else { return };
    let speech = speech_10s().repeat(30);
    let rate = |seconds: f64| format!("{seconds:.3} s, {:.0} times real time", 300.0 / seconds);
    for _ in 0..3 {
        let start = std::time::Instant::now();
        let rows = vad.frontend().rows(&speech).len() / vad.frontend().width();
        eprintln!("front end: {rows} rows in {}", rate(start.elapsed().as_secs_f64()));
        let start = std::time::Instant::now();
        let segments = vad.segments(&speech, &VadOptions::default()).expect("segments").len();
        eprintln!("total: {segments} segments in {}", rate(start.elapsed().as_secs_f64()));
    }
}
