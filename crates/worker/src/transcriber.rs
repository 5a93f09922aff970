//! Transcribes one recording, from store to store.

use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::Duration,
};

use job::{Failure, FailureCode, FailureKind};
use location::Location;
use speech::{
    pipeline::{self, Pipeline, Session},
    speakers::voices::VoicePrints,
};
use store::{Capabilities, Condition, Stores};
use tokio::{sync::Mutex, time::Instant};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use transcript::{Format, RenderOptions, Transcript};

use crate::{
    admission::MemoryBudget,
    capabilities::CapabilityCache,
    delays,
    failure::failure,
    job::{
        Plan, RunCheckpoints, Unfinished, UnfinishedRecording, execute,
        output::{ExistingOutput, Output},
    },
    presets::Presets,
};

const WRITE_PATIENCE: Duration = Duration::from_secs(900);
const MIN_WRITE_DELAY: Duration = Duration::from_secs(1);
const MAX_WRITE_DELAY: Duration = Duration::from_secs(30);
/// How often a wait looks whether it is interrupted.
const INTERRUPTION_CHECK: Duration = Duration::from_millis(250);

/// Transcribes recordings: reads one, runs the pipeline, writes the transcript. All jobs in flight
/// share it.
///
/// ```no_run
/// # async fn example(pipeline: speech::pipeline::Pipeline, limits: audio::DecodeOptions)
/// # -> Result<(), Box<dyn std::error::Error>> {
/// use std::{collections::BTreeSet, sync::Arc};
///
/// let stores = Arc::new(store::Stores::new(store::StoreConfig::default())?);
/// let pipelines = vec![("whisper-tiny.en".to_owned(), pipeline)];
/// let transcriber = worker::Transcriber::new(stores, pipelines, limits);
/// let request = worker::TranscriptionRequest {
///     source: "s3://archive/interview.mp3".parse()?,
///     uri: None,
///     output: Some("s3://transcripts/interview.mp3".parse()?),
///     formats: BTreeSet::new(),
///     language_suffix: None,
///     preset: None,
///     channels: None,
///     track: None,
///     voices: None,
///     options: speech::pipeline::TranscribeOptions::default(),
/// };
/// let session = Arc::new(speech::pipeline::Session::default());
/// let transcription = transcriber.transcribe(&request, &session).await?;
/// println!("{}", transcription.transcript.text);
/// # Ok(())
/// # }
/// ```
pub struct Transcriber {
    pub(crate) stores: Arc<Stores>,
    pub(crate) presets: Presets,
    /// Decoding options and limits, for requests that do not set their own.
    pub(crate) decoding: audio::DecodeOptions,
    capabilities: CapabilityCache,
    /// How long a finished transcript waits for its store.
    write_patience: Duration,
    /// Whether the names of subtitles carry the language, unless a request says otherwise.
    pub(crate) language_suffix: bool,
    /// Whether renderings that somebody has edited are replaced.
    pub(crate) overwrite: bool,
    pub(crate) rendering: RenderOptions,
    /// Memory for the recordings in flight.
    pub(crate) memory: Arc<MemoryBudget>,
    /// Where transcriptions without a queue keep what they have computed.
    unfinished: Option<Unfinished>,
}

/// Where a transcription writes the results of its windows, so that it can be resumed.
enum Checkpointing<'a> {
    Off,
    Job(&'a RunCheckpoints<'a>),
    /// With the file of the recording, once it is begun.
    Local(&'a Unfinished, &'a OnceLock<Arc<UnfinishedRecording>>),
}

/// A request to transcribe one recording.
#[derive(Debug, Clone)]
pub struct TranscriptionRequest {
    pub source: Location,
    /// URI of the recording in its transcript and in failures; `None`: that of `source`.
    pub uri: Option<String>,
    /// Location of the transcript without the format's extension; `None`: the transcript is not
    /// written.
    pub output: Option<Location>,
    /// Formats to write in addition to the JSON, which is always written.
    pub formats: BTreeSet<Format>,
    /// Whether the names of subtitles carry the language of the transcript; `None`: as set for the
    /// transcriber.
    pub language_suffix: Option<bool>,
    /// Name of a loaded preset, or of a recognizer that exactly one preset has; `None`: the default
    /// preset.
    pub preset: Option<String>,
    /// `None`: as the decoding options of the transcriber.
    pub channels: Option<audio::ChannelMode>,
    /// `None`: as the decoding options of the transcriber.
    pub track: Option<audio::TrackChoice>,
    /// Voice prints to read for `options.speakers`, in place of those that are there.
    pub voices: Option<Location>,
    pub options: pipeline::TranscribeOptions,
}

