use std::{
    collections::BTreeSet,
    fmt::Write,
    sync::{Arc, Mutex, PoisonError},
};

use futures::{StreamExt, TryStreamExt};
use job::{Failure, FailureCode};
use location::Location;
use serde::Serialize;
use speech::pipeline::Control;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use transcript::Format;
use worker::{Assignment, Completed, Transcriber, Transcription, convert};

use crate::{
    UsageError,
    args::TranscribeArgs,
    claims::{self, Claim, Claims},
    commands::print_json,
    config::Config,
    exit,
    loading::{self, Needs},
    progress::Progress,
    sources::{self, Found, Item},
    wiring,
};

/// Recordings that are listed ahead of the work.
const LISTED_AHEAD: usize = 10_000;
/// Failures repeated at the end; all of them were said when they happened.
const FAILURES_LISTED: usize = 100;

pub(crate) async fn run(config: &Config, args: TranscribeArgs) -> anyhow::Result<u8> {
    let output = args.out.as_deref().map(wiring::output_prefix).transpose()?;
    let formats = formats(&args, output.is_some())?;
    let options = args.recordings.options()?;
    let stop = wiring::termination()?;
    let needs = Needs {
        pull: true,
        punctuation: options.punctuate.unwrap_or(true),
        speakers: options.speakers.is_some(),
        normalization: options.normalize.unwrap_or(config.recognizer.normalize),
    };
    let engine = tokio::select! {
        engine = loading::engine(config, needs) => engine?,
        () = stop.cancelled() => return Ok(exit::INTERRUPTED),
    };
    let cores = engine.cores;
    let transcriber = Arc::new(engine.transcriber);
    let batch = Arc::new(Batch {
        progress: Progress::start(),
        transcriber: Arc::clone(&transcriber),
        ordered: output.is_none(),
        output,
        formats,
        options: convert::pipeline_options(&options),
        channels: options.channels.map(convert::channel_mode),
        summary: Mutex::default(),
        claims: Claims::below(&args.recordings.paths),
        labelled: sources::may_be_several(&args.recordings.paths),
        stop,
    });

    let (sender, receiver) = mpsc::channel(LISTED_AHEAD);
    let listing = tokio::spawn({
        let batch = Arc::clone(&batch);
        async move { batch.list(&args.recordings.paths, args.recordings.all_files, sender).await }
    });
    // One more than the cores, so that none idles while a recording is opened or written.
    let work = ReceiverStream::new(receiver).map(|found| {
        let batch = Arc::clone(&batch);
        async move { batch.take(found).await }
    });
    if batch.ordered {
        // What cannot be printed need not be made: the rest is dropped where it is.
        let texts = work.buffered(cores + 1).map(Ok);
        texts.try_for_each(async |text| batch.show(text)).await?;
    } else {
        let texts = work.buffer_unordered(cores + 1).map(Ok);
        texts.try_for_each(async |text| batch.show(text)).await?;
    }
    listing.await?;
    batch.report(args.json)
}

/// The formats asked for: on standard output exactly one.
fn formats(args: &TranscribeArgs, has_output: bool) -> anyhow::Result<BTreeSet<Format>> {
    let formats: BTreeSet<Format> = args.format.iter().copied().collect();
    match (has_output, formats.len()) {
        (true, 0) => Ok(BTreeSet::from([Format::Json])),
        (false, 0) => Ok(BTreeSet::from([Format::Txt])),
        (false, 2..) => {
            Err(UsageError("several formats need --out DIR to go to".to_owned()).into())
        }
        _ => Ok(formats),
    }
}

/// What all recordings of one run share.
struct Batch {
    progress: Progress,
    transcriber: Arc<Transcriber>,
    output: Option<Location>,
    /// Transcripts go to standard output, in the order of the recordings.
    ordered: bool,
    formats: BTreeSet<Format>,
    options: speech::pipeline::Options,
    channels: Option<audio::ChannelMode>,
    summary: Mutex<Summary>,
    claims: Claims,
    /// Several transcripts may go to standard output: each is headed by its recording.
    labelled: bool,
    stop: CancellationToken,
}

#[derive(Debug, Default, Serialize)]
struct Summary {
    done: u64,
    skipped: u64,
    failed: u64,
    ignored: u64,
    audio_seconds: f64,
    wall_seconds: f64,
    cpu_seconds: f64,
    audio_seconds_per_core_second: f64,
    interrupted: bool,
    failures: Vec<Listed>,
}

/// A failure as it is listed at the end.
#[derive(Debug, Serialize)]
struct Listed {
    #[serde(flatten)]
    failure: Failure,
    remedy: &'static str,
}

/// Where the transcript of a recording goes.
enum Claimed {
    /// `None`: to standard output.
    Output(Option<Location>),
    /// The recording was named before.
    Repeated,
}

impl Batch {
    async fn list(&self, paths: &[String], all_files: bool, sender: mpsc::Sender<Found>) {
        let (found, mut listed) = mpsc::channel(1);
        let pass_on = async {
            while let Some(found) = listed.recv().await {
                if let Found::Recording(item) = &found {
                    self.progress.found(item.size);
                }
                if sender.send(found).await.is_err() {
                    return;
                }
            }
        };
        let list = async {
            tokio::select! {
                () = sources::list(self.transcriber.stores(), paths, all_files, &found) => {}
                () = self.stop.cancelled() => {}
            }
            drop(found);
        };
        tokio::join!(list, pass_on);
        self.progress.listed();
    }

