//! Broken, odd and hostile recordings: each gets a clear error, or the right transcript.

use std::{
    fs,
    os::unix::fs::{FileExt, symlink},
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::support::{
    SENTENCE, Scriptorium, fixture, models, sentence_samples, speech, text_of, write_wav,
};

/// Transcribes one file, which must fail; returns the failure.
fn failure_of(models: &Path, path: &Path) -> Value {
    let out = tempfile::tempdir().unwrap();
    let ran = Scriptorium::new(models)
        .run([
            "transcribe",
            path.to_str().unwrap(),
            "--out",
            out.path().to_str().unwrap(),
            "--json",
        ])
        .expect_code(1);
    let summary = ran.json();
    assert_eq!(summary["failed"], 1, "{summary}");
    assert_eq!(fs::read_dir(out.path()).unwrap().count(), 0, "a failure leaves no output");
    summary["failures"][0].clone()
}

fn transcript_of(models: &Path, path: &Path, more: &[&str]) -> Value {
    let arguments = ["transcribe", path.to_str().unwrap(), "--format", "json"];
    let ran = Scriptorium::new(models).run(arguments.iter().chain(more)).expect_code(0);
    ran.json()
}

/// Writes the first 60 % of a recording.
fn truncated(name: &str, directory: &Path) -> PathBuf {
    let whole = fs::read(speech(name)).unwrap();
    let path = directory.join(name);
    fs::write(&path, &whole[..whole.len() * 6 / 10]).unwrap();
    path
}

#[test]
fn broken_recordings_fail_with_cause_and_remedy() {
    let Some(models) = models() else { return };
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, body: &[u8]| {
        let path = directory.path().join(name);
        fs::write(&path, body).unwrap();
        path
    };
    let mut zero_channels = fs::read(speech("sentence.wav")).unwrap();
    zero_channels[22..24].copy_from_slice(&[0, 0]);
    let cases = [
        (file("empty.wav", b""), &["audio_empty"][..]),
        (file("text.wav", b"Minutes of the meeting: nobody came.\n"), &["audio_unrecognized"]),
        (file("zeros.mp3", &[0; 10_000]), &["audio_unrecognized"]),
        (
            file("zero-channels.wav", &zero_channels),
            &["audio_corrupt", "audio_unrecognized", "audio_unsupported"],
        ),
        (truncated("sentence.mp3", directory.path()), &["audio_truncated"]),
        (truncated("sentence.flac", directory.path()), &["audio_truncated"]),
        (truncated("sentence.wav", directory.path()), &["audio_truncated"]),
        (fixture("audio/silent-video.mp4"), &["audio_no_track"]),
    ];
    for (path, codes) in cases {
        let failure = failure_of(&models, &path);
        let code = failure["code"].as_str().unwrap();
        assert!(codes.contains(&code), "{}: {failure}", path.display());
        assert!(!failure["message"].as_str().unwrap().is_empty());
        assert!(!failure["remedy"].as_str().unwrap().is_empty());
    }
}

#[test]
fn the_available_part_of_a_truncated_recording_can_be_transcribed() {
    let Some(models) = models() else { return };
    let directory = tempfile::tempdir().unwrap();
    let path = truncated("sentence.flac", directory.path());
    let transcript = transcript_of(&models, &path, &["--allow-truncated"]);
    assert!(text_of(&transcript).starts_with("He might"), "{transcript}");
    let warning = transcript["source"]["warnings"][0].as_str().unwrap();
    assert!(warning.contains("truncated"), "{warning}");
}

#[test]
fn a_header_that_declares_terabytes_costs_no_memory() {
    let Some(models) = models() else { return };
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("huge.wav");
    // RF64 with 64-bit sizes: 8 TiB of audio in a file of 3 seconds.
    let samples = sentence_samples();
    let mut wav = b"RF64\xff\xff\xff\xffWAVEds64\x1c\0\0\0".to_vec();
    let sizes = [1_u64 << 43, 1 << 43, 1 << 42];
    wav.extend(sizes.iter().flat_map(|size| size.to_le_bytes()));
    wav.extend([0; 4]);
    wav.extend(b"fmt \x10\0\0\0\x01\0\x01\0\x80\x3e\0\0\0\x7d\0\0\x02\0\x10\0data\xff\xff\xff\xff");
    wav.extend(samples.iter().flat_map(|s| s.to_le_bytes()));
    fs::write(&path, wav).unwrap();
    let failure = failure_of(&models, &path);
    let code = failure["code"].as_str().unwrap();
    let codes = ["audio_too_long", "audio_truncated", "audio_unrecognized", "audio_corrupt"];
    assert!(codes.contains(&code), "{failure}");
    // Recorders that are interrupted leave the maximum of a 32-bit header, 4 GiB.
    let path = directory.path().join("cut-off.wav");
    write_wav(&path, 16_000, 1, u32::MAX, samples.into_iter());
    assert_eq!(text_of(&transcript_of(&models, &path, &[])), SENTENCE);
}

#[test]
fn odd_rates_and_channels_are_transcribed() {
    let Some(models) = models() else { return };
    let directory = tempfile::tempdir().unwrap();
    let samples = sentence_samples();
    // Repeats every sample twelve times in eight channels: crude upsampling to 192 kHz.
    let path = directory.path().join("192k-8ch.wav");
    let frames = samples.iter().flat_map(|&s| std::iter::repeat_n(s, 12 * 8));
    let bytes = u32::try_from(samples.len() * 12 * 8 * 2).unwrap();
    write_wav(&path, 192_000, 8, bytes, frames);
    let transcript = transcript_of(&models, &path, &[]);
    assert_eq!(text_of(&transcript), SENTENCE);
    assert_eq!(
        (&transcript["source"]["channels"], &transcript["source"]["sample_rate"]),
        (&8.into(), &192_000.into())
    );
    let transcript = transcript_of(&models, &speech("sentence-mulaw-8k.wav"), &[]);
    assert_eq!(text_of(&transcript), SENTENCE);
}

#[test]
fn silence_noise_and_very_short_recordings_have_no_words() {
    let Some(models) = models() else { return };
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("50ms.wav");
    let blip = sentence_samples()[16_000..16_800].to_vec();
    write_wav(&path, 16_000, 1, 1600, blip.into_iter());
    let transcript = transcript_of(&models, &path, &[]);
    assert_eq!(text_of(&transcript), "");
    assert!((transcript["source"]["duration"].as_f64().unwrap() - 0.05).abs() < 1e-3);

    let mut seed = 1_u32;
    let noise = (0..160_000).map(|_| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 24) as i16 - 128
    });
    let path = directory.path().join("noise.wav");
    write_wav(&path, 16_000, 1, 320_000, noise);
    assert_eq!(text_of(&transcript_of(&models, &path, &[])), "");
}