/// Result of a [`TranscriptionRequest`].
#[derive(Debug, Clone)]
pub struct Transcription {
    pub transcript: Transcript,
    pub completed: Completed,
    /// URIs of the renderings that somebody has edited: they are as they were.
    pub kept: Vec<String>,
}

/// How a request was completed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Completed {
    Transcribed,
    /// The transcript existed: of the same recording, with the same fingerprint.
    UpToDate,
}

impl TranscriptionRequest {
    /// Returns the URI of the recording, as transcripts and failures name it.
    pub(crate) fn uri(&self) -> String {
        self.uri.clone().unwrap_or_else(|| self.source.to_string())
    }
}

impl Transcriber {
    /// `pipelines` by the name of their preset; the first is the default. `decoding` also sets the
    /// limits on recordings.
    pub fn new(
        stores: Arc<Stores>,
        pipelines: Vec<(String, Pipeline)>,
        decoding: audio::DecodeOptions,
    ) -> Self {
        let presets = Presets::new(pipelines);
        let (capabilities, write_patience) = (CapabilityCache::default(), WRITE_PATIENCE);
        let (language_suffix, memory) = (false, Arc::new(MemoryBudget::new(u64::MAX)));
        Self {
            stores,
            presets,
            decoding,
            capabilities,
            write_patience,
            language_suffix,
            overwrite: false,
            rendering: RenderOptions::default(),
            memory,
            unfinished: None,
        }
    }

    /// Keeps what [`Self::transcribe`] has computed in files of this folder, until the transcription is
    /// done: after an interruption, the next one goes on from there. Nothing is kept by default.
    #[must_use]
    pub fn with_unfinished(self, folder: PathBuf) -> Self {
        Self { unfinished: Some(Unfinished::new(folder)), ..self }
    }

    /// Sets how long a finished transcript waits for its store: 15 minutes by default.
    #[must_use]
    pub fn with_write_patience(self, write_patience: Duration) -> Self {
        Self { write_patience, ..self }
    }

    /// Sets whether the names of subtitles carry the language of the transcript, unless a request says
    /// otherwise: they do not by default.
    #[must_use]
    pub fn with_language_suffix(self, language_suffix: bool) -> Self {
        Self { language_suffix, ..self }
    }

    /// Sets whether renderings that somebody has edited are replaced: they are kept by default.
    #[must_use]
    pub fn with_overwrite(self, overwrite: bool) -> Self {
        Self { overwrite, ..self }
    }

    /// Sets how transcripts are rendered.
    #[must_use]
    pub fn with_rendering(self, rendering: RenderOptions) -> Self {
        Self { rendering, ..self }
    }

    /// Sets how many bytes the process may have for another recording to be begun: without limit by
    /// default.
    #[must_use]
    pub(crate) fn with_high_water(self, bytes: u64) -> Self {
        Self { memory: Arc::new(MemoryBudget::new(bytes)), ..self }
    }

    /// Recognizes noise on all cores with each model, so that the first recording finds them ready.
    pub fn warm_up(&self) {
        self.presets.pipelines().for_each(Pipeline::warm_up);
    }

    /// Returns whether the text of a request's segments is final as soon as they are recognized: neither
    /// punctuation nor digits nor speakers are added at the end.
    ///
    /// # Errors
    /// Says which preset is missing.
    pub fn is_text_final(&self, request: &TranscriptionRequest) -> Result<bool, String> {
        let pipeline = self.presets.find(request.preset.as_deref())?;
        Ok(pipeline.is_text_final(&request.options))
    }

    /// Checks that the speaker model of a preset, if it has one, has made these voice prints. `None`: the
    /// default preset.
    ///
    /// # Errors
    /// Says which preset is missing, or which model has made the prints.
    pub fn check_voices(&self, preset: Option<&str>, voices: &VoicePrints) -> Result<(), String> {
        let pipeline = self.presets.find(preset)?;
        pipeline.check_voices(voices).map_err(|error| error.to_string())
    }

    pub fn stores(&self) -> &Arc<Stores> {
        &self.stores
    }

