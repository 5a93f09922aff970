//! Audio is at the time that the container says: gaps, late starts, edit lists.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use audio::Error;
use common::mp4::{Edit, edit_list, empty_tables, file, fragment, fragmented, track};
use common::*;
use proptest::prelude::*;

const SECOND: usize = 16_000;

/// Returns `n` samples, each different from its neighbours: 16-bit PCM keeps them exactly.
fn samples(n: usize) -> Vec<f32> {
    (0..n).map(|n| ((n * 7919) % 20_011) as f32 / 32_768.0 + 1.0 / 32_768.0).collect()
}

fn silence(n: usize) -> Vec<f32> {
    vec![0.0; n]
}

/// Decodes `bytes` and checks that the result is exactly `expected`.
fn check(bytes: Vec<u8>, expected: &[Vec<f32>]) -> Vec<String> {
    let decoded = decode(bytes, &mix()).unwrap();
    let expected = expected.concat();
    assert_eq!(decoded.channels[0].len(), expected.len(), "{:?}", decoded.report);
    let wrong = decoded.channels[0].iter().zip(&expected).position(|(a, b)| a != b);
    assert_eq!(wrong, None, "{:?}", decoded.report);
    assert!((decoded.report.duration - decoded.seconds()).abs() < 1e-3);
    decoded.report.warnings
}

fn edited(audio: &[f32], edits: &[Edit]) -> Vec<u8> {
    file(audio, &[(audio.len() as u32, 1)], &edit_list(edits), &[])
}

#[test]
fn edit_lists_are_obeyed_to_the_sample() {
    let audio = samples(8 * SECOND);
    let cut = |from: usize, to: usize| audio[from..to].to_vec();
    let none: Vec<String> = Vec::new();
    // The start trimmed, the end, both, the middle, and a part played twice, the later part first.
    let start = [(3000, 5 * SECOND as i32)];
    assert_eq!(check(edited(&audio, &start), &[cut(5 * SECOND, 8 * SECOND)]), none);
    assert_eq!(check(edited(&audio, &[(4000, 0)]), &[cut(0, 4 * SECOND)]), none);
    assert_eq!(check(edited(&audio, &[(1001, 1023)]), &[cut(1023, 1023 + 16_016)]), none);
    let middle = [(1500, 0), (2500, 88_000)];
    assert_eq!(check(edited(&audio, &middle), &[cut(0, 24_000), cut(88_000, 128_000)]), none);
    let twice = [(2000, 64_000), (2000, 64_001), (500, 7)];
    let expected = [cut(64_000, 96_000), cut(64_001, 96_001), cut(7, 8007)];
    assert_eq!(check(edited(&audio, &twice), &expected), none);
    // The rest of the media, and more than there is.
    assert_eq!(check(edited(&audio, &[(0, 100_000)]), &[cut(100_000, 128_000)]), none);
    assert_eq!(check(edited(&audio, &[(9000, 16_000)]), &[cut(16_000, 128_000)]), none);
    // A pause between two parts.
    let pause = [(1000, 0), (3000, -1), (1000, 16_000)];
    let expected = [cut(0, 16_000), silence(48_000), cut(16_000, 32_000)];
    let warnings = check(edited(&audio, &pause), &expected);
    assert_eq!(warnings, ["3.0 s without audio at 1.0 s were filled with silence"]);
}

#[test]
fn nothing_is_heard_of_a_recording_trimmed_to_nothing() {
    let result = decode(edited(&samples(SECOND), &[(500, 99_999)]), &mix());
    assert!(matches!(result, Err(Error::Empty)), "{result:?}");
}

#[test]
fn edits_of_packets_that_need_the_one_before() {
    // ALAC is lossless; its packets have 4096 frames.
    let whole = decode(fixture("alac.m4a"), &mix()).unwrap().channels.remove(0);
    let edit = |edits: &[Edit]| {
        let mut bytes = fixture("alac.m4a");
        let at = bytes.windows(4).position(|window| window == b"edts").unwrap() - 4;
        let old = u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
        let list = edit_list(edits);
        for name in [b"moov", b"trak"] {
            let at = bytes.windows(4).position(|window| window == name).unwrap() - 4;
            let size = u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
            let size = (size + list.len() - old) as u32;
            bytes[at..at + 4].copy_from_slice(&size.to_be_bytes());
        }
        bytes.splice(at..at + old, list);
        bytes
    };
    check(edit(&[(100, 4000)]), &[whole[4000..5600].to_vec()]);
    check(
        edit(&[(100, 4000), (100, 5600), (300, 10)]),
        &[whole[4000..7200].to_vec(), whole[10..4810].to_vec()],
    );
}

