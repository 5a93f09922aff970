//! Codecs in containers where symphonia does not look for them, and the choice of a track; all
//! without FFmpeg.
#![allow(clippy::unwrap_used)]

mod common;

use audio::{DecodeOptions, Error, Fallback, FallbackOutcome};
use common::*;

fn codec_fixture(name: &str) -> Vec<u8> {
    fixture(&format!("../codecs/{name}"))
}

/// Decodes and compares with the sweep.
fn assert_sweep(bytes: Vec<u8>, options: &DecodeOptions, what: &str) -> Decoded {
    let decoded = decode(bytes, options).unwrap_or_else(|e| panic!("{what}: {e}"));
    let samples = decoded.channels[0].len().min(16_000);
    let found = find(&sweep(samples), &decoded.channels[0], 1200);
    assert!(found.correlation > 0.85, "{what}: {found:?}");
    decoded
}

#[test]
fn mpeg_audio_in_wav_and_adpcm_in_aiff() {
    let files = [
        ("mp3.wav", "wav", "mp3"),
        ("mp2.wav", "wav", "mp2"),
        ("ima4.aifc", "aiff", "adpcm_ima_qt"),
        ("sowt.aifc", "aiff", "pcm_s16le"),
    ];
    for (file, container, codec) in files {
        let decoded = assert_sweep(codec_fixture(file), &mix(), file);
        assert_eq!(
            (decoded.info.container.as_str(), decoded.info.codec.as_str()),
            (container, codec)
        );
        assert_eq!(decoded.info.decoder, None, "{file}");
        assert_eq!(decoded.report.warnings, Vec::<String>::new(), "{file}");
    }
}

#[test]
fn chunks_after_mp3_in_wav_are_not_sound() {
    let whole = decode(codec_fixture("mp3.wav"), &mix()).unwrap().seconds();
    let bytes = [&codec_fixture("mp3.wav")[..], b"LIST\x1a\0\0\0INFOISFT\x0e\0\0\0Lavf59.27.100\0"];
    let decoded = decode(bytes.concat(), &mix()).unwrap();
    assert_eq!(decoded.seconds(), whole);
}

#[test]
fn a_wrong_length_of_form_is_not_looked_at() {
    let mut bytes = fixture("aiff-s16be.aiff");
    let right = decode(bytes.clone(), &mix()).unwrap();
    for wrong in [0, 1, bytes.len() as u32 + 1000, u32::MAX] {
        bytes[4..8].copy_from_slice(&wrong.to_be_bytes());
        let decoded = decode(bytes.clone(), &mix()).unwrap();
        assert_eq!(decoded.channels, right.channels, "{wrong}");
        assert_eq!(decoded.report.warnings, Vec::<String>::new(), "{wrong}");
    }
}

/// An AIFF whose sound comes before its description, and whose length was left at 0.
#[test]
fn aiff_as_streaming_writers_leave_it() {
    let bytes = fixture("aiff-s16be.aiff");
    let at = |id: &[u8]| bytes.windows(4).position(|window| window == id).unwrap();
    let (common, sound) = (at(b"COMM"), at(b"SSND"));
    let right = decode(bytes.clone(), &mix()).unwrap();
    let swapped = [&bytes[..12], &bytes[sound..], &bytes[common..common + 26]].concat();
    assert_eq!(decode(swapped, &mix()).unwrap().channels, right.channels);
    let mut endless = bytes.clone();
    endless[sound + 4..sound + 8].fill(0);
    let decoded = decode(endless, &mix()).unwrap();
    assert_eq!(decoded.channels, right.channels);
    assert_eq!(decoded.info.declared_duration, None);
    let mut cut = bytes;
    cut.truncate(4000);
    let warnings = decode(cut, &mix()).unwrap().report.warnings.concat();
    assert!(warnings.contains("truncated"), "{warnings}");
}

/// Reads an element id or length of EBML at `at`; returns its value and length.
fn vint(bytes: &[u8], at: usize, keep_marker: bool) -> (u64, usize) {
    let len = bytes[at].leading_zeros() as usize + 1;
    let all = bytes[at..at + len].iter().fold(0, |value, &b| value << 8 | u64::from(b));
    (if keep_marker { all } else { all & ((1 << (7 * len)) - 1) }, len)
}