    /// Completes one request: plans it, executes the plan unless the transcript is up to date, and
    /// writes the transcript.
    ///
    /// # Errors
    /// A [`Failure`] of this recording; other recordings are not affected.
    pub async fn transcribe(
        &self,
        request: &TranscriptionRequest,
        session: &Arc<Session>,
    ) -> Result<Transcription, Failure> {
        let recording = OnceLock::new();
        let checkpointing = match &self.unfinished {
            Some(unfinished) => Checkpointing::Local(unfinished, &recording),
            None => Checkpointing::Off,
        };
        let completed = self.complete(f64::INFINITY, request, false, session, &checkpointing).await;
        if let Some(recording) = recording.into_inner() {
            let may_go_on = |failure: &Failure| failure.code.kind() != FailureKind::Permanent;
            recording.end(completed.as_ref().is_err_and(may_go_on));
        }
        let source = request.uri();
        completed?.ok_or_else(|| failure(FailureCode::Internal, &source, "it is endless"))
    }

    /// Completes the request of a job as [`Self::transcribe`] does, with what its earlier runs have
    /// computed, if its recording has at most `max_seconds` or the transcript exists; else returns `None`.
    /// `fresh`: the job's submitter has found no transcript.
    ///
    /// # Errors
    /// A [`Failure`] of this recording; other recordings are not affected.
    pub(crate) async fn transcribe_job(
        &self,
        max_seconds: f64,
        request: &TranscriptionRequest,
        fresh: bool,
        session: &Arc<Session>,
        checkpoints: &RunCheckpoints<'_>,
    ) -> Result<Option<Transcription>, Failure> {
        self.complete(max_seconds, request, fresh, session, &Checkpointing::Job(checkpoints)).await
    }

    /// Returns whether the transcript of a request exists, as far as the stores answer.
    pub(crate) async fn is_up_to_date(&self, request: &TranscriptionRequest) -> bool {
        let plan = self.plan(request, false).instrument(plan_span()).await;
        matches!(plan, Ok(Plan { output: Some((_, ExistingOutput::UpToDate(..))), .. }))
    }

    async fn complete(
        &self,
        max_seconds: f64,
        request: &TranscriptionRequest,
        fresh: bool,
        session: &Arc<Session>,
        checkpointing: &Checkpointing<'_>,
    ) -> Result<Option<Transcription>, Failure> {
        let fresh = fresh && self.refuses_to_replace(request).await?;
        let plan = self.plan(request, fresh).instrument(plan_span());
        let mut plan = until_interrupted(plan, &request.source, session).await?;
        let Some((output, existing)) = plan.output.take() else {
            let transcript = self.execute(&plan, max_seconds, session, checkpointing).await?;
            let completed = Completed::Transcribed;
            let done = |transcript| Transcription { transcript, completed, kept: Vec::new() };
            return Ok(transcript.map(done));
        };
        if let ExistingOutput::UpToDate(transcript, etag) = existing {
            let mut transcript = *transcript;
            let noted = transcript.renderings.clone();
            let kept = output.update_renderings(&mut transcript, &request.formats).await?;
            if transcript.renderings != noted {
                let capabilities = self.capabilities_for(&output).await?;
                let if_match = capabilities.if_match.then_some(Condition::IfMatch(etag));
                output.rewrite_json(&transcript, if_match.unwrap_or(Condition::Always)).await?;
            }
            return Ok(Some(Transcription { transcript, completed: Completed::UpToDate, kept }));
        }
        // Before the work: whoever cannot write here need not begin.
        let capabilities = self.capabilities_for(&output).await?;
        output.check_writable().await?;
        output.check_renderings(&request.formats).await?;
        let condition = existing.condition(capabilities);
        let replaces = !matches!(existing, ExistingOutput::Nothing);
        let (transcript, is_new) = match existing {
            ExistingOutput::UnderOtherName(transcript) => (*transcript, false),
            _ => match self.execute(&plan, max_seconds, session, checkpointing).await? {
                Some(transcript) => (transcript, true),
                None => return Ok(None),
            },
        };
        let transcript = Mutex::new(transcript);
        let write = || async {
            let mut transcript = transcript.lock().await;
            let (formats, condition) = (&request.formats, condition.clone());
            output.write(&mut transcript, formats, replaces, condition, &*plan.source).await
        };
        let (written, kept) =
            self.persist(write, session).instrument(tracing::debug_span!("write")).await?;
        let completed = if is_new { written } else { Completed::UpToDate };
        Ok(Some(Transcription { transcript: transcript.into_inner(), completed, kept }))
    }

