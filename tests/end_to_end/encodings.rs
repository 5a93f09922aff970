//! One recording in many encodings and containers has one duration, and the same times.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use crate::support::{Scriptorium, models, read_json, write_wav};

/// File name, options of ffmpeg, and milliseconds by which the duration and the times may be off. MP3 and
/// AAC begin with the encoder's delay, which containers other than MP4 do not state.
const ENCODINGS: [(&str, &str, f64, f64); 29] = [
    ("s16.wav", "-c:a pcm_s16le", 1.0, 10.0),
    ("s24.wav", "-c:a pcm_s24le", 1.0, 10.0),
    ("f32.wav", "-c:a pcm_f32le", 1.0, 10.0),
    ("rf64.wav", "-c:a pcm_s16le -rf64 always", 1.0, 10.0),
    ("48k.wav", "-c:a pcm_s16le -ar 48000 -ac 2", 1.0, 20.0),
    ("16k.flac", "-c:a flac", 1.0, 10.0),
    ("44k.flac", "-c:a flac -ar 44100", 1.0, 20.0),
    ("ogg.oga", "-c:a flac", 1.0, 10.0),
    ("alac.m4a", "-c:a alac", 1.0, 10.0),
    ("alac.caf", "-c:a alac", 60.0, 10.0),
    ("pcm.aiff", "-c:a pcm_s16be", 1.0, 10.0),
    ("pcm.mov", "-c:a pcm_s16le", 1.0, 10.0),
    ("64k.mp3", "-c:a libmp3lame -b:a 64k", 100.0, 40.0),
    ("vbr.mp3", "-c:a libmp3lame -q:a 4 -ar 44100", 60.0, 40.0),
    ("no-xing.mp3", "-c:a libmp3lame -b:a 48k -write_xing 0", 20.0, 90.0),
    ("mp2.mp2", "-c:a mp2 -b:a 96k", 20.0, 60.0),
    ("aac.m4a", "-c:a aac -b:a 64k", 20.0, 60.0),
    ("aac.mkv", "-c:a aac -b:a 64k", 60.0, 90.0),
    (
        "fragments.mp4",
        "-c:a aac -b:a 64k -movflags +frag_keyframe+empty_moov -frag_duration 1000000",
        60.0,
        90.0,
    ),
    ("opus.opus", "-c:a libopus -b:a 32k", 20.0, 40.0),
    ("opus.webm", "-c:a libopus -b:a 32k", 20.0, 40.0),
    ("opus.mka", "-c:a libopus -b:a 32k", 20.0, 40.0),
    ("vorbis.ogg", "-c:a libvorbis", 20.0, 40.0),
    ("vorbis.webm", "-c:a libvorbis", 20.0, 40.0),
    ("pcm.au", "-c:a pcm_s16be", 1.0, 10.0),
    ("pcm.w64", "-c:a pcm_s16le", 1.0, 10.0),
    ("ac3.ac3", "-c:a ac3 -b:a 96k", 20.0, 40.0),
    ("wma.wma", "-c:a wmav2", 60.0, 60.0),
    ("aac.ts", "-c:a aac -b:a 64k", 250.0, 90.0),
];

fn starts(transcript: &Value) -> Vec<f64> {
    let segments = transcript["segments"].as_array().unwrap();
    segments.iter().map(|segment| segment["start"].as_f64().unwrap()).collect()
}

/// Returns the duration that ffprobe reads.
fn probed(path: &Path) -> Option<f64> {
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0"])
        .arg(path)
        .output()
        .ok()?;
    String::from_utf8(output.stdout).ok()?.trim().parse().ok()
}

#[test]
fn one_recording_has_the_same_times_in_every_encoding() {
    let Some(models) = models() else { return };
    let clips = Path::new("/usr/share/pocketsphinx/test/data/librivox");
    if !clips.is_dir() || Command::new("ffmpeg").arg("-version").output().is_err() {
        eprintln!("skipped: pocketsphinx-testdata or ffmpeg is not installed; run `make test`");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let base = directory.path().join("base.wav");
    let mut samples = vec![0i16; 8000];
    for number in ["0870", "0880", "0930"] {
        let wav =
            fs::read(clips.join(format!("sense_and_sensibility_01_austen_64kb-{number}.wav")));
        let wav = wav.unwrap();
        samples.extend(wav[44..].chunks_exact(2).map(|b| i16::from_le_bytes([b[0], b[1]])));
        samples.resize(samples.len() + 24_000, 0);
    }
    let bytes = u32::try_from(2 * samples.len()).unwrap();
    write_wav(&base, 16_000, 1, bytes, samples.into_iter());
    let made: Vec<(PathBuf, f64, f64)> = ENCODINGS
        .iter()
        .filter_map(|&(name, options, duration, times)| {
            let path = directory.path().join(name);
            let done = Command::new("ffmpeg")
                .args(["-v", "error", "-i"])
                .arg(&base)
                .args(options.split(' '))
                .arg(&path)
                .status()
                .unwrap();
            // A build of ffmpeg may lack an encoder.
            done.success().then_some((path, duration, times))
        })
        .collect();
    assert!(made.len() >= 20, "ffmpeg made only {}", made.len());
    let out = tempfile::tempdir().unwrap();
    let out = out.path();
    let (folder, out_) = (directory.path().to_str().unwrap(), out.to_str().unwrap());
    Scriptorium::new(&models)
        .run(["transcribe", folder, "--out", out_, "--all-files"])
        .expect_code(0);
    let expected = starts(&read_json(&out.join("base.wav.json")));
    assert_eq!(expected.len(), 3, "{expected:?}");
    for (path, duration_ms, times_ms) in made {
        let name = path.file_name().unwrap().to_str().unwrap();
        let transcript = read_json(&out.join(format!("{name}.json")));
        let duration = transcript["source"]["duration"].as_f64().unwrap();
        if let Some(probed) = probed(&path) {
            let off = (duration - probed).abs() * 1000.0;
            assert!(off <= duration_ms, "{name}: {duration} s, ffprobe {probed} s");
        }
        let found = starts(&transcript);
        for expected in &expected {
            let off = found.iter().map(|start| (start - expected).abs() * 1000.0);
            let off = off.fold(f64::INFINITY, f64::min);
            assert!(off <= times_ms, "{name}: {expected} is not among {found:?}");
        }
    }
}
