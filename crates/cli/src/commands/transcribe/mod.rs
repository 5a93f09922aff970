//! `scriptorium transcribe`: transcribes recordings on this machine.

mod summary;

use std::{
    collections::BTreeSet,
    fmt::Write,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use app::{BuildOptions, Config, Urls};
use futures::{StreamExt, TryStreamExt};
use job::{Cursor, Failure, FailureCode, OutputName};
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
    commands::print_json,
    exit,
    filter::Filter,
    ignored::IgnoredFile,
    naming::{Named, Naming},
    progress::{Progress, download_bar},
    sources::{self, Found, Item},
    termination::termination,
    writable,
};

/// Recordings that the listing may be ahead of the work.
const LISTED_AHEAD: usize = 10_000;
/// How long a finished transcript waits for its store.
const WRITE_PATIENCE: Duration = Duration::from_secs(60);

pub(crate) async fn run(config: &Config, args: TranscribeArgs) -> anyhow::Result<u8> {
    let output = args.out.as_deref().map(output_prefix).transpose()?;
    let formats = formats(&args, output.is_some())?;
    let options = job::JobOptions {
        formats: formats.iter().copied().map(convert::output_format).collect(),
        ..args.recordings.options()?
    };
    options.check().map_err(UsageError)?;
    let filter = Filter::new(&args.filter.selected(args.recordings.all_files)?)?;
    let stop = termination()?;
    let build = BuildOptions {
        pull: true,
        punctuation: options.punctuate.unwrap_or(true),
        speakers: options.speakers.is_some(),
        normalization: options.normalize.unwrap_or(config.recognizer.normalize),
        urls: Urls::Own,
    };
    let on_pull = download_bar();
    let ready = async {
        // First of all: nobody should pull models for an output that cannot be written.
        if let Some(output) = &output {
            writable::check(&*app::stores(config)?, output).await?;
        }
        anyhow::Ok(app::build(config, build, &on_pull).await?)
    };
    let app = tokio::select! {
        app = ready => app?,
        () = stop.cancelled() => return Ok(exit::INTERRUPTED),
    };
    let cores = app.cores;
    // Somebody watches: a full disk is reported at once, and a store has a minute to come back.
    let patience = match &output {
        Some(Location::S3 { .. }) => WRITE_PATIENCE,
        Some(Location::File(_) | Location::Http(_)) | None => Duration::ZERO,
    };
    let batch = Arc::new(Batch {
        progress: Progress::start(),
        transcriber: app.transcriber.with_write_patience(patience),
        naming: output.map(|output| Naming::new(output, config.output.name, args.paths.len())),
        formats,
        options: convert::pipeline_options(&options),
        channels: options.channels.map(convert::channel_mode),
        track: convert::track(&options).map_err(UsageError)?,
        summary: Mutex::default(),
        labelled: sources::may_be_several(&args.paths),
        stop,
    });

    let mut request = sources::Request {
        filter,
        paths: args.paths,
        // Without an output there is nothing to name.
        name: if batch.naming.is_some() { config.output.name } else { OutputName::Full },
    };
    request.sort();
    let (sender, receiver) = mpsc::channel(LISTED_AHEAD);
    let listing = tokio::spawn({
        let batch = Arc::clone(&batch);
        async move { batch.list(request, sender).await }
    });
    // One recording more than there are cores, so that no core idles while one is opened or
    // written.
    let work = ReceiverStream::new(receiver).map(|task| {
        let batch = Arc::clone(&batch);
        async move { batch.process(task).await }
    });
    if batch.naming.is_none() {
        // Transcripts go to standard output, in the order of the recordings. Once it is closed, the
        // remaining recordings are dropped.
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
    /// Names of the transcripts; `None`: they go to standard output.
    naming: Option<Naming>,
    formats: BTreeSet<Format>,
    options: speech::pipeline::TranscribeOptions,
    channels: Option<audio::ChannelMode>,
    track: Option<audio::TrackChoice>,
    summary: Mutex<Summary>,
    /// Whether each transcript on standard output is preceded by the URI of its recording.
    labelled: bool,
    stop: CancellationToken,
}

/// What to do with one result of the listing.
enum Task {
    /// Transcribe a recording, to this location or to standard output.
    Transcribe(Item, Option<Location>),
    Ignore(IgnoredFile),
    Fail(Failure),
}

impl Batch {
    /// Lists recordings and names their transcripts, one after the other, until the run is stopped.
    async fn list(&self, request: sources::Request, sender: mpsc::Sender<Task>) {
        let (found, mut listed) = mpsc::channel(1);
        let forward = async {
            while let Some(found) = listed.recv().await {
                let Some(task) = self.task(found) else { continue };
                if sender.send(task).await.is_err() {
                    return;
                }
            }
        };
        let list = async {
            tokio::select! {
                _ = sources::list(self.transcriber.stores(), &request, Cursor::default(), &found) => {}
                () = self.stop.cancelled() => {}
            }
            drop(found);
        };
        tokio::join!(list, forward);
        self.progress.listed();
    }

    /// Returns what to do with a result of the listing; `None` if the recording was listed before.
    fn task(&self, found: Found) -> Option<Task> {
        let item = match found {
            Found::Recording(item) => item,
            Found::Ignored(file) => return Some(Task::Ignore(file)),
            Found::Failed(failure) | Found::Broken(failure) => return Some(Task::Fail(failure)),
            // Nothing is kept of where a listing is: what is done is skipped.
            Found::Reached(_) => return None,
        };
        let output = match self.naming.as_ref().map(|naming| naming.name(&item)) {
            None => None,
            Some(Ok(Named::Repeated)) => return None,
            Some(Ok(Named::Output(output, renamed))) => {
                if let Some(renamed) = renamed {
                    let line = self.summary().renamed.add(renamed);
                    self.progress.say(&line);
                }
                Some(output)
            }
            Some(Err(failure)) => return Some(Task::Fail(failure)),
        };
        self.progress.found(item.size);
        Some(Task::Transcribe(item, output))
    }

    /// Does one task; returns the text for standard output.
    async fn process(&self, task: Task) -> Option<String> {
        let (item, output) = match task {
            Task::Transcribe(item, output) => (item, output),
            Task::Ignore(file) => {
                let line = self.summary().ignored.add(file);
                line.into_iter().for_each(|line| self.progress.say(&line));
                return None;
            }
            Task::Fail(failure) => {
                self.fail(failure);
                return None;
            }
        };
        if self.stop.is_cancelled() {
            return None;
        }
        let session = Arc::new(Session::default());
        self.progress.begin(&session, item.size);
        let result = self.transcribe(&item, output, &session).await;
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
            language_suffix: None,
            preset: None,
            channels: self.channels,
            track: self.track.clone(),
            options: self.options.clone(),
        };
        let work = self.transcriber.transcribe(&request, session);
        interruptible(work, session, &self.stop).await
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
        self.naming.is_none().then(|| {
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
        summary.to_string().lines().for_each(|line| self.progress.say(line));
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
