//! Recordings with two channels: calls, one voice on both, and bleed from one side to the other.

use std::{fs, path::Path, process::Command};

use serde_json::Value;

use crate::support::{
    Scriptorium, models, read_json, sentence_samples, speech, text_of, write_wav,
};

/// A call in which each side says a sentence three times, in turn, and is heard on the other's channel by
/// `bleed`.
fn call(path: &Path, other: &[i16], bleed: f32) {
    let own = sentence_samples();
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        for (speaks, listens, samples) in [(0, 1, own.as_slice()), (1, 0, other)] {
            let faint: Vec<i16> = samples.iter().map(|&x| (f32::from(x) * bleed) as i16).collect();
            let sides = [&mut first, &mut second];
            sides[speaks].extend_from_slice(samples);
            sides[listens].extend(faint);
            for side in sides {
                side.resize(side.len() + 8000, 0);
            }
        }
    }
    let bytes = u32::try_from(4 * first.len()).unwrap();
    let interleaved = first.into_iter().zip(second).flat_map(|(a, b)| [a, b]);
    write_wav(path, 16_000, 2, bytes, interleaved);
}

fn transcribe(scriptorium: &Scriptorium, path: &Path, mode: &str) -> Value {
    let out = path.with_extension(mode);
    let (path_, out_) = (path.to_str().unwrap(), out.to_str().unwrap());
    scriptorium.run(["transcribe", path_, "--out", out_, "--channels", mode]).expect_code(0);
    read_json(&out.join(format!("{}.json", path.file_name().unwrap().to_str().unwrap())))
}

fn channels(transcript: &Value) -> Vec<(Option<u64>, String)> {
    let segments = transcript["segments"].as_array().unwrap();
    segments
        .iter()
        .map(|s| (s["channel"].as_u64(), s["text"].as_str().unwrap().to_lowercase()))
        .collect()
}

#[test]
fn the_sides_of_a_call_are_separated_and_nothing_is_said_twice() {
    let Some(models) = models() else { return };
    let clip = "/usr/share/pocketsphinx/test/data/librivox/\
                sense_and_sensibility_01_austen_64kb-0880.wav";
    let Ok(wav) = fs::read(clip) else {
        eprintln!("skipped: pocketsphinx-testdata is not installed; run `make test`");
        return;
    };
    let other: Vec<i16> =
        wav[44..].chunks_exact(2).map(|b| i16::from_le_bytes([b[0], b[1]])).collect();
    let directory = tempfile::tempdir().unwrap();
    let scriptorium = Scriptorium::new(&models);
    for decibels in [-10.0f32, -20.0, -30.0, -200.0] {
        let path = directory.path().join(format!("call{decibels}.wav"));
        call(&path, &other, 10f32.powf(decibels / 20.0));
        for mode in ["split", "auto"] {
            let found = channels(&transcribe(&scriptorium, &path, mode));
            let count = |channel: u64, words: &str| {
                let of_channel = found.iter().filter(|(of, _)| *of == Some(channel));
                of_channel.map(|(_, text)| text.matches(words).count()).sum::<usize>()
            };
            let counts = [
                count(0, "amiable himself"),
                count(1, "amiable himself"),
                count(0, "young man"),
                count(1, "young man"),
            ];
            assert_eq!(counts, [3, 0, 0, 3], "{decibels} dB, {mode}: {found:?}");
        }
    }
}

#[test]
fn one_voice_on_both_channels_is_transcribed_once() {
    let Some(models) = models() else { return };
    let directory = tempfile::tempdir().unwrap();
    let scriptorium = Scriptorium::new(&models);
    let path = directory.path().join("mono.wav");
    let sentence = sentence_samples();
    let bytes = u32::try_from(4 * sentence.len()).unwrap();
    write_wav(&path, 16_000, 2, bytes, sentence.iter().flat_map(|&x| [x, x]));
    for (mode, channel) in [("split", Some(0)), ("auto", None), ("mix", None)] {
        let transcript = transcribe(&scriptorium, &path, mode);
        assert_eq!(text_of(&transcript), crate::support::SENTENCE, "{mode}");
        assert!(channels(&transcript).iter().all(|(of, _)| *of == channel), "{mode}");
    }
}

/// As screen recorders write them: the game on one track, the microphone on another.
#[test]
fn all_tracks_are_transcribed_into_one_transcript() {
    let Some(models) = models() else { return };
    let clip = "/usr/share/pocketsphinx/test/data/librivox/\
                sense_and_sensibility_01_austen_64kb-0880.wav";
    let has_ffmpeg = Command::new("ffmpeg").arg("-version").output().is_ok();
    if !has_ffmpeg || !Path::new(clip).is_file() {
        eprintln!("skipped: pocketsphinx-testdata or ffmpeg is not installed; run `make test`");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("two.mkv");
    let made = Command::new("ffmpeg")
        .args(["-v", "error", "-i", speech("sentence.wav").to_str().unwrap(), "-i", clip])
        .args(["-map", "0:a", "-map", "1:a", "-c:a", "flac"])
        .arg(&path)
        .status()
        .unwrap();
    assert!(made.success());
    let out = directory.path().join("out");
    let (path, out_) = (path.to_str().unwrap(), out.to_str().unwrap());
    let scriptorium = Scriptorium::new(&models);
    let run = |track: &str| {
        let arguments =
            ["transcribe", path, "--out", out_, "--audio-track", track, "--format", "vtt"];
        scriptorium.run(arguments).expect_code(0);
        read_json(&out.join("two.mkv.json"))
    };
    let transcript = run("all");
    let segments = transcript["segments"].as_array().unwrap();
    let of_track = |track: u64| {
        let of_track = segments.iter().filter(|segment| segment["track"] == track);
        of_track.map(|segment| segment["text"].as_str().unwrap()).collect::<String>()
    };
    assert_eq!(of_track(1), crate::support::SENTENCE);
    assert!(of_track(2).contains("young man"), "{transcript}");
    assert_eq!(segments.len(), 2, "{transcript}");
    let vtt = fs::read_to_string(out.join("two.mkv.vtt")).unwrap();
    assert!(vtt.contains("<v Track 1>") && vtt.contains("<v Track 2>"), "{vtt}");
    let second = run("2");
    assert!(text_of(&second).contains("young man") && !text_of(&second).contains("amiable"));
    assert!(second["segments"][0].get("track").is_none());
}