#[test]
fn nan_samples_become_silence_with_a_warning() {
    let Some(models) = models() else { return };
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("nan.wav");
    // 32-bit float PCM: the sentence with a NaN in every thousand samples.
    let samples = sentence_samples();
    let data = samples.iter().enumerate().flat_map(|(i, &s)| {
        let value = if i % 1000 == 7 { f32::NAN } else { f32::from(s) / 32_768.0 };
        value.to_le_bytes()
    });
    let bytes = u32::try_from(4 * samples.len()).unwrap();
    let mut wav = b"RIFF".to_vec();
    wav.extend((bytes + 36).to_le_bytes());
    wav.extend(b"WAVEfmt \x10\0\0\0\x03\0\x01\0\x80\x3e\0\0\0\xfa\0\0\x04\0\x20\0data");
    wav.extend(bytes.to_le_bytes());
    wav.extend(data);
    fs::write(&path, wav).unwrap();
    let transcript = transcript_of(&models, &path, &[]);
    assert_eq!(text_of(&transcript), SENTENCE);
    assert_eq!(transcript["source"]["warnings"].as_array().unwrap().len(), 1, "{transcript}");
}

#[test]
fn hostile_file_names_are_accepted() {
    let Some(models) = models() else { return };
    let root = tempfile::tempdir().unwrap();
    let (source, out) = (root.path().join("in"), root.path().join("out"));
    fs::create_dir(&source).unwrap();
    let names = [
        "with space.opus",
        "quote's \"double\".opus",
        "..dots..opus",
        "new\nline.opus",
        "録音.opus",
        "-rf.opus",
        "%2e%2e%2f.opus",
    ];
    for name in names {
        fs::copy(speech("sentence.opus"), source.join(name)).unwrap();
    }
    // A dangling link is one failure; the run continues.
    symlink("/nowhere/at/all.opus", source.join("dangling.opus")).unwrap();
    let ran = Scriptorium::new(&models).run([
        "transcribe",
        source.to_str().unwrap(),
        "--out",
        out.to_str().unwrap(),
        "--json",
    ]);
    assert_eq!(ran.json()["done"], names.len(), "{ran:?}");
    for name in names {
        let path = out.join(format!("{name}.json"));
        assert_eq!(text_of(&crate::support::read_json(&path)), SENTENCE, "{name:?}");
    }
}

#[test]
fn refuses_a_damaged_model_and_names_the_file() {
    let Some(models) = models() else { return };
    let root = tempfile::tempdir().unwrap();
    let copy = |name: &str| {
        let (from, to) = (models.join(name), root.path().join(name));
        fs::create_dir(&to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
        to
    };
    let (whisper, _vad) = (copy("whisper-tiny.en"), copy("fsmn-vad"));
    let scriptorium = Scriptorium::new(root.path()).with("SCRIPTORIUM__MODELS__AUTO_PULL", "false");
    let verified = scriptorium.run(["models", "verify", "whisper-tiny.en"]).expect_code(0);
    assert!(verified.stdout.contains("ok"), "{}", verified.stdout);

    // Flips one bit, far inside of the file.
    let file =
        fs::OpenOptions::new().write(true).read(true).open(whisper.join("model.bin")).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, 40_000_000).unwrap();
    file.write_all_at(&[byte[0] ^ 1], 40_000_000).unwrap();
    let verified = scriptorium.run(["models", "verify", "whisper-tiny.en"]).expect_code(1);
    assert!(verified.stdout.contains("model.bin"), "{}", verified.stdout);

    fs::OpenOptions::new()
        .write(true)
        .open(whisper.join("model.bin"))
        .unwrap()
        .set_len(1000)
        .unwrap();
    let verified = scriptorium.run(["models", "verify"]).expect_code(1);
    assert!(verified.stdout.contains("model.bin"), "{}", verified.stdout);
    assert!(verified.stdout.contains("fsmn-vad: ok"), "{}", verified.stdout);
    // The exit code stays the same if standard output is closed.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let status = scriptorium.command(["models", "verify"]).stdout(writer).status().unwrap();
    assert_eq!(status.code(), Some(1));
    let path = speech("sentence.wav");
    let ran = scriptorium.run(["transcribe", path.to_str().unwrap()]).expect_code(1);
    assert!(ran.stderr.contains("model.bin"), "{}", ran.stderr);
    fs::remove_file(whisper.join("tokenizer.json")).unwrap();
    let ran = scriptorium
        .run(["transcribe", path.to_str().unwrap(), "--model", whisper.to_str().unwrap()])
        .expect_code(1);
    assert!(
        ran.stderr.contains("tokenizer.json") || ran.stderr.contains("model.bin"),
        "{}",
        ran.stderr
    );
}
