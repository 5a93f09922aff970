//! Measures the whole pipeline, from a file to its transcript.

use std::{
    collections::BTreeSet,
    fmt,
    fs::{self, File, OpenOptions},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use anyhow::Context;
use app::{BuildOptions, Config};
use location::Location;
use serde::Serialize;
use speech::pipeline::{Session, TranscribeOptions};
use worker::{Transcriber, TranscriptionRequest};

use crate::{
    Callbacks, process,
    sound::Sound,
    units::{megabytes, quantile},
};

/// The recordings to transcribe: `file` if given, else WAV files written from `sound`.
#[derive(Clone, Copy)]
pub(crate) struct Recordings<'a> {
    pub(crate) sound: &'a Sound,
    pub(crate) file: Option<&'a Path>,
}

/// Times of one recording (medians), and memory.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct PipelineMeasurement {
    /// Duration of the recording.
    seconds: f64,
    threads: usize,
    wall_ms: f64,
    cpu_ms: f64,
    real_time_factor: f64,
    audio_seconds_per_core_second: f64,
    peak_bytes: Option<u64>,
    /// Words of the transcript.
    words: usize,
}

/// Transcribes the given recording, or one of each duration, `runs` times after a warm-up run.
pub(crate) async fn measure(
    config: &Config,
    recordings: Recordings<'_>,
    durations: &[f64],
    threads: usize,
    runs: u32,
    Callbacks { on_step, on_pull }: Callbacks<'_>,
) -> anyhow::Result<Vec<PipelineMeasurement>> {
    on_step(0, None, "loading the pipeline");
    let mut config = config.clone();
    config.compute.threads = threads;
    let build = BuildOptions {
        pull: true,
        punctuation: true,
        speakers: config.models.speakers.is_some(),
        normalization: config.recognizer.normalize,
        ..BuildOptions::default()
    };
    let transcriber = app::build(&config, build, on_pull).await?.transcriber;
    if let Some(file) = recordings.file {
        on_step(0, None, "whole pipeline");
        return Ok(vec![transcribe(&transcriber, file, threads, runs).await?]);
    }
    let mut measured = Vec::new();
    for (done, &seconds) in durations.iter().enumerate() {
        let text = format!("whole pipeline, {seconds} s");
        on_step(done as u64, Some(durations.len() as u64), &text);
        let wav = Wav::write(&recordings.sound.segment(seconds))?;
        measured.push(transcribe(&transcriber, &wav.path, threads, runs).await?);
    }
    Ok(measured)
}

async fn transcribe(
    transcriber: &Transcriber,
    path: &Path,
    threads: usize,
    runs: u32,
) -> anyhow::Result<PipelineMeasurement> {
    let request = TranscriptionRequest {
        source: Location::from_path(path)?,
        uri: None,
        output: None,
        formats: BTreeSet::new(),
        language_suffix: None,
        preset: None,
        channels: None,
        track: None,
        voices: None,
        options: TranscribeOptions::default(),
    };
    let once = async || {
        let (start, cpu_start) = (Instant::now(), process::cpu_seconds());
        let done = transcriber.transcribe(&request, &Arc::new(Session::default())).await;
        let done = done.map_err(|failure| anyhow::anyhow!("{}: {failure}", failure.source))?;
        let cpu = process::cpu_seconds() - cpu_start;
        anyhow::Ok((start.elapsed().as_secs_f64(), cpu, done.transcript))
    };
    once().await?;
    process::reset_peak();
    let (mut walls, mut cpus, mut last) = (Vec::new(), Vec::new(), None);
    for _ in 0..runs {
        let (wall, cpu, transcript) = once().await?;
        walls.push(wall);
        cpus.push(cpu);
        last = Some(transcript);
    }
    let transcript = last.context("nothing was measured")?;
    let (wall, cpu) = (quantile(walls, 0.5), quantile(cpus, 0.5));
    let seconds = transcript.source.duration;
    Ok(PipelineMeasurement {
        seconds,
        threads,
        wall_ms: 1e3 * wall,
        cpu_ms: 1e3 * cpu,
        real_time_factor: wall / seconds.max(1e-9),
        audio_seconds_per_core_second: seconds / cpu.max(1e-9),
        peak_bytes: process::peak_resident_bytes(),
        words: transcript.segments.iter().map(|segment| segment.words.len()).sum(),
    })
}

