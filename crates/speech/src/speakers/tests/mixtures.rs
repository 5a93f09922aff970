//! Diarization, with the trained model, of conversations assembled from recordings of real people
//! (Debian's pocketsphinx-testdata, which `make test` installs).

use std::{fs, path::PathBuf, sync::Arc};

use super::{cosine, floats};
use crate::{
    fixtures,
    speakers::{
        Diarization, Diarizer, SpeakerEncoder, SpeakerOptions, SpeakersConfig, Turn,
        segmentation::SegmentationNetwork,
    },
    vad::{FsmnVad, VadOptions},
};

/// Clips of three speakers: one reads a novel, one names cards, and one speaks commands and
/// numbers. (The trained model's cosines between different speakers are below 0.35, and those of
/// the same speaker mostly above 0.55.)
const VOICES: [&[&str]; 3] = [
    &[
        "librivox/sense_and_sensibility_01_austen_64kb-0870.wav",
        "librivox/sense_and_sensibility_01_austen_64kb-0880.wav",
        "librivox/sense_and_sensibility_01_austen_64kb-0890.wav",
        "librivox/sense_and_sensibility_01_austen_64kb-0920.wav",
        "librivox/sense_and_sensibility_01_austen_64kb-0930.wav",
    ],
    &["cards/001.wav", "cards/002.wav", "cards/003.wav", "cards/004.wav", "cards/005.wav"],
    &["goforward.raw", "something.raw", "numbers.raw", "tidigits/dhd.2934z.raw"],
];
const RATE: f64 = 16_000.0;
/// Seconds around each change of speaker that are not scored, as is usual.
const COLLAR: f64 = 0.25;
/// Step of scoring, in seconds.
const STEP: f64 = 0.01;

/// The models that are installed: see tests/run.sh.
struct Installed {
    vad: Arc<FsmnVad>,
    encoder: Arc<SpeakerEncoder>,
    segmentation: Option<Arc<SegmentationNetwork>>,
}

fn models() -> Option<Installed> {
    let directory = PathBuf::from(std::env::var_os("SCRIPTORIUM_TEST_MODELS")?);
    if !directory.join("campplus").is_dir() {
        return None;
    }
    let vad = FsmnVad::open(&directory.join("fsmn-vad")).unwrap();
    let encoder = SpeakerEncoder::open(&directory.join("campplus"), "campplus").unwrap();
    let segmentation = directory.join("pyannote-segmentation-3.0");
    let segmentation = segmentation
        .is_dir()
        .then(|| Arc::new(SegmentationNetwork::open(&segmentation, "segmentation").unwrap()));
    Some(Installed { vad: Arc::new(vad), encoder: Arc::new(encoder), segmentation })
}

fn clip(name: &str) -> Vec<f32> {
    let path = PathBuf::from("/usr/share/pocketsphinx/test/data").join(name);
    let bytes = fs::read(path).unwrap();
    // All clips are 16 kHz mono with 16 bits; the headers of the .wav files have the minimum
    // length.
    let samples = if name.ends_with(".wav") { &bytes[44..] } else { &bytes };
    pcm(samples)
}

fn pcm(bytes: &[u8]) -> Vec<f32> {
    let sample = |b: &[u8]| f32::from(i16::from_le_bytes([b[0], b[1]])) / 32768.0;
    bytes.chunks_exact(2).map(sample).collect()
}

/// Joins the clips of `voices`, alternating between these; also returns the true turns.
fn conversation(voices: &[usize]) -> (Vec<f32>, Vec<Turn>) {
    let mut random = fastrand::Rng::with_seed(1);
    let (mut samples, mut truth) = (vec![0.0; 4000], Vec::<Turn>::new());
    for round in 0..5 {
        for &speaker in voices {
            let Some(name) = VOICES[speaker].get(round) else { continue };
            let start = samples.len() as f64 / RATE;
            samples.extend(clip(name));
            truth.push(Turn { start, end: samples.len() as f64 / RATE, speaker });
            samples.extend(vec![0.0; random.usize(1600..12_000)]);
        }
    }
    (samples, truth)
}

fn speaker_at(turns: &[Turn], time: f64) -> Option<usize> {
    turns.iter().find(|turn| turn.start <= time && time < turn.end).map(|turn| turn.speaker)
}

