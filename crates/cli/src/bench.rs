//! `scriptorium bench`: how fast this machine transcribes with a model, and where the time goes.

mod pipeline;
mod process;
mod profile;
mod report;
mod segments;
mod sound;
mod trace;

use std::{fs::File, io::BufWriter, path::Path, sync::Arc, time::Instant};

use anyhow::Context;
use speech::recognizer::Recognizer;

use self::{
    profile::{Profile, Recorded},
    report::{Load, Machine, Memory, Model, Report, Threads},
    segments::Measured,
    sound::Sound,
};
use crate::{
    UsageError,
    args::BenchArgs,
    commands::{print_json, print_line},
    config::Config,
    exit, loading,
    progress::Counter,
};

/// Measured unless durations are given, as far as the recognizer takes them.
const DURATIONS: [f64; 4] = [5.0, 10.0, 20.0, 60.0];

pub(crate) async fn run(config: &Config, args: BenchArgs) -> anyhow::Result<u8> {
    // What would fail in the end is tried before minutes are spent.
    let trace = args.profile_out.as_deref().map(create).transpose()?;
    if let Some(path) = &args.audio {
        File::open(path).with_context(|| format!("--audio: cannot read {}", path.display()))?;
    }
    let counter = Counter::start();
    counter.show(0, None, "measuring the machine");
    let machine = Machine::measure()?;
    let directory = loading::recognizer_directory(config).await?;

    counter.show(0, None, &format!("loading {}", directory.name));
    let before = process::resident();
    let (start, computed) = (Instant::now(), process::cpu_seconds());
    let recognizer = loading::open_recognizer(&directory, &config.recognizer)?;
    let load = Load {
        wall_seconds: start.elapsed().as_secs_f64(),
        cpu_seconds: process::cpu_seconds() - computed,
    };
    let memory = Memory {
        before_load_bytes: before,
        after_load_bytes: process::resident(),
        load_peak_bytes: process::peak_resident(),
    };

    let durations = durations(&args.durations, recognizer.max_seconds())?;
    let threads = thread_counts(&args.threads, machine.cores);
    let longest = durations.iter().copied().fold(0.0, f64::max);
    let sound = match &args.audio {
        Some(path) => Sound::read(path, longest, &config.audio.options())?,
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
    let bench = Bench {
        recognizer,
        sound: &sound,
        durations: &durations,
        runs: args.runs,
        pin: config.compute.pin,
        counter: &counter,
    };
    bench.measure(&mut report, &threads)?;
    if args.profile || args.profile_out.is_some() {
        let recorded = bench.profile(threads_of_profile(&args.threads, &threads), &mut report)?;
        if let (Some(path), Some(file)) = (&args.profile_out, trace) {
            trace::write(BufWriter::new(file), &recorded).with_context(|| cannot_write(path))?;
        }
        if !args.profile {
            report.profile = None;
        }
    }
    drop(bench);
    let mut failed = None;
    if args.pipeline {
        let most = threads.iter().copied().max().unwrap_or(1);
        let recordings = pipeline::Recordings { sound: &sound, file: args.audio.as_deref() };
        match pipeline::measure(config, recordings, &durations, most, args.runs, &counter).await {
            Ok(measured) => report.pipeline = measured,
            Err(error) => failed = Some(error),
        }
    }
    drop(counter);
    // What was measured is not lost with what was not.
    if args.json {
        print_json(&report)?
    } else {
        print_line(report.to_string().trim_end())?
    }
    failed.map_or(Ok(exit::SUCCESS), Err)
}

fn create(path: &Path) -> anyhow::Result<File> {
    File::create(path).with_context(|| cannot_write(path))
}

fn cannot_write(path: &Path) -> String {
    format!("cannot write {}", path.display())
}

/// A recognizer and what it is given.
struct Bench<'a> {
    recognizer: Arc<dyn Recognizer>,
    sound: &'a Sound,
    /// In seconds, at least one.
    durations: &'a [f64],
    runs: u32,
    pin: bool,
    counter: &'a Counter,
}

