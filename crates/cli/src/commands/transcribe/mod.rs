//! `scriptorium transcribe`: transcribes recordings on this machine.

mod args;
mod dry_run;
mod failures;
mod input;
mod live;
mod summary;

use std::{
    collections::BTreeSet,
    io::{self, IsTerminal},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use app::{BuildOptions, Config, Urls};
use futures::{StreamExt, TryStreamExt};
use job::{Cursor, Failure, FailureCode, OutputName};
use location::Location;
use speech::{
    pipeline::{Session, TranscribeOptions},
    speakers::{SpeakerOptions, voices::VoicePrints},
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use transcript::{Format, RenderOptions};
use worker::{
    Completed, Transcriber, Transcription, TranscriptionRequest, VoicesError, convert,
    interruptible,
};

pub(crate) use self::args::TranscribeArgs;
use self::{input::Input, live::LiveText, summary::Summary};
use crate::{
    UsageError,
    args::output_prefix,
    commands::print_json,
    documents::{self, STDIN_NAME, STDIN_URI, has_place_for_several},
    exit,
    filter::Filter,
    ignored::IgnoredFile,
    names::{message, shown},
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

/// Folder of interrupted transcriptions, below that of the program's state.
const UNFINISHED: &str = "unfinished";

pub(crate) async fn run(config: &Config, args: TranscribeArgs) -> anyhow::Result<u8> {
    if let Some(out) = &args.out {
        input::check_out(out, &Format::ALL.map(Format::name))?;
    }
    let output = args.out.as_deref().map(output_prefix).transpose()?;
    let labelled = args.files_from.is_some() || sources::may_be_several(&args.paths);
    let formats = formats(&args, output.is_some(), labelled)?;
    let options = job::JobOptions { formats: formats.clone(), ..args.recordings.options()? };
    options.check().map_err(UsageError)?;
    let filter = Filter::new(&args.filter.selected(args.recordings.all_files)?)?;
    let stop = termination()?;

    let max_bytes = config.audio.options()?.limits.max_bytes;
    let read =
        tokio::task::spawn_blocking(move || Input::read(&args, max_bytes).map(|i| (i, args)));
    let (mut input, args) = tokio::select! {
        read = read => read??,
        () = stop.cancelled() => return Ok(exit::INTERRUPTED),
    };
    let mut request = sources::Request {
        filter,
        paths: std::mem::take(&mut input.paths),
        // Without an output there is nothing to name.
        name: if output.is_some() { config.output.name } else { OutputName::Full },
    };
    request.sort();
    let naming =
        output.clone().map(|output| Naming::new(output, config.output.name, request.paths.len()));
    if args.dry_run {
        let stores = app::stores(config)?;
        return dry_run::run(&stores, &request, naming.as_ref(), args.json, &stop).await;
    }

    let voices = read_voices(config, &options).await?;
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
    if let (Some(voices), Some(file)) = (&voices, &args.recordings.voices) {
        let checked = app.transcriber.check_voices(None, voices);
        checked.map_err(|error| UsageError(format!("--voices {}: {error}", file.display())))?;
    }
    let cores = app.cores;
    // Somebody watches: a full disk is reported at once, and a store has a minute to come back.
    let patience = match &output {
        Some(Location::S3 { .. }) => WRITE_PATIENCE,
        Some(Location::File(_) | Location::Http(_)) | None => Duration::ZERO,
    };
    let subtitles = args.subtitles.options()?;
    let rendering = RenderOptions { subtitles, ..RenderOptions::default() };
    let unfinished = app::state_directory().join(UNFINISHED);
    let batch = Arc::new(Batch {
        progress: Arc::new(Progress::start()),
        transcriber: app
            .transcriber
            .with_write_patience(patience)
            .with_unfinished(unfinished)
            .with_rendering(rendering.clone()),
        rendering,
        is_watched: naming.is_none() && !labelled && io::stdout().is_terminal(),
        prints: args.print,
        naming,
        formats,
        options: with_voices(convert::pipeline_options(&options), voices),
        channels: options.channels.map(convert::channel_mode),
        track: convert::track(&options).map_err(UsageError)?,
        summary: Mutex::default(),
        labelled,
        input,
        stop,
    });

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

/// Reads the voice prints that the options name.
async fn read_voices(
    config: &Config,
    options: &job::JobOptions,
) -> anyhow::Result<Option<Arc<VoicePrints>>> {
    let Some(job::Speakers { voices: Some(uri), .. }) = &options.speakers else { return Ok(None) };
    let location = uri.parse::<Location>()?;
    let voices = worker::read_voices(&*app::stores(config)?, &location).await;
    let refused = |error: VoicesError| {
        UsageError(format!("--voices {}: {:#}", shown(uri), anyhow::Error::from(error)))
    };
    Ok(Some(Arc::new(voices.map_err(refused)?)))
}

fn with_voices(options: TranscribeOptions, voices: Option<Arc<VoicePrints>>) -> TranscribeOptions {
    let speakers = options.speakers.map(|speakers| SpeakerOptions { voices, ..speakers });
    TranscribeOptions { speakers, ..options }
}

/// Returns the requested formats. Standard output takes exactly one, and of several recordings only one
/// that tells them apart.
fn formats(
    args: &TranscribeArgs,
    has_output: bool,
    may_be_several: bool,
) -> anyhow::Result<BTreeSet<Format>> {
    let formats: BTreeSet<Format> = args.format.iter().copied().collect();
    let format = formats.first().copied();
    match (has_output, formats.len(), format) {
        (true, 0, _) => Ok(BTreeSet::from([Format::Json])),
        (false, 0, _) => Ok(BTreeSet::from([Format::Txt])),
        (false, 2.., _) => Err(UsageError("several formats need --out DIR".to_owned()).into()),
        (false, 1, Some(format)) if may_be_several && !has_place_for_several(format) => {
            Err(UsageError(format!("several recordings need --out DIR for the format {format}"))
                .into())
        }
        (false, 1, Some(format)) if !format.is_text() && io::stdout().is_terminal() => {
            let message =
                format!("a terminal cannot show the format {format}: use --out DIR, or > FILE");
            Err(UsageError(message).into())
        }
        _ => Ok(formats),
    }
}

/// State that all recordings of one run share.
struct Batch {
    progress: Arc<Progress>,
    transcriber: Transcriber,
    /// Names of the transcripts; `None`: they go to standard output.
    naming: Option<Naming>,
    formats: BTreeSet<Format>,
    rendering: RenderOptions,
    options: TranscribeOptions,
    channels: Option<audio::ChannelMode>,
    track: Option<audio::TrackChoice>,
    summary: Mutex<Summary>,
    /// Whether there may be several recordings: text on standard output is preceded by the name of its
    /// recording.
    labelled: bool,
    /// Whether somebody watches the text of a single recording appear.
    is_watched: bool,
    /// Whether text is printed as soon as it is recognized (`--print`).
    prints: bool,
    input: Input,
    stop: CancellationToken,
}

/// What to do with one result of the listing.
enum Task {
    /// Transcribe a recording, to this location or to standard output.
    Transcribe(Box<Item>, Option<Location>),
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
            Found::Recording(item) if self.input.is_stdin(&item.source) => {
                Item { relative: STDIN_NAME.to_owned(), ..item }
            }
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
                    self.progress.note(&line);
                }
                Some(output)
            }
            Some(Err(failure)) => return Some(Task::Fail(failure)),
        };
        self.progress.found(item.size);
        Some(Task::Transcribe(Box::new(item), output))
    }

    /// Does one task; returns the text for standard output.
    async fn process(&self, task: Task) -> Option<Vec<u8>> {
        let (item, output) = match task {
            Task::Transcribe(item, output) => (item, output),
            Task::Ignore(file) => {
                let line = self.summary().ignored.add(file);
                line.into_iter().for_each(|line| self.progress.note(&line));
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
        let request = self.request(&item, output);
        let is_shown = self.show_live(&session, &item, &request);
        self.progress.begin(&session, &item.relative, item.size);
        let work = self.transcriber.transcribe(&request, &session);
        let result = interruptible(work, &session, &self.stop).await;
        let seconds = match &result {
            Ok(Transcription { completed: Completed::Transcribed, transcript, .. }) => {
                Some(transcript.source.duration)
            }
            _ => None,
        };
        self.progress.end(&session, item.size, seconds);
        match result {
            Ok(transcription) => {
                let text = self.succeed(&item, &transcription);
                text.filter(|_| !is_shown)
            }
            Err(failure) if failure.code == FailureCode::Interrupted => None,
            Err(failure) => {
                self.fail(failure);
                None
            }
        }
    }

    fn request(&self, item: &Item, output: Option<Location>) -> TranscriptionRequest {
        TranscriptionRequest {
            source: item.source.clone(),
            uri: self.input.is_stdin(&item.source).then(|| STDIN_URI.to_owned()),
            output,
            formats: self.formats.clone(),
            language_suffix: None,
            preset: None,
            channels: self.channels,
            track: self.track.clone(),
            // Read already.
            voices: None,
            options: self.options.clone(),
        }
    }

    /// Prints the text of a recording as soon as it is recognized, if somebody wants that. Returns whether
    /// that is all that is to be printed.
    fn show_live(&self, session: &Session, item: &Item, request: &TranscriptionRequest) -> bool {
        let is_final = || self.transcriber.is_text_final(request).unwrap_or(false);
        let is_text = self.formats.first() == Some(&Format::Txt);
        let is_all = self.is_watched && is_text && is_final();
        if is_all || self.prints {
            let name = (!is_all).then(|| item.relative.clone());
            session.set_listener(Arc::new(LiveText::new(&self.progress, name)));
        }
        is_all
    }

    /// Counts a transcription; returns the text for standard output.
    fn succeed(&self, item: &Item, transcription: &Transcription) -> Option<Vec<u8>> {
        let transcript = &transcription.transcript;
        for edited in &transcription.kept {
            let edited = shown(edited);
            self.progress.note(&format!("kept: {edited} was edited: --overwrite replaces it"));
        }
        let mut summary = self.summary();
        summary.kept += transcription.kept.len() as u64;
        if transcription.completed == Completed::UpToDate {
            summary.skipped += 1;
            return None;
        }
        summary.done += 1;
        summary.audio_seconds += transcript.source.duration;
        summary.cpu_seconds += transcript.processing.cpu_seconds;
        let is_silent = transcript.segments.is_empty();
        summary.without_speech += u64::from(is_silent);
        drop(summary);
        if is_silent {
            self.progress.note(&format!("no speech found: {}", self.name_of(item)));
        }
        for warning in &transcript.source.warnings {
            let source = self.name_of(item);
            self.progress.note(&format!("warning: {source}: {warning}"));
        }
        let format = *self.formats.first()?;
        self.naming.is_none().then(|| {
            let title = self.labelled.then(|| self.name_of(item));
            let rendering = &self.rendering;
            let mut text = documents::render(transcript, format, rendering, title.as_deref());
            if !format.is_text() {
                return text;
            }
            text.truncate(text.trim_ascii_end().len());
            text.push(b'\n');
            text
        })
    }

    /// Returns what a recording is called on the screen.
    fn name_of(&self, item: &Item) -> String {
        if self.input.is_stdin(&item.source) {
            return "standard input".to_owned();
        }
        shown(&item.source.to_string())
    }

    fn fail(&self, failure: Failure) {
        // The summary of a single recording says it.
        if self.labelled {
            self.progress.say(&format!(
                "failed: {}: {}: {}",
                shown(&failure.source),
                failure.code,
                message(&failure)
            ));
        }
        self.summary().failures.add(failure);
    }

    fn summary(&self) -> MutexGuard<'_, Summary> {
        self.summary.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn show(&self, text: Option<Vec<u8>>) -> anyhow::Result<()> {
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
        self.progress.close();
        let is_bad = summary.is_bad();
        for line in summary.to_string().lines() {
            if is_bad { self.progress.say(line) } else { self.progress.note(line) }
        }
        if json {
            print_json(&*summary)?;
        }
        Ok(match &*summary {
            Summary { interrupted: true, .. } => exit::INTERRUPTED,
            // Nothing found is a failure, too: the prefix may be mistyped.
            Summary { done: 0, skipped: 0, .. } => exit::FAILURE,
            summary if summary.failures.total() == 0 => exit::SUCCESS,
            _ => exit::FAILURE,
        })
    }
}
