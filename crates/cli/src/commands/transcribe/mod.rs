//! `scriptorium transcribe`: transcribes recordings on this machine.

mod summary;

use std::{
    collections::BTreeSet,
    fmt::Write,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use app::{BuildOptions, Config};
use futures::{StreamExt, TryStreamExt};
use job::{Failure, FailureCode};
use location::Location;
use speech::pipeline::Session;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use transcript::Format;
use worker::{Completed, Transcriber, Transcription, TranscriptionRequest, convert, interruptible};

use self::summary::Summary;
use crate::{
    UsageError,
    args::{TranscribeArgs, output_prefix},
    claims::{self, Claim, Claims},
    commands::print_json,
    exit,
    progress::{Progress, download_bar},
    sources::{self, Found, Item},
    termination::termination,
};

/// Recordings that the listing may be ahead of the work.
const LISTED_AHEAD: usize = 10_000;
/// How long a finished transcript waits for its store.
const WRITE_PATIENCE: Duration = Duration::from_secs(60);

pub(crate) async fn run(config: &Config, args: TranscribeArgs) -> anyhow::Result<u8> {
    let output = args.out.as_deref().map(output_prefix).transpose()?;
    let formats = formats(&args, output.is_some())?;
    let options = args.recordings.options()?;
    let stop = termination()?;
    let build = BuildOptions {
        pull: true,
        punctuation: options.punctuate.unwrap_or(true),
        speakers: options.speakers.is_some(),
        normalization: options.normalize.unwrap_or(config.recognizer.normalize),
    };
    let on_pull = download_bar();
    let app = tokio::select! {
        app = app::build(config, build, &on_pull) => app?,
        () = stop.cancelled() => return Ok(exit::INTERRUPTED),
    };
    let cores = app.cores;
    // Somebody watches: a full disk is reported at once, and a store has a minute to come back.
    let patience = match &output {
        Some(Location::S3 { .. }) => WRITE_PATIENCE,
        Some(Location::File(_)) | None => Duration::ZERO,
    };
    let batch = Arc::new(Batch {
        progress: Progress::start(),
        transcriber: app.transcriber.with_write_patience(patience),
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
    // One recording more than there are cores, so that no core idles while one is opened or
    // written.
    let work = ReceiverStream::new(receiver).map(|found| {
        let batch = Arc::clone(&batch);
        async move { batch.process(found).await }
    });
    if batch.ordered {
        // Once standard output is closed, the remaining recordings are dropped.
        let texts = work.buffered(cores + 1).map(Ok);
        texts.try_for_each(async |text| batch.show(text)).await?;
    } else {
        let texts = work.buffer_unordered(cores + 1).map(Ok);
        texts.try_for_each(async |text| batch.show(text)).await?;
    }
    listing.await?;
    batch.report(args.json)
}

/// Returns the requested formats. Standard output takes exactly one.
fn formats(args: &TranscribeArgs, has_output: bool) -> anyhow::Result<BTreeSet<Format>> {
    let formats: BTreeSet<Format> = args.format.iter().copied().collect();
    match (has_output, formats.len()) {
        (true, 0) => Ok(BTreeSet::from([Format::Json])),
        (false, 0) => Ok(BTreeSet::from([Format::Txt])),
        (false, 2..) => Err(UsageError("several formats need --out DIR".to_owned()).into()),
        _ => Ok(formats),
    }
}

/// State that all recordings of one run share.
struct Batch {
    progress: Progress,
    transcriber: Transcriber,
    output: Option<Location>,
    /// Whether transcripts go to standard output, in the order of the recordings.
    ordered: bool,
    formats: BTreeSet<Format>,
    options: speech::pipeline::TranscribeOptions,
    channels: Option<audio::ChannelMode>,
    summary: Mutex<Summary>,
    claims: Claims,
    /// Whether each transcript on standard output is preceded by the URI of its recording.
    labelled: bool,
    stop: CancellationToken,
}

/// Destination of the transcript of a recording.
enum Claimed {
    /// `None` stands for standard output.
    Output(Option<Location>),
    /// The recording was listed before.
    Repeated,
}

impl Batch {
    /// Lists the recordings below `paths`, until the run is stopped.
    async fn list(&self, paths: &[String], all_files: bool, sender: mpsc::Sender<Found>) {
        let (found, mut listed) = mpsc::channel(1);
        let forward = async {
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
                _ = sources::list(self.transcriber.stores(), paths, all_files, &found) => {}
                () = self.stop.cancelled() => {}
            }
            drop(found);
        };
        tokio::join!(list, forward);
        self.progress.listed();
    }

    /// Transcribes one recording; returns the text for standard output.
    async fn process(&self, found: Found) -> Option<String> {
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
        let session = Arc::new(Session::default());
        self.progress.begin(&session, item.size);
        let result = match self.claim(&item) {
            Ok(Claimed::Output(output)) => self.transcribe(&item, output, &session).await,
            Ok(Claimed::Repeated) => {
                self.progress.end(&session, item.size, None);
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
        self.progress.end(&session, item.size, seconds);
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
        session: &Arc<Session>,
    ) -> Result<Transcription, Failure> {
        let request = TranscriptionRequest {
            source: item.source.clone(),
            output,
            formats: self.formats.clone(),
            preset: None,
            channels: self.channels,
            options: self.options.clone(),
        };
        let work = self.transcriber.transcribe(&request, session);
        interruptible(work, session, &self.stop).await
    }

    /// Claims the output of a recording, which no other recording of this run may have.
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

    /// Counts a transcription; returns the text for standard output.
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
        self.summary().add_failure(failure);
    }

    fn summary(&self) -> MutexGuard<'_, Summary> {
        self.summary.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn show(&self, text: Option<String>) -> anyhow::Result<()> {
        text.map_or(Ok(()), |text| self.progress.print(&text))
    }

    /// Prints the summary; returns the exit code.
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
            // Nothing found is a failure, too: the prefix may be mistyped.
            Summary { done: 0, skipped: 0, .. } => exit::FAILURE,
            Summary { failed: 0, .. } => exit::SUCCESS,
            _ => exit::FAILURE,
        })
    }
}
