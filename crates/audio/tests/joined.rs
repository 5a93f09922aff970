//! No audio of a file is dropped: behind a wrong length, in a second recording, after a change of
//! the sample rate or of the channels.
#![allow(clippy::unwrap_used)]

mod common;

use std::io::{self, Read, Seek, SeekFrom};

use audio::{ChannelMode, Decoder, Error, MediaSource};
use common::*;
use proptest::prelude::*;

/// Returns 16-bit samples, none of which is zero.
fn words(n: usize) -> Vec<u8> {
    (0..n).flat_map(|n| ((n % 30_000) as i16 + 1).to_le_bytes()).collect()
}

fn wave(data: u32, riff: u32, body: &[u8]) -> Vec<u8> {
    [wav_header(1, 1, 16_000, 16, riff, data), body.to_vec()].concat()
}

fn chunk(id: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let padding = vec![0; body.len() % 2];
    [id.as_slice(), &(body.len() as u32).to_le_bytes(), body, &padding].concat()
}

fn samples(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks(2).map(|b| f32::from(i16::from_le_bytes([b[0], b[1]])) / 32_768.0).collect()
}

#[test]
fn a_wav_with_too_short_a_length() {
    let audio = words(120_000);
    for short in [40_000, 40_002, 8] {
        let decoded = decode(wave(short, 36 + 240_000, &audio), &mix()).unwrap();
        assert!(decoded.channels[0] == samples(&audio), "{short}");
        let warnings = decoded.report.warnings.concat();
        let more = 240_000 - short;
        assert!(warnings.contains(&format!("{more} bytes of audio behind it")), "{warnings}");
    }
    // Both lengths are too short: is it audio? The warning says how much it would be.
    let decoded = decode(wave(40_000, 36 + 40_000, &audio), &mix()).unwrap();
    assert_eq!(decoded.channels[0].len(), 20_000);
    let warnings = decoded.report.warnings.concat();
    assert!(warnings.contains("200000 bytes behind the end"), "{warnings}");
    assert!(warnings.contains("6.2 s"), "{warnings}");
}

#[test]
fn a_wav_with_several_data_chunks() {
    let audio = words(30_001);
    let (a, b) = audio.split_at(20_000);
    let more = [chunk(b"LIST", b"INFOI"), chunk(b"data", b), chunk(b"id3 ", &[1; 100])].concat();
    let file = wave(20_000, 0, &[a, &more].concat());
    let decoded = decode(file, &mix()).unwrap();
    assert!(decoded.channels[0] == samples(&audio));
    assert_eq!(decoded.report.warnings, Vec::<String>::new());
    // A chunk of odd length, of 8-bit samples, with and without its padding.
    for padding in [0, 1] {
        let mut bytes = wav_header(1, 1, 16_000, 8, 0, 1001);
        bytes.extend(vec![10; 1001 + padding]);
        bytes.extend(chunk(b"data", &[20; 500]));
        assert_eq!(decode(bytes, &mix()).unwrap().channels[0].len(), 1501, "{padding}");
    }
}

#[test]
fn wav_files_put_one_after_the_other() {
    let audio = words(20_000);
    let (a, b) = audio.split_at(18_000);
    let one = |body: &[u8]| wave(body.len() as u32, body.len() as u32 + 36, body);
    let decoded = decode([one(a), one(b), one(a)].concat(), &mix()).unwrap();
    assert!(decoded.channels[0] == samples(&[a, b, a].concat()));
    let other = [wav_header(1, 2, 8000, 16, 64_036, 64_000), vec![1; 64_000]].concat();
    let decoded = decode([one(a), other].concat(), &mix()).unwrap();
    assert_eq!(decoded.channels[0].len(), 9000);
    assert!(decoded.report.warnings.concat().contains("were not decoded"));
}

/// A header, then silence up to a length.
struct Long {
    header: Vec<u8>,
    len: u64,
    pos: u64,
}

impl Read for Long {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let left = self.len.saturating_sub(self.pos).min(buf.len() as u64) as usize;
        for (n, byte) in buf[..left].iter_mut().enumerate() {
            *byte = self.header.get(self.pos as usize + n).copied().unwrap_or(0);
        }
        self.pos += left as u64;
        Ok(left)
    }
}

impl Seek for Long {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        if let SeekFrom::Start(pos) = to {
            self.pos = pos;
        }
        Ok(self.pos)
    }
}

impl MediaSource for Long {
    fn is_seekable(&self) -> bool {
        true
    }

    fn byte_len(&self) -> Option<u64> {
        Some(self.len)
    }
}

#[test]
fn a_wav_of_more_than_4_gib_has_its_real_length() {
    for (len, real) in
        [((1_u64 << 32) + 128_000, 134_221.728), (128_000, 4.0), (9 << 30, 301_989.888)]
    {
        let lens = [(len as u32).wrapping_add(36), len as u32];
        let header = wav_header(1, 1, 16_000, 16, lens[0], lens[1].max(2));
        let long = Long { header, len: len + 44, pos: 0 };
        let decoder = Decoder::open(Box::new(long), &mix()).unwrap();
        let declared = decoder.info().declared_duration.unwrap();
        assert!((declared - real).abs() < 1.0, "{declared}");
    }
}