#[test]
fn aac_ends_where_its_edit_list_says() {
    // The last packet has 1024 frames, whatever is left of the second.
    for name in ["aac.m4a", "aac-faststart.m4a", "mp3.mp4"] {
        assert_eq!(decode(fixture(name), &mix()).unwrap().channels[0].len(), SECOND, "{name}");
    }
}

#[test]
fn a_track_that_starts_late_starts_late() {
    let audio = samples(SECOND);
    let (durations, late) = ([(SECOND as u32, 1)], edit_list(&[(4000, -1), (1000, 0)]));
    let video = |edits: &[Edit]| track(2, b"vide", &edit_list(edits), &empty_tables());
    let expected = [silence(4 * SECOND), audio.clone()];
    let warnings = check(file(&audio, &durations, &late, &video(&[(5000, 0)])), &expected);
    assert!(warnings[0].starts_with("the audio begins 4.0 s after"), "{warnings:?}");
    // Relative to the picture, which starts late as well.
    let later = video(&[(3990, -1), (1010, 0)]);
    let expected = [silence(SECOND / 100), audio.clone()];
    assert_eq!(check(file(&audio, &durations, &late, &later), &expected), Vec::<String>::new());
    // Alone, or beside a track of another kind.
    check(file(&audio, &durations, &late, &[]), std::slice::from_ref(&audio));
    let data = track(2, b"tmcd", &[], &empty_tables());
    check(file(&audio, &durations, &late, &data), &[audio]);
}

#[test]
fn a_long_packet_of_an_mp4_is_followed_by_silence() {
    let audio = samples(2 * SECOND);
    let durations = [(15_999, 1), (1, 1 + 10 * SECOND as u32), (16_000, 1)];
    let expected = [audio[..SECOND].to_vec(), silence(10 * SECOND), audio[SECOND..].to_vec()];
    let warnings = check(file(&audio, &durations, &[], &[]), &expected);
    assert_eq!(warnings, ["10.0 s without audio at 1.0 s were filled with silence"]);
}

#[test]
fn lost_fragments_leave_their_hole() {
    let audio = samples(6 * SECOND);
    let part = |n: usize| audio[n * SECOND..(n + 1) * SECOND].to_vec();
    let piece = |n: usize| fragment(1, (n * SECOND) as u64, &part(n));
    let head = fragmented(&[], 6, &[]);
    let whole = [head.clone(), piece(0), piece(1), piece(2)].concat();
    check(whole.clone(), &[part(0), part(1), part(2)]);
    let lost = [head.clone(), piece(0), piece(3), piece(4)].concat();
    let warnings = check(lost, &[part(0), silence(2 * SECOND), part(3), part(4)]);
    assert_eq!(warnings, ["2.0 s without audio at 1.0 s were filled with silence"]);
    // A live stream that was joined after an hour.
    let joined = [head.clone(), fragment(1, 57_600_000, &part(0))].concat();
    check(joined, &[part(0)]);
    // Audio that begins 2 s after the picture.
    let video = (2, track(2, b"vide", &[], &empty_tables()));
    let late = [
        fragmented(&[], 6, &[video]),
        fragment(2, 160_000, &part(5)),
        fragment(1, 192_000, &part(0)),
    ];
    check(late.concat(), &[silence(2 * SECOND), part(0)]);
    // An edit list of unknown duration, which skips what the encoder added.
    let edits = edit_list(&[(0, 1024)]);
    let skipped = [fragmented(&edits, 6, &[]), piece(0), piece(1)].concat();
    check(skipped, &[part(0)[1024..].to_vec(), part(1)]);
}

#[test]
fn fragments_cut_off_are_reported() {
    let audio = samples(10 * SECOND);
    for seconds in [0, 10] {
        let mut bytes = fragmented(&[], seconds, &[]);
        for (n, part) in audio.chunks(SECOND).enumerate() {
            bytes.extend(fragment(1, (n * SECOND) as u64, part));
        }
        let len = bytes.len();
        // Within data, within an index, within the header of an atom.
        let index = len - 32_008 - 200;
        for (cut, left) in [(len * 6 / 10, 5.9), (index, 9.0), (len - 32_100 - 1500, 8.9)] {
            let options = audio::DecodeOptions { allow_truncated: true, ..mix() };
            let decoded = decode(bytes[..cut].to_vec(), &options).unwrap();
            assert!((decoded.seconds() - left).abs() < 0.2, "{cut}: {}", decoded.seconds());
            let warnings = &decoded.report.warnings;
            assert!(warnings.concat().contains("truncated"), "{cut}: {warnings:?}");
            let result = decode(bytes[..cut].to_vec(), &mix());
            let is_refused = matches!(result, Err(Error::Truncated { .. }));
            assert_eq!(is_refused, seconds > 0, "{cut}: {result:?}");
        }
    }
}