/// Returns the elements in `bytes`: id and content.
fn elements(bytes: &[u8]) -> Vec<(u64, &[u8])> {
    let (mut at, mut found) = (0, Vec::new());
    while at < bytes.len() {
        let (id, id_len) = vint(bytes, at, true);
        let (len, len_len) = vint(bytes, at + id_len, false);
        let body = at + id_len + len_len;
        at = body + len as usize;
        found.push((id, &bytes[body..at]));
    }
    found
}

fn element(id: u64, body: &[u8]) -> Vec<u8> {
    let id: Vec<u8> = id.to_be_bytes().into_iter().skip_while(|&b| b == 0).collect();
    [&id, &(body.len() as u64 | 1 << 56).to_be_bytes()[..], body].concat()
}

/// Rewrites a Matroska file as if its frames had this encoding; `strip` bytes are removed from each.
fn with_encoding(file: &[u8], encoding: &[u8], strip: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for (id, body) in elements(file) {
        if id != 0x1853_8067 {
            out.extend(element(id, body));
            continue;
        }
        let mut segment = Vec::new();
        for (id, body) in elements(body) {
            match id {
                0x1654_ae6b => {
                    let tracks = elements(body);
                    let (_, entry) = tracks.iter().find(|(id, _)| *id == 0xae).unwrap();
                    segment.extend(element(id, &element(0xae, &[entry, encoding].concat())));
                }
                0x1f43_b675 => {
                    let blocks = elements(body).into_iter().map(|(id, body)| match id {
                        0xa3 => element(id, &[&body[..4], &body[4 + strip..]].concat()),
                        0xbf => Vec::new(),
                        _ => element(id, body),
                    });
                    segment.extend(element(id, &blocks.collect::<Vec<_>>().concat()));
                }
                // Positions and checksums are wrong now.
                0x114d_9b74 | 0x1c53_bb6b | 0xec | 0xbf => {}
                _ => segment.extend(element(id, body)),
            }
        }
        out.extend(element(id, &segment));
    }
    out
}

fn content_encoding(kind: u8, algorithm: u8, settings: &[u8]) -> Vec<u8> {
    let compression = [element(0x4254, &[algorithm]), element(0x4255, settings)].concat();
    let parts = [element(0x5033, &[kind]), element(0x5034, &compression)].concat();
    element(0x6d80, &element(0x6240, &parts))
}

#[test]
fn stripped_headers_are_put_back() {
    let file = codec_fixture("mp3.mkv");
    let whole = decode(file.clone(), &mix()).unwrap();
    let stripped = with_encoding(&file, &content_encoding(0, 3, b"\xff\xfb"), 2);
    let decoded = decode(stripped, &mix()).unwrap();
    assert_eq!(decoded.channels, whole.channels);
    assert_eq!(decoded.report.warnings, Vec::<String>::new());
}

#[test]
fn other_encodings_are_named() {
    let file = codec_fixture("mp3.mkv");
    let compressed = decode(with_encoding(&file, &content_encoding(0, 0, b""), 0), &mix());
    assert!(matches!(compressed, Err(Error::UnsupportedCodec { .. })), "{compressed:?}");
    let encrypted = decode(with_encoding(&file, &content_encoding(1, 0, b""), 0), &mix());
    assert!(matches!(encrypted, Err(Error::Encrypted { .. })), "{encrypted:?}");
}

#[test]
fn the_first_track_that_decodes_is_taken_with_a_warning() {
    let decoded = assert_sweep(codec_fixture("ac3-aac.mkv"), &mix(), "ac3-aac.mkv");
    assert_eq!(decoded.info.codec, "aac");
    let warning = decoded.report.warnings.concat();
    assert!(warning.contains("audio track 2 (ger, aac)"), "{warning}");
    assert!(warning.contains("1 (eng, AC-3 (Dolby Digital)) cannot be decoded"), "{warning}");
}

