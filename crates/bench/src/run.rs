//! One run of the benchmark, from the machine's peaks to the report.

use std::{
    fs::File,
    io::BufWriter,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use anyhow::Context;
use app::Config;
use speech::recognizer::Recognizer;

use crate::{
    pipeline::{self, Recordings},
    process,
    profile::{self, Profile, ProfiledSegment},
    report::{LoadTimes, Machine, MemoryUse, Model, Report, ThreadsMemory},
    segments::{self, SegmentMeasurement},
    sound::Sound,
    trace,
};

/// Durations measured by default, as far as the recognizer accepts them, in seconds.
const DURATIONS: [f64; 4] = [5.0, 10.0, 20.0, 60.0];

/// What to measure.
#[derive(Debug, Clone, Default)]
pub struct BenchOptions {
    /// Durations of the segments in seconds; empty: those of 5, 10, 20 and 60 that the recognizer
    /// accepts.
    pub durations: Vec<f64>,
    /// Numbers of threads; empty: 1 and all cores.
    pub threads: Vec<u16>,
    /// Measured segments per thread, after one that is not measured.
    pub runs: u32,
    /// Recording to take the segments from; `None`: generated sound.
    pub audio: Option<PathBuf>,
    /// Whether the whole pipeline is measured, too.
    pub pipeline: bool,
    /// Whether the report contains a profile by operator.
    pub profile: bool,
    /// File for the profile as a trace.
    pub profile_out: Option<PathBuf>,
}

/// Functions that [`run()`] calls as it proceeds.
#[derive(Clone, Copy)]
pub struct Callbacks<'a> {
    /// Called before each step: steps done, their total where it is known, and what comes next.
    pub on_step: &'a dyn Fn(u64, Option<u64>, &str),
    pub on_pull: app::OnPull<'a>,
}

/// Result of a run.
pub struct Bench {
    pub report: Report,
    /// Why the pipeline could not be measured. The report holds everything else.
    pub pipeline_error: Option<anyhow::Error>,
}

/// An option that the model does not accept.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct InvalidOption(String);

/// Measures the default recognizer of `config`.
///
/// # Errors
/// [`InvalidOption`] or [`app::Error`] where the options or the configuration are wrong; an error
/// that names the file or the step otherwise. An error of the pipeline alone is part of the result.
pub async fn run(
    config: &Config,
    options: &BenchOptions,
    callbacks: Callbacks<'_>,
) -> anyhow::Result<Bench> {
    // Files are opened first, so that a wrong path fails before minutes are spent.
    let trace_file = options.profile_out.as_deref().map(create).transpose()?;
    if let Some(path) = &options.audio {
        File::open(path).with_context(|| format!("--audio: cannot read {}", path.display()))?;
    }
    (callbacks.on_step)(0, None, "measuring the machine");
    let machine = Machine::measure()?;
    let directory = app::find_recognizer(config, callbacks.on_pull).await?;

    (callbacks.on_step)(0, None, &format!("loading {}", directory.name));
    let before_load_bytes = process::resident_bytes();
    let (start, cpu_start) = (Instant::now(), process::cpu_seconds());
    let recognizer = app::open_recognizer(&directory, &config.recognizer)?;
    let load = LoadTimes {
        wall_seconds: start.elapsed().as_secs_f64(),
        cpu_seconds: process::cpu_seconds() - cpu_start,
    };
    let memory = MemoryUse {
        before_load_bytes,
        after_load_bytes: process::resident_bytes(),
        load_peak_bytes: process::peak_resident_bytes(),
    };

    let durations = durations(&options.durations, recognizer.max_seconds())?;
    let threads = thread_counts(&options.threads, machine.cores);
    let longest = durations.iter().copied().fold(0.0, f64::max);
    let sound = match &options.audio {
        Some(path) => Sound::read(path, longest, &config.audio.options()?)?,
        None => Sound::generated(longest),
    };
    let mut report = Report {
        version: env!("CARGO_PKG_VERSION"),
        model: Model::new(&directory.path, recognizer.description()),
        sound: sound.name().to_owned(),
        pinned: config.compute.pin,
        machine,
        load,
        memory,
        segments: Vec::new(),
        threads: Vec::new(),
        profile: None,
        pipeline: Vec::new(),
    };
    let subject = Subject {
        recognizer,
        sound: &sound,
        durations: &durations,
        runs: options.runs,
        pin: config.compute.pin,
        on_step: callbacks.on_step,
    };
    subject.measure(&mut report, &threads)?;
    if options.profile || options.profile_out.is_some() {
        let count = profile_threads(&options.threads, &threads);
        let segments = subject.profile(count, &mut report)?;
        if let (Some(path), Some(file)) = (&options.profile_out, trace_file) {
            trace::write(BufWriter::new(file), &segments).with_context(|| cannot_write(path))?;
        }
        if !options.profile {
            report.profile = None;
        }
    }
    // The pipeline loads the models again: frees this copy first.
    drop(subject);
    let mut pipeline_error = None;
    if options.pipeline {
        let count = threads.iter().copied().max().unwrap_or(1);
        let recordings = Recordings { sound: &sound, file: options.audio.as_deref() };
        match pipeline::measure(config, recordings, &durations, count, options.runs, callbacks)
            .await
        {
            Ok(measured) => report.pipeline = measured,
            Err(error) => pipeline_error = Some(error),
        }
    }
    Ok(Bench { report, pipeline_error })
}