#[test]
fn matroska_times_are_followed() {
    let audio = samples(3 * SECOND);
    let part = |n: usize| &audio[n * SECOND..(n + 1) * SECOND];
    let picture = [0.1; 8];
    for is_live in [false, true] {
        let gap = mkv::file(&[(1, 0, part(0)), (1, 1003, part(1)), (1, 12_000, part(2))], is_live);
        let expected = [part(0).to_vec(), part(1).to_vec(), silence(10 * SECOND), part(2).to_vec()];
        let warnings = check(gap, &expected);
        assert_eq!(warnings, ["10.0 s without audio at 2.0 s were filled with silence"]);
        let late = mkv::file(&[(2, 500, &picture), (1, 4500, part(0))], is_live);
        check(late, &[silence(4 * SECOND), part(0).to_vec()]);
        let alone = mkv::file(&[(1, 4000, part(0))], is_live);
        assert_eq!(check(alone, &[part(0).to_vec()]), Vec::<String>::new());
    }
}

#[test]
fn times_that_step_back_lose_no_audio() {
    let audio = samples(3 * SECOND);
    let part = |n: usize| &audio[n * SECOND..(n + 1) * SECOND];
    let overlap = mkv::file(&[(1, 0, part(0)), (1, 500, part(1)), (1, 5000, part(2))], true);
    let expected = [audio[..2 * SECOND].to_vec(), silence(3 * SECOND), part(2).to_vec()];
    let warnings = check(overlap, &expected);
    assert!(warnings[1].contains("step back by 0.5 s at 1.0 s"), "{warnings:?}");
    let anew = mkv::file(&[(1, 500_000, part(0)), (1, 0, part(1)), (1, 1000, part(2))], true);
    let warnings = check(anew, std::slice::from_ref(&audio));
    assert!(warnings[0].contains("jump by 501.0 s at 1.0 s"), "{warnings:?}");
    // A jump beyond the longest recording that is accepted is no silence either.
    let far =
        mkv::file(&[(1, 0, part(0)), (1, 1 << 40, part(1)), (1, (1 << 40) + 1000, part(2))], true);
    let warnings = check(far, std::slice::from_ref(&audio));
    assert!(warnings[0].contains("the clock was set anew"), "{warnings:?}");
}

#[test]
fn the_silence_in_gaps_counts_for_the_limit_and_takes_no_memory() {
    let audio = samples(SECOND);
    let gap = mkv::file(&[(1, 0, &audio), (1, 3_700_000, &audio), (1, 7_000_000, &audio)], true);
    let mut options = mix();
    options.limits.max_duration = Duration::from_secs(3600);
    let short = decode(gap.clone(), &options).unwrap();
    // The first gap is too long, the second is not.
    assert!((short.seconds() - 3302.0).abs() < 0.1, "{}", short.seconds());
    assert_eq!(short.report.warnings.len(), 2, "{:?}", short.report.warnings);
    options.limits.max_duration = Duration::from_secs(7200);
    let before = peak_megabytes();
    let mut decoder = audio::Decoder::open(Box::new(std::io::Cursor::new(gap)), &options).unwrap();
    let (mut block, mut len) = (audio::Block::default(), 0);
    while decoder.next_block(&mut block).unwrap() {
        len += block.channels[0].len();
    }
    assert_eq!(len, 7001 * SECOND);
    assert!(peak_megabytes() - before < 30);
}

#[test]
fn warnings_are_bounded() {
    let audio = samples(SECOND / 10);
    let blocks: Vec<mkv::Block<'_>> = (0..1000).map(|n| (1, n * 1100, &audio[..])).collect();
    let decoded = decode(mkv::file(&blocks, true), &mix()).unwrap();
    assert!((decoded.seconds() - 1099.0).abs() < 0.1);
    let warnings = &decoded.report.warnings;
    assert!(warnings.len() < 10, "{warnings:?}");
    assert!(warnings.last().unwrap().contains("995 more times"), "{warnings:?}");
}

