//! Transcribes one recording, from store to store.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use job::{Failure, FailureCode, FailureKind};
use location::Location;
use speech::pipeline::{self, Pipeline, Session};
use store::{Capabilities, Stores};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use transcript::{Format, Transcript};

use crate::{
    admission::MemoryBudget,
    capabilities::CapabilityCache,
    delays,
    failure::failure,
    job::{
        Plan, RunCheckpoints, execute,
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
///     output: Some("s3://transcripts/interview.mp3".parse()?),
///     formats: BTreeSet::new(),
///     language_suffix: None,
///     preset: None,
///     channels: None,
///     track: None,
///     options: speech::pipeline::TranscribeOptions::default(),
/// };
/// let session = Arc::new(speech::pipeline::Session::default());
/// let transcription = transcriber.transcribe(&request, &session).await?;
/// println!("{}", transcription.transcript.render(transcript::Format::Txt));
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
    /// Memory for the recordings in flight.
    pub(crate) memory: Arc<MemoryBudget>,
}

/// A request to transcribe one recording.
#[derive(Debug, Clone)]
pub struct TranscriptionRequest {
    pub source: Location,
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
    pub options: pipeline::TranscribeOptions,
}

/// Result of a [`TranscriptionRequest`].
#[derive(Debug, Clone)]
pub struct Transcription {
    pub transcript: Transcript,
    pub completed: Completed,
}

/// How a request was completed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Completed {
    Transcribed,
    /// The transcript existed: of the same recording, with the same fingerprint.
    UpToDate,
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
        Self { stores, presets, decoding, capabilities, write_patience, language_suffix, memory }
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
        let transcription = self.complete(f64::INFINITY, request, false, session, None).await?;
        let source = request.source.to_string();
        transcription.ok_or_else(|| failure(FailureCode::Internal, &source, "it is endless"))
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
        self.complete(max_seconds, request, fresh, session, Some(checkpoints)).await
    }

    /// Returns whether the transcript of a request exists, as far as the stores answer.
    pub(crate) async fn is_up_to_date(&self, request: &TranscriptionRequest) -> bool {
        let plan = self.plan(request, false).instrument(plan_span()).await;
        matches!(plan, Ok(Plan { output: Some((_, ExistingOutput::UpToDate(_))), .. }))
    }

    async fn complete(
        &self,
        max_seconds: f64,
        request: &TranscriptionRequest,
        fresh: bool,
        session: &Arc<Session>,
        checkpoints: Option<&RunCheckpoints<'_>>,
    ) -> Result<Option<Transcription>, Failure> {
        let fresh = fresh && self.refuses_to_replace(request).await?;
        let plan = self.plan(request, fresh).instrument(plan_span());
        let mut plan = until_interrupted(plan, &request.source, session).await?;
        let Some((output, existing)) = plan.output.take() else {
            let Some(opened) = execute::open(&plan, max_seconds).await? else { return Ok(None) };
            let transcript = execute::execute(&plan, opened, 0, &self.memory, session).await?;
            return Ok(Some(Transcription { transcript, completed: Completed::Transcribed }));
        };
        if let ExistingOutput::UpToDate(transcript) = existing {
            output.update_renderings(&transcript, &request.formats).await?;
            let completed = Completed::UpToDate;
            return Ok(Some(Transcription { transcript: *transcript, completed }));
        }
        // Before the work: whoever cannot write here need not begin.
        let capabilities = self.capabilities_for(&output).await?;
        output.check_writable().await?;
        output.check_renderings(&request.formats).await?;
        let condition = existing.condition(capabilities);
        let (transcript, is_new) = match existing {
            ExistingOutput::UnderOtherName(transcript) => (*transcript, false),
            _ => {
                let Some(opened) = execute::open(&plan, max_seconds).await? else {
                    return Ok(None);
                };
                let checkpoint_bytes = match checkpoints {
                    Some(checkpoints) => checkpoints.begin(&plan, session).await,
                    None => 0,
                };
                let memory = &self.memory;
                let work = execute::execute(&plan, opened, checkpoint_bytes, memory, session);
                (work.await?, true)
            }
        };
        let write =
            || output.write(&transcript, &request.formats, condition.clone(), &*plan.source);
        let written =
            self.persist(write, session).instrument(tracing::debug_span!("write")).await?;
        let completed = if is_new { written } else { Completed::UpToDate };
        Ok(Some(Transcription { transcript, completed }))
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
    async fn persist<F: Future<Output = Result<Completed, Failure>>>(
        &self,
        mut write: impl FnMut() -> F,
        session: &Session,
    ) -> Result<Completed, Failure> {
        let start = Instant::now();
        let mut delays = delays(MIN_WRITE_DELAY, MAX_WRITE_DELAY);
        loop {
            let failure = match write().await {
                Ok(completed) => return Ok(completed),
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