/// Writes the rows as a table, nothing if there are none.
pub(crate) fn write(rows: &[PipelineMeasurement], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if rows.is_empty() {
        return Ok(());
    }
    writeln!(
        f,
        "\nWhole pipeline, file to transcript\n\n{:>8}{:>9}{:>9}{:>26}{:>10}{:>10}{:>11}{:>8}",
        "seconds",
        "threads",
        "RTF",
        "audio s per core-second",
        "wall ms",
        "CPU ms",
        "memory MB",
        "words"
    )?;
    for row in rows {
        writeln!(
            f,
            "{:>8.2}{:>9}{:>9.4}{:>26.1}{:>10.1}{:>10.1}{:>11}{:>8}",
            row.seconds,
            row.threads,
            row.real_time_factor,
            row.audio_seconds_per_core_second,
            row.wall_ms,
            row.cpu_ms,
            megabytes(row.peak_bytes),
            row.words,
        )?;
    }
    Ok(())
}

/// A temporary WAV file, 16 kHz mono with 16 bits, deleted on drop.
struct Wav {
    path: PathBuf,
}

impl Wav {
    fn write(samples: &[f32]) -> anyhow::Result<Self> {
        let name = format!("scriptorium-bench-{}-{}.wav", std::process::id(), samples.len());
        let path = std::env::temp_dir().join(name);
        // `create_new`: never overwrites a file of another process.
        let file = OpenOptions::new().write(true).create_new(true).open(&path);
        let file = file.with_context(|| format!("cannot write {}", path.display()))?;
        let wav = Self { path };
        write_wav(file, samples).with_context(|| format!("cannot write {}", wav.path.display()))?;
        Ok(wav)
    }
}

impl Drop for Wav {
    fn drop(&mut self) {
        // If this fails, a small file stays in the temporary directory.
        let _ = fs::remove_file(&self.path);
    }
}

fn write_wav(file: File, samples: &[f32]) -> std::io::Result<()> {
    let (rate, bytes) = (audio::SAMPLE_RATE, 2 * samples.len() as u32);
    let mut out = BufWriter::new(file);
    out.write_all(b"RIFF")?;
    out.write_all(&(36 + bytes).to_le_bytes())?;
    out.write_all(b"WAVEfmt \x10\0\0\0\x01\0\x01\0")?;
    out.write_all(&rate.to_le_bytes())?;
    out.write_all(&(2 * rate).to_le_bytes())?;
    out.write_all(b"\x02\0\x10\0data")?;
    out.write_all(&bytes.to_le_bytes())?;
    for sample in samples {
        let sample = (sample * 32768.0).round().clamp(-32768.0, 32767.0) as i16;
        out.write_all(&sample.to_le_bytes())?;
    }
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wav_files_hold_the_sound_until_dropped() {
        let samples = Sound::generated(0.5).segment(0.5);
        let wav = Wav::write(&samples).unwrap();
        let options = audio::DecodeOptions::default();
        let read = Sound::read(&wav.path, 9.0, &options).unwrap();
        let close = |(a, b): (&f32, &f32)| (a - b).abs() <= 1.0 / 32768.0;
        assert!(read.segment(0.5).iter().zip(samples.iter()).all(close));
        let path = wav.path.clone();
        drop(wav);
        assert!(!path.exists());
    }

    #[test]
    fn errors_name_the_recording_without_audio() {
        let wav = Wav::write(&[]).unwrap();
        let options = audio::DecodeOptions::default();
        let error = Sound::read(&wav.path, 9.0, &options).err().unwrap();
        assert!(format!("{error:#}").contains("scriptorium-bench"), "{error:#}");
    }
}
