//! Long recordings: memory does not grow with their duration.

use std::{
    fs,
    io::{Read, Write},
    path::Path,
    process::Stdio,
    time::Duration,
};

use serde_json::Value;

use crate::support::{SENTENCE, Scriptorium, models, sentence_samples, text_of, write_wav};

/// Transcribes a file; returns the transcript and the peak of resident memory in MB.
fn transcribe(models: &Path, path: &Path) -> (Value, u64) {
    let scriptorium = Scriptorium::new(models);
    let mut child = scriptorium
        .command(["transcribe", path.to_str().unwrap(), "--format", "json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // A pipe holds less than the transcript.
    let mut stdout = child.stdout.take().unwrap();
    let reader = std::thread::spawn(move || {
        let mut text = Vec::new();
        stdout.read_to_end(&mut text).map(|_| text)
    });
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        // The kernel's peak; the last value is read at most 20 ms before the end.
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse().ok());
        peak = peak.max(kilobytes.unwrap_or(0));
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(child.wait().unwrap().success());
    let text = reader.join().unwrap().unwrap();
    (serde_json::from_slice(&text).unwrap(), peak * 1024 / 1_000_000)
}

#[test]
fn two_hours_need_little_more_memory_than_thirty_seconds() {
    let Some(models) = models() else { return };
    let directory = tempfile::tempdir().unwrap();
    let sentence = sentence_samples();
    let pause = |seconds: usize| std::iter::repeat_n(0_i16, seconds * 16_000);
    let make = |name: &str, repeats: usize, pause_seconds: usize| {
        let path = directory.path().join(name);
        let period = sentence.len() + pause_seconds * 16_000;
        let samples =
            (0..repeats).flat_map(|_| sentence.iter().copied().chain(pause(pause_seconds)));
        write_wav(&path, 16_000, 1, u32::try_from(2 * repeats * period).unwrap(), samples);
        path
    };
    let (_, short) = transcribe(&models, &make("short.wav", 7, 1));
    let path = make("long.wav", 78, 90);
    let (transcript, long) = transcribe(&models, &path);
    assert!(transcript["source"]["duration"].as_f64().unwrap() > 2.0 * 3600.0);
    println!("peak memory: 30 s {short} MB, 2 h {long} MB");
    assert!(long <= short + 100, "30 s: {short} MB, 2 h: {long} MB");
    let text = text_of(&transcript);
    let recognized = text.matches("amiable").count();
    assert!(recognized >= 75, "{recognized} of 78");
    assert!(text.contains(SENTENCE));
}

#[test]
fn two_hours_of_silence_give_an_empty_transcript() {
    let Some(models) = models() else { return };
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("silence.wav");
    let bytes = 2 * 16_000 * 7200_u32;
    write_wav(&path, 16_000, 1, bytes, std::iter::empty());
    // A sparse file: digital silence without disk space.
    let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
    file.flush().unwrap();
    file.set_len(44 + u64::from(bytes)).unwrap();
    let (transcript, peak) = transcribe(&models, &path);
    assert_eq!(transcript["segments"].as_array().unwrap().len(), 0);
    assert!((transcript["source"]["duration"].as_f64().unwrap() - 7200.0).abs() < 1.0);
    assert!(peak < 500, "{peak} MB");
}