#[test]
fn lost_pages_of_an_ogg_file_leave_their_hole() {
    for (name, rate) in [("opus.ogg", 48_000), ("vorbis.ogg", 44_100)] {
        let whole = decode(fixture(name), &mix()).unwrap();
        let pages = ogg::pages(&fixture(name));
        let data: Vec<usize> = (0..pages.len()).filter(|&n| ogg::granule(&pages[n]) > 0).collect();
        assert!(data.len() >= 4, "{name}: {} pages", data.len());
        for lost in &data[1..data.len() - 1] {
            let mut left = pages.clone();
            left.remove(*lost);
            let decoded = decode(left.concat(), &mix()).unwrap();
            assert!((decoded.seconds() - whole.seconds()).abs() < 0.03, "{name} {lost}");
            let end = (ogg::granule(&pages[*lost]) * 16_000 / rate) as usize + 1000;
            let rest = |decoded: &Decoded| decoded.channels[0].get(end..).unwrap_or(&[]).to_vec();
            let (a, b) = (rest(&whole), rest(&decoded));
            if a.len() > 2000 {
                let found = find(&a, &b, 300);
                assert!(
                    found.lag.abs() < 16 && found.correlation > 0.9,
                    "{name} {lost}: {found:?}"
                );
            }
            let warnings = decoded.report.warnings.concat();
            assert!(warnings.contains("without audio"), "{name} {lost}: {warnings}");
        }
        // Nothing was sent for 5 s: all pages are there, with later times. The first packet after
        // that is the last one of its page.
        let mut later = pages.clone();
        for n in &data[2..] {
            ogg::set_granule(&mut later[*n], ogg::granule(&pages[*n]) + 5 * rate);
        }
        let decoded = decode(later.concat(), &mix()).unwrap();
        assert!((decoded.seconds() - whole.seconds() - 5.0).abs() < 0.03, "{name}");
        let at = ogg::granule(&pages[data[1]]) * 16_000 / rate;
        let gap = &decoded.channels[0][at as usize + 4000..at as usize + 78_000];
        assert!(rms(gap) < 1e-3, "{name}");
        // Without the mark of the last page, and without its time, nothing is missing.
        let mut unmarked = pages.clone();
        let last = unmarked.last_mut().unwrap();
        last[5] &= !4;
        let granule = ogg::granule(last);
        ogg::set_granule(last, granule);
        let decoded = decode(unmarked.concat(), &mix()).unwrap();
        assert!((decoded.seconds() - whole.seconds()).abs() < 0.03, "{name}");
        assert_eq!(decoded.report.warnings, Vec::<String>::new(), "{name}");
    }
}

#[test]
fn lost_frames_of_a_flac_file_leave_their_hole() {
    let bytes = fixture("flac.flac");
    let whole = decode(bytes.clone(), &mix()).unwrap().channels.remove(0);
    let step = usize::from(u16::from_be_bytes([bytes[8], bytes[9]]));
    // The frames begin with their number in the fifth byte.
    let at = |n: u8| {
        let is_frame = |w: &[u8]| w[0] == 0xff && w[1] & 0xfe == 0xf8 && w[4] == n;
        bytes.windows(5).position(is_frame).unwrap()
    };
    let lost = [&bytes[..at(2)], &bytes[at(6)..]].concat();
    let decoded = decode(lost, &mix()).unwrap();
    assert_eq!(decoded.channels[0].len(), whole.len());
    assert!(decoded.channels[0][..2 * step] == whole[..2 * step]);
    assert!(decoded.channels[0][6 * step..] == whole[6 * step..]);
    assert!(decoded.report.warnings.concat().contains("without audio"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..Default::default() })]

    /// Any edits give exactly what they name.
    #[test]
    fn any_edit_list(edits in prop::collection::vec((1..300_u32, -1..9000_i32), 1..8)) {
        let audio = samples(10_000);
        let mut expected = Vec::new();
        let mut has_pause = false;
        for &(ms, start) in &edits {
            let len = ms as usize * 16;
            if start < 0 {
                has_pause = true;
                expected.extend(silence(len));
            } else {
                let end = (start as usize + len).min(audio.len());
                expected.extend_from_slice(&audio[start as usize..end]);
            }
        }
        // Pauses at the ends are not heard, and short ones are within the tolerance; edits that
        // reach beyond the media leave time.
        let is_exact = !has_pause && edits.iter().all(|&(ms, start)| start as u32 + ms * 16 <= 10_000);
        match decode(edited(&audio, &edits), &mix()) {
            Ok(decoded) if is_exact => prop_assert!(decoded.channels[0] == expected),
            Ok(decoded) => {
                let most: u32 = edits.iter().map(|(ms, _)| ms * 16).sum();
                prop_assert!(decoded.channels[0].len() <= most as usize);
            }
            Err(error) => prop_assert!(matches!(error, Error::Empty), "{}", error),
        }
    }

    /// Any times of blocks keep all audio, in its order.
    #[test]
    fn any_clock(times in prop::collection::vec(0..60_000_u64, 1..30), live: bool) {
        let audio = samples(times.len() * 160);
        let blocks: Vec<mkv::Block<'_>> =
            times.iter().zip(audio.chunks(160)).map(|(&ms, part)| (1, ms, part)).collect();
        let decoded = decode(mkv::file(&blocks, live), &mix()).unwrap();
        let heard: Vec<f32> =
            decoded.channels[0].iter().copied().filter(|&x| x != 0.0).collect();
        let audio: Vec<f32> = audio.into_iter().filter(|&x| x != 0.0).collect();
        prop_assert!(heard == audio);
    }
}