#[test]
fn a_track_is_chosen_by_number_or_language() {
    let with = |track: &str| DecodeOptions { track: Some(track.parse().unwrap()), ..mix() };
    for track in ["2", "de", "ger", "deu"] {
        for file in ["ac3-aac.mkv", "silent-first.m4a"] {
            let decoded = assert_sweep(codec_fixture(file), &with(track), file);
            assert_eq!(decoded.report.warnings, Vec::<String>::new(), "{file} {track}");
        }
    }
    match decode(codec_fixture("ac3-aac.mkv"), &with("1")) {
        Err(Error::UnsupportedCodec { codec, .. }) => assert!(codec.contains("AC-3"), "{codec}"),
        other => panic!("{other:?}"),
    }
    for missing in ["3", "fr"] {
        match decode(codec_fixture("silent-first.m4a"), &with(missing)) {
            Err(error @ Error::NoSuchTrack { .. }) => {
                let message = error.to_string();
                assert!(message.contains(missing) && message.contains("2 (deu, aac)"), "{message}");
            }
            other => panic!("{missing}: {other:?}"),
        }
    }
}

#[test]
fn a_silent_track_points_to_the_others() {
    let decoded = decode(codec_fixture("silent-first.m4a"), &mix()).unwrap();
    let warning = decoded.report.warnings.concat();
    assert!(warning.contains("track 1 is silent"), "{warning}");
    assert!(warning.contains("2 (deu, aac)"), "{warning}");
    let alone = decode(wav(16_000, &[vec![0.0; 16_000]]), &mix()).unwrap();
    assert_eq!(alone.report.warnings, Vec::<String>::new(), "nothing else to choose");
}

/// Replaces the sample entry of an MP4 file.
fn with_entry(file: &str, entry: &[u8; 4]) -> Vec<u8> {
    let mut bytes = fixture(file);
    let description = bytes.windows(4).position(|window| window == b"stsd").unwrap();
    bytes[description + 16..description + 20].copy_from_slice(entry);
    bytes
}

#[test]
fn unknown_sample_entries_are_named() {
    for (entry, name) in [(b"samr", "AMR"), (b"ima4", "IMA ADPCM"), (b"zzzz", "`zzzz`")] {
        match decode(with_entry("aac.m4a", entry), &mix()) {
            Err(Error::UnsupportedCodec { codec, .. }) => assert!(codec.contains(name), "{codec}"),
            other => panic!("{name}: {other:?}"),
        }
    }
    for entry in [b"enca", b"drms"] {
        let error = decode(with_entry("aac.m4a", entry), &mix()).unwrap_err();
        assert!(matches!(error, Error::Encrypted { .. }), "{error}");
        let message = error.to_string();
        assert!(message.contains("encrypted") && message.contains("AAC"), "{message}");
    }
}

#[test]
fn unsupported_codecs_are_not_corrupt() {
    let files = [
        ("gsm.caf", "GSM 6.10"),
        ("gsm.wav", "GSM 6.10"),
        ("g722.wav", "G.722"),
        ("g726.wav", "G.726"),
        ("aac51.m4a", "AAC with 6 channels"),
        ("quad.m4a", "AAC with a channel layout of its own"),
        ("mono384.mp2", "MPEG layer 2"),
        ("ima4.mov", "IMA ADPCM"),
        ("ac3.ac3", "AC-3"),
        ("eac3.eac3", "E-AC-3"),
        ("wma.wma", "Windows Media"),
        ("aac.ts", "transport stream"),
        ("mp3.avi", "AVI"),
        ("pcm.w64", "Wave64"),
    ];
    let fallbacks = [
        (Fallback::Off, FallbackOutcome::Off, "audio.fallback is off"),
        (Fallback::Missing, FallbackOutcome::NotInstalled, "ffmpeg, which is not installed"),
    ];
    for (file, name) in files {
        for (fallback, expected, says) in &fallbacks {
            let options = DecodeOptions { fallback: fallback.clone(), ..mix() };
            match decode(codec_fixture(file), &options) {
                Err(error @ Error::UnsupportedCodec { .. }) => {
                    let message = error.to_string();
                    assert!(message.contains(name) && message.contains(says), "{message}");
                    let Error::UnsupportedCodec { fallback, .. } = error else { continue };
                    assert_eq!(&fallback, expected);
                }
                other => panic!("{file}: {other:?}"),
            }
        }
    }
}
