//! Decoding a damaged recording always ends in time, in bounded memory, and without a panic.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::{Duration, Instant};

use audio::{ChannelMode, DecodeOptions};
use common::*;
use proptest::prelude::*;

fn all_fixtures() -> Vec<Vec<u8>> {
    let mut paths: Vec<_> =
        std::fs::read_dir(fixtures()).unwrap().map(|entry| entry.unwrap().path()).collect();
    // The demuxers of AIFF, of MPEG audio in WAV, and the lists of tracks.
    let codecs = ["ima4.aifc", "mp3.wav", "mp3.mkv", "ac3-aac.mkv", "silent-first.m4a"];
    paths.extend(codecs.map(|name| fixtures().join("../codecs").join(name)));
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

/// One way to damage a file. Positions and lengths are fractions of the file.
#[derive(Debug, Clone)]
enum Damage {
    Set { at: f64, to: u8 },
    SetInHeader { at: f64, to: u8 },
    Fill { at: f64, len: f64, with: u8 },
    Cut { at: f64, len: f64 },
    Repeat { at: f64, len: f64 },
    End { at: f64 },
}

impl Damage {
    fn apply(&self, bytes: &mut Vec<u8>) {
        let len = bytes.len();
        let place =
            |share: f64, of: usize| ((share * of as f64) as usize).min(of.saturating_sub(1));
        let range = |at: f64, length: f64| {
            let start = place(at, len);
            start..(start + place(length * 0.2, len)).min(len)
        };
        if bytes.is_empty() {
            return;
        }
        match *self {
            Damage::Set { at, to } => bytes[place(at, len)] = to,
            Damage::SetInHeader { at, to } => bytes[place(at, len.min(600))] = to,
            Damage::Fill { at, len, with } => bytes[range(at, len)].fill(with),
            Damage::Cut { at, len } => drop(bytes.drain(range(at, len))),
            Damage::Repeat { at, len } => {
                let piece = bytes[range(at, len)].to_vec();
                let at = place(at, bytes.len());
                bytes.splice(at..at, piece);
            }
            Damage::End { at } => bytes.truncate(place(at, len)),
        }
    }
}

fn damage() -> impl Strategy<Value = Damage> {
    let share = 0.0..1.0;
    let byte = prop_oneof![Just(0), Just(0xff), Just(0x7f), any::<u8>()];
    prop_oneof![
        4 => (share.clone(), byte.clone()).prop_map(|(at, to)| Damage::Set { at, to }),
        6 => (share.clone(), byte.clone()).prop_map(|(at, to)| Damage::SetInHeader { at, to }),
        1 => (share.clone(), share.clone(), byte)
            .prop_map(|(at, len, with)| Damage::Fill { at, len, with }),
        1 => (share.clone(), share.clone()).prop_map(|(at, len)| Damage::Cut { at, len }),
        1 => (share.clone(), share.clone()).prop_map(|(at, len)| Damage::Repeat { at, len }),
        1 => share.prop_map(|at| Damage::End { at }),
    ]
}

#[test]
fn damaged_recordings_end_without_a_panic() {
    let fixtures = all_fixtures();
    // For more cases: PROPTEST_CASES=2000 cargo test -p audio --test fuzz
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() {
        ProptestConfig::default().cases
    } else {
        24
    };
    let config = ProptestConfig { cases, failure_persistence: None, ..Default::default() };
    let before = peak_megabytes();
    proptest!(config, |(damages in prop::collection::vec(damage(), 1..12), split: bool)| {
        for (n, bytes) in fixtures.iter().enumerate() {
            let mut bytes = bytes.clone();
            damages.iter().for_each(|damage| damage.apply(&mut bytes));
            let mode = if split { ChannelMode::Split } else { ChannelMode::Mix };
            let mut options = DecodeOptions { allow_truncated: split, ..options(mode) };
            options.limits.max_duration = Duration::from_secs(60);
            let started = Instant::now();
            if let Ok(decoded) = decode(bytes, &options) {
                let finite = |x: &f32| x.abs() <= 1.0;
                prop_assert!(decoded.channels.iter().flatten().all(finite), "fixture {}", n);
                prop_assert!(decoded.seconds() < 61.0, "fixture {}", n);
            }
            prop_assert!(started.elapsed() < Duration::from_secs(30), "fixture {}", n);
            prop_assert!(peak_megabytes() - before < 300, "fixture {}", n);
        }
    });
}