    /// Transcribes the recording of a plan, with what was computed before; returns `None` if it is too long.
    async fn execute(
        &self,
        plan: &Plan,
        max_seconds: f64,
        session: &Arc<Session>,
        checkpointing: &Checkpointing<'_>,
    ) -> Result<Option<Transcript>, Failure> {
        let Some(opened) = execute::open(plan, max_seconds).await? else { return Ok(None) };
        let bytes = match checkpointing {
            Checkpointing::Off => 0,
            Checkpointing::Job(checkpoints) => checkpoints.begin(plan, session).await,
            Checkpointing::Local(unfinished, begun) => {
                let (recording, bytes) = unfinished.begin(plan, session);
                let _ = begun.set(recording);
                bytes
            }
        };
        execute::execute(plan, opened, bytes, &self.memory, session).await.map(Some)
    }

    /// Returns whether the store of the output refuses a write that would replace something unseen.
    async fn refuses_to_replace(&self, request: &TranscriptionRequest) -> Result<bool, Failure> {
        let Some(location) = &request.output else { return Ok(false) };
        Ok(self.capabilities_for(&self.output(location, request)?).await?.if_absent)
    }

    /// Returns which conditions the store of an output honours; asks it the first time.
    async fn capabilities_for(&self, output: &Output) -> Result<Capabilities, Failure> {
        let prefix = output.probe_prefix();
        let capabilities = self.capabilities.get(&output.location, &*output.store, &prefix);
        capabilities.await.map_err(|error| output.failed(&error))
    }

    /// Writes a finished transcript, again and again while its store does not answer: it may have cost
    /// hours. Gives up when the session is interrupted, or the patience is over.
    async fn persist<T, F: Future<Output = Result<T, Failure>>>(
        &self,
        mut write: impl FnMut() -> F,
        session: &Session,
    ) -> Result<T, Failure> {
        let start = Instant::now();
        let mut delays = delays(MIN_WRITE_DELAY, MAX_WRITE_DELAY);
        loop {
            let failure = match write().await {
                Ok(written) => return Ok(written),
                Err(failure) => failure,
            };
            let kind = failure.code.kind();
            let may_pass = matches!(kind, FailureKind::Dependency | FailureKind::Worker);
            if !may_pass || session.is_interrupted() || start.elapsed() >= self.write_patience {
                return Err(failure);
            }
            let delay = delays.next().unwrap_or(MAX_WRITE_DELAY);
            tracing::warn!(%failure, ?delay, "the transcript is finished and cannot be written, trying again");
            let deadline = Instant::now() + delay;
            while Instant::now() < deadline && !session.is_interrupted() {
                tokio::time::sleep(INTERRUPTION_CHECK.min(delay)).await;
            }
        }
    }

    /// Probes which conditional writes the store of `location` honours, before the first job needs
    /// to know.
    ///
    /// # Errors
    /// The error of the store, which may be transient.
    pub async fn probe(&self, location: &Location) -> Result<Capabilities, store::Error> {
        let (store, key) = self.stores.open(location)?;
        self.capabilities.probe(location, &*store, &key).await
    }
}

/// Waits for `work`, which only reads, unless the session is interrupted meanwhile: a recording may be fetched
/// for minutes.
async fn until_interrupted<T>(
    work: impl Future<Output = Result<T, Failure>>,
    source: &Location,
    session: &Session,
) -> Result<T, Failure> {
    tokio::pin!(work);
    loop {
        tokio::select! {
            result = &mut work => return result,
            () = tokio::time::sleep(INTERRUPTION_CHECK) => {
                if session.is_interrupted() {
                    return Err(failure(FailureCode::Interrupted, source, "interrupted"));
                }
            }
        }
    }
}

/// Returns the span of planning. It is finer than the span of the job, whose fields the log's lines have.
fn plan_span() -> tracing::Span {
    tracing::debug_span!("plan")
}

/// Runs `work`, a transcription with this `session`, and interrupts it once `interrupt` is
/// cancelled.
pub async fn interruptible<T>(
    work: impl Future<Output = T>,
    session: &Session,
    interrupt: &CancellationToken,
) -> T {
    tokio::pin!(work);
    tokio::select! {
        result = &mut work => result,
        () = interrupt.cancelled() => {
            session.interrupt();
            work.await
        }
    }
}