#[test]
fn a_header_without_audio_is_an_error() {
    for data in [0, 2] {
        let result = decode(wav_header(1, 1, 16_000, 16, 36, data), &mix());
        assert!(result.is_err(), "{result:?}");
    }
    let result = decode(wav_header(1, 1, 16_000, 16, 36, 0), &mix());
    assert!(matches!(result, Err(Error::Empty)), "{result:?}");
}

#[test]
fn flac_files_put_one_after_the_other() {
    let one = fixture("flac.flac");
    let whole = decode(one.clone(), &mix()).unwrap().channels.remove(0);
    let decoded = decode(one.repeat(3), &mix()).unwrap();
    assert!(decoded.channels[0] == [&whole[..]; 3].concat());
    assert_eq!(
        decoded.report.warnings,
        ["the file contains 3 recordings one after the other; all were decoded"]
    );
    // The second was cut off: the duration that both declare tells.
    let cut = [one.clone(), one[..one.len() / 2].to_vec()].concat();
    assert!(matches!(decode(cut, &mix()), Err(Error::Truncated { .. })));
    // The second cannot be read.
    let broken = [one, b"fLaC\x00\x00\x00\x22".to_vec(), vec![0; 3000]].concat();
    let decoded = decode(broken, &mix()).unwrap();
    assert!(decoded.channels[0] == whole);
    let warnings = decoded.report.warnings.concat();
    assert!(warnings.contains("it was not decoded"), "{warnings}");
}

#[test]
fn a_chained_stream_that_cannot_be_read() {
    let mut pages = ogg::pages(&fixture("vorbis.ogg"));
    let whole = decode(fixture("vorbis.ogg"), &mix()).unwrap().channels.remove(0);
    pages[0][28] = 9; // No stream that anybody knows.
    let granule = ogg::granule(&pages[0]);
    ogg::set_granule(&mut pages[0], granule);
    let decoded = decode([fixture("vorbis.ogg"), pages.concat()].concat(), &mix()).unwrap();
    assert!(decoded.channels[0] == whole);
    let warnings = decoded.report.warnings.concat();
    assert!(warnings.contains("another recording begins in the file after 1.0 s"), "{warnings}");
}

#[test]
fn webm_files_put_one_after_the_other() {
    let one = fixture("opus.webm");
    let whole = decode(one.clone(), &mix()).unwrap().channels.remove(0);
    let vorbis = fixture("vorbis.webm");
    let decoded = decode([one.clone(), vorbis, one].concat(), &mix()).unwrap();
    assert!((decoded.seconds() - 3.0).abs() < 0.05, "{}", decoded.seconds());
    let last = &decoded.channels[0][decoded.channels[0].len() - whole.len()..];
    assert!(find(&whole, last, 100).correlation > 0.95);
    let warnings = &decoded.report.warnings;
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("3 recordings"), "{warnings:?}");
    // The pieces of a browser, whose clock begins anew.
    let audio = vec![0.25; 16_000];
    let blob = mkv::file(&[(1, 0, &audio), (1, 1000, &audio)], true);
    let decoded = decode(blob.repeat(2), &mix()).unwrap();
    assert_eq!(decoded.channels[0], vec![0.25; 64_000]);
}

#[test]
fn mp3_that_changes_its_rate_and_channels() {
    let (mono, stereo) = (fixture("mp3-16k.mp3"), fixture("mp3-cbr-id3.mp3"));
    let plain = fixture("mp3-vbr-no-xing.mp3");
    for (parts, rates) in [
        ([mono.clone(), stereo.clone(), mono.clone()], 2),
        ([stereo, plain.clone(), mono.clone()], 1),
        ([plain, mono.clone(), mono], 1),
    ] {
        let bytes = parts.concat();
        for mode in [ChannelMode::Mix, ChannelMode::Split] {
            let decoded = decode(bytes.clone(), &options(mode)).unwrap();
            assert!((decoded.seconds() - 3.0).abs() < 0.25, "{}", decoded.seconds());
            for second in 0..3 {
                let heard = &decoded.channels[0][second * 16_000 + 1600..][..12_000];
                assert!(rms(heard) > 0.2, "{mode:?} {second}: {}", rms(heard));
            }
            let warnings = decoded.report.warnings.join("\n");
            assert_eq!(warnings.matches("the sample rate changes").count(), rates, "{warnings}");
            assert!(!warnings.contains("damaged"), "{warnings}");
        }
    }
}

