//! Plans a job: what to do, and whether it is done already.

use std::sync::Arc;

use bytes::Bytes;
use job::{Failure, FailureCode, Job};
use location::Location;
use speech::pipeline::{self, Pipeline};
use store::{ObjectMeta, Store};

use super::{
    other_name,
    output::{ExistingOutput, Output, Wanted},
};
use crate::{
    Transcriber, TranscriptionRequest, convert,
    failure::{audio_failure, failure, failure_of, output_failure, source_failure},
    voices,
};

/// Bytes of a recording that are read with its description: all of a short one.
const START_BYTES: u64 = 1 << 20;

/// A request that is possible, with everything that was found out about it.
pub(crate) struct Plan {
    pub(crate) pipeline: Arc<Pipeline>,
    pub(crate) options: pipeline::TranscribeOptions,
    pub(crate) decoding: audio::DecodeOptions,
    pub(crate) fingerprint: String,
    /// The fingerprint if another program decodes the recording, which turns out when it is opened.
    pub(crate) fallback_fingerprint: Option<String>,
    /// URI of the recording, without what may be secret in a URL.
    pub(crate) uri: String,
    pub(crate) source: Arc<dyn Store>,
    pub(crate) meta: ObjectMeta,
    /// First bytes of the recording; none if a transcript of it may exist.
    pub(crate) start: Bytes,
    /// Destination of the transcript and what exists there; `None`: the transcript is not written.
    pub(crate) output: Option<(Output, ExistingOutput)>,
}

impl TranscriptionRequest {
    /// Returns the request of a job.
    pub(crate) fn from_job(job: &Job) -> Result<Self, Failure> {
        let location = |uri: &str| -> Result<Location, Failure> {
            let parsed = uri.parse::<Location>();
            parsed.map_err(|error| output_failure(&error.into(), &job.source))
        };
        Ok(Self {
            output: Some(location(&job.output)?),
            source: location(job.source.reveal())?,
            uri: None,
            formats: job.options.formats.clone(),
            language_suffix: job.options.language_suffix,
            preset: job.options.model.clone(),
            channels: job.options.channels.map(convert::channel_mode),
            track: convert::track(&job.options)
                .map_err(|message| failure(FailureCode::JobInvalid, &job.source, message))?,
            voices: match &job.options.speakers {
                Some(job::Speakers { voices: Some(voices), .. }) => Some(location(voices)?),
                _ => None,
            },
            options: convert::pipeline_options(&job.options),
        })
    }
}

impl Transcriber {
    /// Plans a request: chooses the pipeline, looks for an existing transcript unless there is none
    /// (`fresh`), checks options and size.
    pub(crate) async fn plan(
        &self,
        request: &TranscriptionRequest,
        fresh: bool,
    ) -> Result<Plan, Failure> {
        let uri = request.uri();
        let pipeline = self
            .presets
            .find(request.preset.as_deref())
            .map_err(|message| failure(FailureCode::ModelUnavailable, &uri, message))?;
        let mut options = request.options.clone();
        if let (Some(location), Some(speakers)) = (&request.voices, &mut options.speakers) {
            let read = voices::read_for(&pipeline, &self.stores, location).await;
            speakers.voices = Some(Arc::new(read.map_err(|error| error.failure(location, &uri))?));
        }
        pipeline.check(&options).map_err(|error| failure_of(&error, &uri))?;
        let decoding = audio::DecodeOptions {
            channels: request.channels.unwrap_or(self.decoding.channels),
            track: request.track.clone().or_else(|| self.decoding.track.clone()),
            ..self.decoding.clone()
        };
        let fingerprint = pipeline.fingerprint(&decoding, &options);
        let program = decoding.fallback.identity();
        let fallback_fingerprint =
            program.map(|program| pipeline.fingerprint_with(&program, &decoding, &options));

        let opened = self.stores.open(&request.source);
        let (source, key) = opened.map_err(|error| source_failure(&error, &uri))?;
        let found = match &request.output {
            None => None,
            Some(location) => Some(self.find(location, request, fresh).await?),
        };
        // What is to be transcribed is read anyway; what may be up to date is not.
        let may_be_made = !matches!(found, None | Some((_, Found::Nothing)));
        let begun = match may_be_made {
            false => source.begin(&key, START_BYTES).await,
            true => source.head(&key).await.map(|meta| (meta, Bytes::new())),
        };
        let (mut meta, mut start) = begun.map_err(|error| source_failure(&error, &uri))?;
        check_size(&meta, self.decoding.limits.max_bytes, &uri)?;

        let wanted = Wanted {
            fingerprint: &fingerprint,
            fallback_fingerprint: fallback_fingerprint.as_deref(),
            etag: &meta.etag,
            source: &*source,
        };
        let output = match found {
            None => None,
            Some((output, found)) => {
                let existing = found.existing(&output, &wanted).await?;
                Some((output, existing))
            }
        };
        let is_made = |(_, existing): &(Output, ExistingOutput)| {
            matches!(existing, ExistingOutput::UpToDate(..) | ExistingOutput::UnderOtherName(_))
        };
        if may_be_made && !output.as_ref().is_some_and(is_made) {
            // What cannot be read in parts is fetched here, where it can be interrupted.
            let begun = source.begin(&key, START_BYTES).await;
            (meta, start) = begun.map_err(|error| source_failure(&error, &uri))?;
            check_size(&meta, self.decoding.limits.max_bytes, &uri)?;
        }
        Ok(Plan {
            pipeline,
            options,
            decoding,
            fingerprint,
            fallback_fingerprint,
            uri,
            source,
            meta,
            start,
            output,
        })
    }