fn create(path: &Path) -> anyhow::Result<File> {
    File::create(path).with_context(|| cannot_write(path))
}

fn cannot_write(path: &Path) -> String {
    format!("cannot write {}", path.display())
}

/// The recognizer that is measured, and its input.
struct Subject<'a> {
    recognizer: Arc<dyn Recognizer>,
    sound: &'a Sound,
    /// In seconds, at least one.
    durations: &'a [f64],
    runs: u32,
    pin: bool,
    on_step: &'a dyn Fn(u64, Option<u64>, &str),
}

impl Subject<'_> {
    /// Measures segments of all durations on all numbers of threads. The fewest threads come first,
    /// so that the memory that further threads add shows up in the peak.
    fn measure(&self, report: &mut Report, threads: &[usize]) -> anyhow::Result<()> {
        let steps = (self.durations.len() * threads.len()) as u64;
        for &count in threads {
            let pool = app::start_pool(count, self.pin, &[])?;
            let mut peak_bytes = None;
            for &seconds in self.durations {
                let s = if count == 1 { "" } else { "s" };
                let text = format!("{seconds} s, {count} thread{s}");
                (self.on_step)(report.segments.len() as u64, Some(steps), &text);
                let samples = self.sound.segment(seconds);
                let measured =
                    segments::measure(&self.recognizer, &pool, count, samples, self.runs)?;
                peak_bytes = peak_bytes.max(measured.peak_bytes);
                let base = report.segments.iter().find(|other| other.seconds == measured.seconds);
                let speed_up = base.map(|base| measured.speed_up(base));
                report.segments.push(SegmentMeasurement { speed_up, ..measured });
            }
            report.threads.push(ThreadsMemory {
                threads: count,
                peak_bytes,
                bytes_per_extra: None,
            });
        }
        report.compare_threads();
        Ok(())
    }

    /// Profiles segments of the first duration on `threads` threads.
    fn profile(&self, threads: usize, report: &mut Report) -> anyhow::Result<Vec<ProfiledSegment>> {
        let seconds = self.durations[0];
        (self.on_step)(1, Some(1), "profiling");
        let pool = app::start_pool(threads, self.pin, &[])?;
        let samples = self.sound.segment(seconds);
        let segments = profile::record(&self.recognizer, &pool, threads, samples, self.runs)?;
        let peak = &report.machine.peak;
        report.profile = Some(Profile::new(&segments, seconds, threads, peak));
        Ok(segments)
    }
}

/// Returns the given durations, each once, or the default ones that the recognizer accepts.
fn durations(given: &[f64], max_seconds: f64) -> Result<Vec<f64>, InvalidOption> {
    if given.is_empty() {
        let fitting: Vec<f64> = DURATIONS.into_iter().filter(|&s| s <= max_seconds).collect();
        return Ok(if fitting.is_empty() { vec![max_seconds] } else { fitting });
    }
    match given.iter().find(|&&seconds| seconds > max_seconds) {
        Some(seconds) => Err(InvalidOption(format!(
            "--durations: the model accepts segments of at most {max_seconds} s, not {seconds}"
        ))),
        None => {
            let mut once: Vec<f64> = Vec::with_capacity(given.len());
            given.iter().for_each(|seconds| {
                if !once.contains(seconds) {
                    once.push(*seconds);
                }
            });
            Ok(once)
        }
    }
}

/// Returns the given numbers of threads in ascending order, each once; by default 1 and all cores.
fn thread_counts(given: &[u16], cores: usize) -> Vec<usize> {
    let mut counts: Vec<usize> = match given {
        [] => vec![1, cores],
        given => given.iter().copied().map(usize::from).collect(),
    };
    counts.sort_unstable();
    counts.dedup();
    counts
}

/// Returns the first number of threads given, by default the least.
fn profile_threads(given: &[u16], counts: &[usize]) -> usize {
    given.first().map_or_else(|| counts.first().copied().unwrap_or(1), |&first| first.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_fit_the_model() {
        assert_eq!(durations(&[], 60.0).unwrap(), DURATIONS);
        assert_eq!(durations(&[], 30.0).unwrap(), [5.0, 10.0, 20.0]);
        assert_eq!(durations(&[], 3.0).unwrap(), [3.0]);
        assert_eq!(durations(&[7.5, 1.0, 7.5], 30.0).unwrap(), [7.5, 1.0]);
        let error = durations(&[5.0, 31.0], 30.0).unwrap_err().to_string();
        assert!(error.contains("31") && error.contains("30"), "{error}");
    }

    #[test]
    fn thread_counts_ascend() {
        assert_eq!(thread_counts(&[], 4), [1, 4]);
        assert_eq!(thread_counts(&[], 1), [1]);
        assert_eq!(thread_counts(&[2, 1, 2], 8), [1, 2]);
        assert_eq!(profile_threads(&[2, 1], &[1, 2]), 2);
        assert_eq!(profile_threads(&[], &[1, 4]), 1);
    }
}