    /// Does one recording; returns what goes to standard output.
    async fn take(&self, found: Found) -> Option<String> {
        let item = match found {
            Found::Recording(item) => item,
            Found::Ignored => {
                self.summary().ignored += 1;
                return None;
            }
            Found::Failed(failure) => {
                self.fail(failure);
                return None;
            }
        };
        if self.stop.is_cancelled() {
            return None;
        }
        let control = Arc::new(Control::default());
        self.progress.begin(&control, item.size);
        let result = match self.claim(&item) {
            Ok(Claimed::Output(output)) => self.transcribe(&item, output, &control).await,
            Ok(Claimed::Repeated) => {
                self.progress.end(&control, item.size, None);
                return None;
            }
            Err(failure) => Err(failure),
        };
        let seconds = match &result {
            Ok(Transcription { completed: Completed::Transcribed, transcript }) => {
                Some(transcript.source.duration)
            }
            _ => None,
        };
        self.progress.end(&control, item.size, seconds);
        match result {
            Ok(transcription) => self.succeed(&item, &transcription),
            Err(failure) if failure.code == FailureCode::Interrupted => None,
            Err(failure) => {
                self.fail(failure);
                None
            }
        }
    }

    async fn transcribe(
        &self,
        item: &Item,
        output: Option<Location>,
        control: &Arc<Control>,
    ) -> Result<Transcription, Failure> {
        let assignment = Assignment {
            source: item.source.clone(),
            output,
            formats: self.formats.clone(),
            preset: None,
            channels: self.channels,
            options: self.options.clone(),
        };
        let work = self.transcriber.transcribe(&assignment, control);
        tokio::pin!(work);
        tokio::select! {
            result = &mut work => result,
            () = self.stop.cancelled() => {
                control.interrupt();
                work.await
            }
        }
    }

    /// The output of a recording, which no other recording of this run has.
    fn claim(&self, item: &Item) -> Result<Claimed, Failure> {
        let Some(prefix) = &self.output else { return Ok(Claimed::Output(None)) };
        let source = item.source.to_string();
        let invalid = |message: String| Failure {
            code: FailureCode::OutputDenied,
            source: source.clone(),
            message,
        };
        let output = prefix.join(&item.relative).map_err(|error| invalid(error.to_string()))?;
        match self.claims.claim(&output.to_string(), &source) {
            Claim::Granted => Ok(Claimed::Output(Some(output))),
            Claim::Repeated => Ok(Claimed::Repeated),
            Claim::Taken(by) => Err(invalid(claims::taken(&by))),
        }
    }

    fn succeed(&self, item: &Item, transcription: &Transcription) -> Option<String> {
        let transcript = &transcription.transcript;
        let mut summary = self.summary();
        if transcription.completed == Completed::UpToDate {
            summary.skipped += 1;
            return None;
        }
        summary.done += 1;
        summary.audio_seconds += transcript.source.duration;
        summary.cpu_seconds += transcript.processing.cpu_seconds;
        drop(summary);
        for warning in &transcript.source.warnings {
            self.progress.say(&format!("warning: {}: {warning}", item.source));
        }
        let format = *self.formats.first()?;
        self.output.is_none().then(|| {
            let mut text = String::new();
            if self.labelled {
                let _ = writeln!(text, "== {}", item.source);
            }
            text.push_str(transcript.render(format).trim_end());
            text.push('\n');
            text
        })
    }

    fn fail(&self, failure: Failure) {
        self.progress.say(&format!("failed: {}: {failure}", failure.source));
        let mut summary = self.summary();
        summary.failed += 1;
        if summary.failures.len() < FAILURES_LISTED {
            summary.failures.push(Listed { remedy: failure.code.remedy(), failure });
        }
    }

    fn summary(&self) -> std::sync::MutexGuard<'_, Summary> {
        self.summary.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn show(&self, text: Option<String>) -> anyhow::Result<()> {
        text.map_or(Ok(()), |text| self.progress.print(&text))
    }

    fn report(&self, json: bool) -> anyhow::Result<u8> {
        let mut summary = self.summary();
        summary.interrupted = self.stop.is_cancelled();
        summary.wall_seconds = self.progress.elapsed().as_secs_f64();
        if summary.cpu_seconds > 0.0 {
            summary.audio_seconds_per_core_second = summary.audio_seconds / summary.cpu_seconds;
        }
        self.progress.say(&summary.to_string());
        if json {
            print_json(&*summary)?;
        }
        Ok(match &*summary {
            Summary { interrupted: true, .. } => exit::INTERRUPTED,
            // A mistyped prefix must not pass for work done.
            Summary { done: 0, skipped: 0, .. } => exit::FAILURE,
            Summary { failed: 0, .. } => exit::SUCCESS,
            _ => exit::FAILURE,
        })
    }
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.done + self.skipped + self.failed == 0 && !self.interrupted {
            write!(f, "no recordings found: ")?;
        }
        write!(f, "{} transcribed", self.done)?;
        for (count, what) in [
            (self.skipped, "up to date"),
            (self.failed, "failed"),
            (self.ignored, "ignored (not named like recordings; --all-files takes them)"),
        ] {
            if count > 0 {
                write!(f, ", {count} {what}")?;
            }
        }
        write!(
            f,
            "; {:.2} h of audio in {:.1} s: {:.1}x real time, {:.1}x per core",
            self.audio_seconds / 3600.0,
            self.wall_seconds,
            self.audio_seconds / self.wall_seconds.max(1e-3),
            self.audio_seconds_per_core_second,
        )?;
        for Listed { failure, remedy } in &self.failures {
            write!(f, "\n  {}\n    {failure}\n    {remedy}", failure.source)?;
        }
        if self.failed > self.failures.len() as u64 {
            write!(f, "\n  and {} more, see above", self.failed - self.failures.len() as u64)?;
        }
        if self.interrupted {
            write!(f, "\ninterrupted; run the same command again to go on")?;
        }
        Ok(())
    }
}