    /// Looks for a transcript at `location`, and, if there is none, under its other name; for none if there
    /// is none (`fresh`).
    async fn find(
        &self,
        location: &Location,
        request: &TranscriptionRequest,
        fresh: bool,
    ) -> Result<(Output, Found), Failure> {
        let mut output = self.output(location, request)?;
        if !fresh && let Some(meta) = output.find().await? {
            return Ok((output, Found::Here(meta)));
        }
        output.guarded = !self.overwrite && other_name::is_stem(location, &request.source);
        let other = other_name::of(location, &request.source).filter(|_| !fresh);
        let Some(other) = other else { return Ok((output, Found::Nothing)) };
        let other = self.output(&other, request)?;
        // What else lies there, and whether it can be read, is not this recording's concern.
        let found = match other.find().await {
            Ok(Some(meta)) => Found::UnderOtherName(Box::new(other), meta),
            Ok(None) | Err(_) => Found::Nothing,
        };
        Ok((output, found))
    }

    pub(crate) fn output(
        &self,
        location: &Location,
        request: &TranscriptionRequest,
    ) -> Result<Output, Failure> {
        let uri = request.uri();
        let opened = self.stores.open(location);
        let (store, base) = opened.map_err(|error| output_failure(&error, &uri))?;
        let language_suffix = request.language_suffix.unwrap_or(self.language_suffix);
        let location = location.clone();
        let (guarded, overwrite) = (false, self.overwrite);
        let rendering = self.rendering.clone();
        Ok(Output { location, store, base, uri, language_suffix, guarded, overwrite, rendering })
    }
}

/// What lies in the places of a transcript.
enum Found {
    Nothing,
    Here(ObjectMeta),
    /// Nothing where it is wanted, but something under its other name.
    UnderOtherName(Box<Output>, ObjectMeta),
}

impl Found {
    /// Finds out what it is, for the transcript that is wanted at `output`.
    async fn existing(
        self,
        output: &Output,
        wanted: &Wanted<'_>,
    ) -> Result<ExistingOutput, Failure> {
        match self {
            Self::Nothing => Ok(ExistingOutput::Nothing),
            Self::Here(meta) => output.existing(meta, wanted).await,
            Self::UnderOtherName(other, meta) => Ok(match other.existing(meta, wanted).await {
                Ok(ExistingOutput::UpToDate(transcript, _)) => {
                    ExistingOutput::UnderOtherName(transcript)
                }
                _ => ExistingOutput::Nothing,
            }),
        }
    }
}

fn check_size(meta: &ObjectMeta, max_bytes: u64, uri: &str) -> Result<(), Failure> {
    if meta.size == 0 {
        return Err(audio_failure(&audio::Error::Empty, uri));
    }
    if meta.size > max_bytes {
        let message = format!("the recording has {} bytes, the limit is {max_bytes}", meta.size);
        return Err(failure(FailureCode::SourceTooLarge, uri, message));
    }
    Ok(())
}