/// Returns the share of the detected speech that is assigned to the wrong speaker or to nobody,
/// with the best mapping of labels to speakers. Speech that the detector missed is not scored.
fn error_rate(found: &[Turn], truth: &[Turn], speech: &[(f64, f64)]) -> f64 {
    let mut counts = vec![vec![0usize; 16]; VOICES.len()];
    let mut total = 0;
    for &(start, end) in speech {
        for step in 0..((end - start) / STEP) as usize {
            let time = start + step as f64 * STEP;
            let near = |edge: f64| (edge - time).abs() < COLLAR;
            if truth.iter().any(|turn| near(turn.start) || near(turn.end)) {
                continue;
            }
            if let Some(speaker) = speaker_at(truth, time) {
                total += 1;
                if let Some(found) = speaker_at(found, time) {
                    counts[speaker][found] += 1;
                }
            }
        }
    }
    let pairs = |a: usize, b: usize, c: usize| counts[0][a] + counts[1][b] + counts[2][c];
    let mut best = 0;
    for a in 0..16 {
        for b in (0..16).filter(|b| *b != a) {
            for c in (0..16).filter(|c| *c != a && *c != b) {
                best = best.max(pairs(a, b, c));
            }
        }
    }
    1.0 - best as f64 / f64::from(total)
}

/// Finds the speakers of a recording. The last work is done first: the order must not matter.
fn diarize(
    diarizer: &Diarizer,
    samples: &[f32],
    speech: &[std::ops::Range<usize>],
    options: &SpeakerOptions,
) -> Diarization {
    let (mut stream, mut work) = (diarizer.stream(), Vec::new());
    for block in samples.chunks(16_000) {
        stream.push(block, &mut work);
    }
    for segment in speech {
        stream.push_speech(segment.start as u64, &samples[segment.clone()], &mut work);
    }
    stream.finish(&mut work);
    while let Some(next) = work.pop() {
        let result = diarizer.compute(&next).unwrap();
        assert!(next.key().fits(&result));
        stream.accept(next.key(), result, &mut work);
    }
    diarizer.diarize(&stream, options)
}

/// tests/fixtures/campplus/README.md describes the reference.
#[test]
fn the_trained_model_matches_pytorch() {
    let Some(Installed { encoder, .. }) = models() else {
        eprintln!("skipped: SCRIPTORIUM_TEST_MODELS has no campplus");
        return;
    };
    let bytes = fs::read(fixtures::path("frontend/speech_10s.wav")).unwrap();
    let speech = pcm(&bytes[44..]);
    let expected = floats("campplus/trained.f32");
    for (start, expected) in [8000, 100_000].into_iter().zip(expected.chunks_exact(192)) {
        let found = encoder.embed(&[&speech[start..start + 24_000]]).unwrap().remove(0);
        let rectified: Vec<f32> = expected.iter().map(|value| value.max(0.0)).collect();
        let cosine = cosine(&found, &rectified);
        eprintln!("cosine: {cosine}");
        assert!(cosine >= 0.9998);
    }
}

#[test]
fn distinguishes_real_speakers() {
    let Some(Installed { vad, encoder, segmentation }) = models() else {
        eprintln!("skipped: SCRIPTORIUM_TEST_MODELS has no campplus");
        return;
    };
    let config = SpeakersConfig::default();
    let mut diarizers = vec![Diarizer::new(Arc::clone(&encoder), None, &config)];
    match segmentation {
        None => eprintln!("skipped in part: SCRIPTORIUM_TEST_MODELS has no segmentation network"),
        network => diarizers.push(Diarizer::new(encoder, network, &config)),
    }
    let estimate = SpeakerOptions::default();
    let with_count = |count| SpeakerOptions { count: Some(count), ..estimate.clone() };
    for voices in [&[0][..], &[0, 1], &[2, 0], &[0, 1, 2]] {
        let (samples, truth) = conversation(voices);
        let segments = vad.segments(&samples, &VadOptions::default()).unwrap();
        let range = |start: u64, end: u64| start as usize..(end as usize).min(samples.len());
        let speech: Vec<_> = segments.iter().map(|s| range(s.start, s.end)).collect();
        let seconds: Vec<_> =
            speech.iter().map(|s| (s.start as f64 / RATE, s.end as f64 / RATE)).collect();
        for diarizer in &diarizers {
            for options in [estimate.clone(), with_count(voices.len())] {
                let found = diarize(diarizer, &samples, &speech, &options);
                let error = error_rate(&found.turns, &truth, &seconds);
                let speakers = found.voices.len();
                println!(
                    "{} voices, {:.0} s, segmentation {:?}, count {:?}: {speakers} speakers, \
                     diarization error rate {:.1} % (collar 0.25 s, within speech)",
                    voices.len(),
                    samples.len() as f64 / RATE,
                    diarizer.segmentation_name(),
                    options.count,
                    100.0 * error,
                );
                assert_eq!(speakers, voices.len());
                assert!(error < 0.1, "{:?}", found.turns);
            }
        }
    }
}
