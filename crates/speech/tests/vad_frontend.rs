//! Compares the front end with the features that FunASR's own code computes.

mod support;

use std::sync::Arc;

use proptest::prelude::*;
use speech::features::{
    Cmvn, Filterbank, FilterbankOptions, FilterbankStream, Frontend, FrontendConfig, Window,
};
use support::{assert_close, fixture, floats, speech_10s};

const PARAFORMER: FrontendConfig = FrontendConfig {
    fs: 16_000,
    window: Window::Hamming,
    n_mels: 80,
    frame_length: 25,
    frame_shift: 10,
    lfr_m: 7,
    lfr_n: 6,
};

fn fbank(options: FilterbankOptions, samples: &[f32]) -> Vec<f32> {
    let mut frames = Vec::new();
    FilterbankStream::new(Arc::new(Filterbank::new(options))).push(samples, &mut frames);
    frames
}

#[test]
fn log_mel_energies_equal_kaldis() {
    let options = FilterbankOptions { bins: 80, window: Window::Hamming, scale: 32768.0 };
    // FunASR's two implementations differ by 1e-3 in bands that are almost empty.
    let frames = fbank(options, &speech_10s());
    assert_eq!(frames.len(), 998 * 80);
    let fourth: Vec<f32> = frames.chunks(80).step_by(4).flatten().copied().collect();
    assert_close(&fourth, &floats("fbank.f32"), 2e-3);
}

#[test]
fn features_of_campplus_equal_the_reference() {
    let options = FilterbankOptions { bins: 80, window: Window::Povey, scale: 1.0 };
    let mut frames = fbank(options, &speech_10s()[..24_000]);
    let count = (frames.len() / 80) as f32;
    for bin in 0..80 {
        let mean = frames[bin..].iter().step_by(80).sum::<f32>() / count;
        frames[bin..].iter_mut().step_by(80).for_each(|value| *value -= mean);
    }
    let tenth: Vec<f32> = frames.chunks(80).step_by(10).flatten().copied().collect();
    assert_close(&tenth, &floats("campplus.f32"), 2e-3);
}

#[test]
fn paraformer_rows_are_stacked_and_normalized() {
    let cmvn = Cmvn::open(&fixture("frontend/paraformer.mvn")).expect("normalization");
    let frontend = Frontend::new(&PARAFORMER, Some(cmvn)).expect("front end");
    let rows = frontend.rows(&speech_10s());
    assert_eq!(rows.len(), 167 * 560);
    let some: Vec<f32> =
        [0, 1, 83, 165, 166].iter().flat_map(|row| &rows[row * 560..][..560]).copied().collect();
    assert_close(&some, &floats("paraformer_rows.f32"), 1e-3);
}

#[test]
fn a_normalization_of_another_size_is_refused() {
    let cmvn = Cmvn::open(&fixture("frontend/paraformer.mvn")).expect("normalization");
    let config = FrontendConfig { lfr_m: 5, lfr_n: 1, ..PARAFORMER };
    let message = Frontend::new(&config, Some(cmvn)).err().expect("560 values for 400");
    assert!(message.contains("560 values, but a frame has 80 x 5"), "{message}");
}

#[test]
fn only_complete_frames_count() {
    let counts = [
        (0, 0),
        (1, 0),
        (399, 0),
        (400, 1),
        (401, 1),
        (559, 1),
        (560, 2),
        (561, 2),
        (719, 2),
        (720, 3),
        (1000, 4),
        (16_000, 98),
    ];
    let frontend = Frontend::new(&FrontendConfig { lfr_m: 1, lfr_n: 1, ..PARAFORMER }, None);
    let frontend = frontend.expect("front end");
    for (samples, frames) in counts {
        assert_eq!(Filterbank::frames(samples), frames);
        assert_eq!(frontend.rows(&vec![0.1; samples]).len(), 80 * frames, "{samples} samples");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn rows_do_not_depend_on_the_pushes(
        cuts in prop::collection::vec(0usize..3000, 1..20),
        length in 0usize..30_000,
        (lfr_m, lfr_n) in prop::sample::select(vec![(1, 1), (5, 1), (7, 6)]),
    ) {
        let speech = speech_10s();
        let speech = &speech[20_000..20_000 + length];
        let frontend = Frontend::new(&FrontendConfig { lfr_m, lfr_n, ..PARAFORMER }, None);
        let frontend = frontend.expect("front end");
        let (mut stream, mut rows, mut rest) = (frontend.stream(), Vec::new(), speech);
        for cut in cuts {
            let (push, after) = rest.split_at(cut.min(rest.len()));
            stream.push(push, &mut rows);
            rest = after;
        }
        stream.push(rest, &mut rows);
        stream.finish(&mut rows);
        prop_assert!(rows == frontend.rows(speech));
    }
}
