//! Transcribes one recording, from store to store.

use std::{collections::BTreeSet, sync::Arc};

use job::Failure;
use location::Location;
use speech::pipeline::{self, Pipeline, Session};
use store::{Capabilities, Stores};
use tokio_util::sync::CancellationToken;
use transcript::{Format, Transcript};

use crate::{
    capabilities::CapabilityCache,
    failure::output_failure,
    job::{execute, output::ExistingOutput},
    presets::Presets,
};

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
///     preset: None,
///     channels: None,
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
    /// Name of a loaded preset, or of a recognizer that exactly one preset has; `None`: the default
    /// preset.
    pub preset: Option<String>,
    /// `None`: as the decoding options of the transcriber.
    pub channels: Option<audio::ChannelMode>,
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
        Self { stores, presets, decoding, capabilities: CapabilityCache::default() }
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
        let mut plan = self.plan(request).await?;
        let Some((output, existing)) = plan.output.take() else {
            let transcript = execute::execute(&plan, session).await?;
            return Ok(Transcription { transcript, completed: Completed::Transcribed });
        };
        if let ExistingOutput::UpToDate(transcript) = existing {
            output.update_renderings(&transcript, &request.formats).await?;
            return Ok(Transcription { transcript: *transcript, completed: Completed::UpToDate });
        }
        let transcript = execute::execute(&plan, session).await?;
        let capabilities = self
            .capabilities
            .get(&output.location, &*output.store, &output.probe_prefix())
            .await
            .map_err(|error| output_failure(&error, &plan.uri))?;
        let condition = existing.condition(capabilities);
        let completed = output.write(&transcript, &request.formats, condition).await?;
        Ok(Transcription { transcript, completed })
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