impl Bench<'_> {
    /// Segments of all durations on all numbers of threads, fewest threads first, so that what more
    /// threads need is seen.
    fn measure(&self, report: &mut Report, threads: &[usize]) -> anyhow::Result<()> {
        let steps = (self.durations.len() * threads.len()) as u64;
        for &count in threads {
            let pool = loading::pool(count, self.pin)?;
            let mut most = None;
            for &seconds in self.durations {
                let s = if count == 1 { "" } else { "s" };
                let text = format!("{seconds} s, {count} thread{s}");
                self.counter.show(report.segments.len() as u64, Some(steps), &text);
                let samples = self.sound.segment(seconds);
                let measured =
                    segments::measure(&self.recognizer, &pool, count, samples, self.runs)?;
                most = most.max(measured.peak_bytes);
                let base = report.segments.iter().find(|other| other.seconds == measured.seconds);
                let speed_up = base.map(|base| measured.speed_up(base));
                report.segments.push(Measured { speed_up, ..measured });
            }
            report.threads.push(Threads {
                threads: count,
                peak_bytes: most,
                bytes_per_extra: None,
            });
        }
        report.compare_threads();
        Ok(())
    }

    /// The first duration on so many threads.
    fn profile(&self, threads: usize, report: &mut Report) -> anyhow::Result<Vec<Recorded>> {
        let seconds = self.durations[0];
        self.counter.show(1, Some(1), "profiling");
        let pool = loading::pool(threads, self.pin)?;
        let samples = self.sound.segment(seconds);
        let recorded = profile::record(&self.recognizer, &pool, threads, samples, self.runs)?;
        let peak = &report.machine.peak;
        report.profile = Some(Profile::new(&recorded, seconds, threads, peak));
        Ok(recorded)
    }
}

fn durations(given: &[f64], longest: f64) -> Result<Vec<f64>, UsageError> {
    if given.is_empty() {
        let fitting: Vec<f64> = DURATIONS.into_iter().filter(|&s| s <= longest).collect();
        return Ok(if fitting.is_empty() { vec![longest] } else { fitting });
    }
    match given.iter().find(|&&seconds| seconds > longest) {
        Some(seconds) => Err(UsageError(format!(
            "--durations: the model takes segments of at most {longest} s, not {seconds}"
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

/// In order and once each; by default one and all.
fn thread_counts(given: &[u16], cores: usize) -> Vec<usize> {
    let mut counts: Vec<usize> = match given {
        [] => vec![1, cores],
        given => given.iter().copied().map(usize::from).collect(),
    };
    counts.sort_unstable();
    counts.dedup();
    counts
}

/// The first that was asked for.
fn threads_of_profile(given: &[u16], counts: &[usize]) -> usize {
    given.first().map_or_else(|| counts.first().copied().unwrap_or(1), |&first| first.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_those_that_the_model_takes() {
        assert_eq!(durations(&[], 60.0).unwrap(), DURATIONS);
        assert_eq!(durations(&[], 30.0).unwrap(), [5.0, 10.0, 20.0]);
        assert_eq!(durations(&[], 3.0).unwrap(), [3.0]);
        assert_eq!(durations(&[7.5, 1.0, 7.5], 30.0).unwrap(), [7.5, 1.0]);
        let error = durations(&[5.0, 31.0], 30.0).unwrap_err().to_string();
        assert!(error.contains("31") && error.contains("30"), "{error}");
    }

    #[test]
    fn threads_go_from_few_to_many() {
        assert_eq!(thread_counts(&[], 4), [1, 4]);
        assert_eq!(thread_counts(&[], 1), [1]);
        assert_eq!(thread_counts(&[2, 1, 2], 8), [1, 2]);
        assert_eq!(threads_of_profile(&[2, 1], &[1, 2]), 2);
        assert_eq!(threads_of_profile(&[], &[1, 4]), 1);
    }
}