#[test]
fn aac_that_changes_its_rate_and_channels() {
    // The fixture as ADTS, with the packets of an MP4 of another rate and mono behind it.
    let stereo = fixture("aac.aac");
    let mono = mp4::to_adts(&fixture("aac-faststart.m4a"), 8, 1);
    let decoded = decode([stereo.clone(), mono, stereo].concat(), &mix()).unwrap();
    assert!((decoded.seconds() - 3.1).abs() < 0.15, "{}", decoded.seconds());
    for second in 0..3 {
        let heard = &decoded.channels[0][second * 16_000 + 1600..][..12_000];
        assert!(rms(heard) > 0.2, "{second}: {}", rms(heard));
    }
    let warnings = decoded.report.warnings.join("\n");
    assert!(warnings.contains("3 recordings"), "{warnings}");
    assert!(warnings.contains("changes to 16000 Hz"), "{warnings}");
    assert!(!warnings.contains("damaged"), "{warnings}");
}

#[test]
fn one_frame_with_other_properties_is_damage() {
    let mut bytes = fixture("mp3-vbr-no-xing.mp3").repeat(5);
    let whole = decode(bytes.clone(), &mix()).unwrap();
    let header = bytes[..2].to_vec();
    let at = bytes.windows(2).skip(20_000).position(|w| w == header).unwrap() + 20_000;
    bytes[at + 3] ^= 0xc0; // Mono becomes stereo.
    let decoded = decode(bytes, &mix()).unwrap();
    assert!((decoded.seconds() - whole.seconds()).abs() < 0.1);
    assert!(!decoded.report.warnings.concat().contains("channels change"));
}

#[test]
fn channels_that_cancel_each_other_are_heard() {
    let left = sweep(48_000);
    let right: Vec<f32> = left.iter().map(|x| -x).collect();
    let decoded = decode(wav(16_000, &[left.clone(), right]), &mix()).unwrap();
    assert!(decoded.channels[0][2000..] == left[2000..]);
    let warnings = decoded.report.warnings.concat();
    assert!(warnings.contains("cancel each other out from 0.0 s on"), "{warnings}");
}

#[test]
fn bytes_lost_in_the_middle_of_an_mp3_are_not_a_truncation() {
    let speech = fixtures().join("../speech");
    let bytes = std::fs::read(speech.join("sentence.mp3")).unwrap();
    let (from, to) = (bytes.len() * 2 / 5, bytes.len() * 7 / 10);
    for tail in [&b""[..], &[b"TAGtitle".as_slice(), &[b' '; 120]].concat()] {
        let lost = [&bytes[..from], &bytes[to + 7..], tail].concat();
        let decoded = decode(lost, &mix()).unwrap();
        assert!((2.1..2.6).contains(&decoded.seconds()), "{}", decoded.seconds());
        let warnings = decoded.report.warnings.join("\n");
        assert!(warnings.contains("of 3.3 s are missing within the recording"), "{warnings}");
        assert!(!warnings.contains("truncated"), "{warnings}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..Default::default() })]

    /// All data chunks are found, whatever lies between them.
    #[test]
    fn any_wav_of_chunks(
        parts in prop::collection::vec((1..3000_usize, any::<bool>(), 0..40_usize), 1..8),
        riff: u32,
    ) {
        let total = parts.iter().map(|(frames, ..)| frames).sum();
        let audio = words(total);
        let (mut rest, mut body, mut first) = (&audio[..], Vec::new(), 0);
        for (n, &(frames, other, len)) in parts.iter().enumerate() {
            let (data, after) = rest.split_at(2 * frames);
            rest = after;
            match n {
                0 => {
                    first = data.len() as u32;
                    body.extend_from_slice(data);
                }
                _ => body.extend(chunk(b"data", data)),
            }
            if other {
                body.extend(chunk(b"LIST", &vec![9; len]));
            }
        }
        let decoded = decode(wave(first, riff, &body), &mix()).unwrap();
        prop_assert!(decoded.channels[0] == samples(&audio));
    }

    /// Anything behind the audio is taken or left, and the audio before it is whole.
    #[test]
    fn any_bytes_behind_a_wav(tail in prop::collection::vec(any::<u8>(), 0..300), riff: u32) {
        let audio = words(2000);
        let decoded = decode(wave(4000, riff, &[&audio[..], &tail].concat()), &mix()).unwrap();
        prop_assert!(decoded.channels[0][..2000] == samples(&audio));
        prop_assert!(decoded.channels[0].len() <= 2000 + tail.len() / 2);
    }
}

#[test]
fn an_mp4_file_after_another_is_named() {
    for name in ["aac.m4a", "aac-faststart.m4a"] {
        let one = fixture(name);
        let alone = decode(one.clone(), &mix()).unwrap();
        assert_eq!(alone.report.warnings, Vec::<String>::new(), "{name}");
        let joined = decode([one.clone(), one.clone()].concat(), &mix()).unwrap();
        assert_eq!(joined.channels, alone.channels, "{name}");
        let expected = format!(
            "another MP4 file follows at byte {} and was not decoded: {} bytes",
            one.len(),
            one.len()
        );
        assert_eq!(joined.report.warnings, [expected], "{name}");
    }
}
