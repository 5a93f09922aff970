//! Executes a plan: decodes the recording and runs the pipeline.

use std::sync::Arc;

use audio::{DecodeOptions, TrackChoice};
use job::{Failure, FailureCode};
use speech::pipeline::{self, Outcome, Session};
use store::{ReadAhead, Reader};
use tokio::runtime::Handle;
use tracing::{Instrument, field::Empty};
use transcript::{Processing, Source, Speech, Transcript};

use super::{Plan, all_tracks};
use crate::{
    admission::MemoryBudget,
    failure::{caused, failure_of},
    now,
    recording::SeekableObject,
};

/// Bytes read ahead, in two buffers: minutes of compressed speech, and little memory per job in
/// flight.
const READ_AHEAD: u64 = 2 << 20;

/// Bytes per second of recordings that do not declare their duration: that of speech in MP3 or AAC.
const ASSUMED_BYTES_PER_SECOND: f64 = 8000.0;

/// A recording that was opened.
pub(crate) enum Opened {
    Track(Box<audio::Decoder>),
    /// All tracks, which are opened one by one.
    AllTracks,
}

/// Opens the recording of the plan. Returns `None` if it has more than `max_seconds`, as far as its
/// beginning says.
pub(crate) async fn open(plan: &Plan, max_seconds: f64) -> Result<Option<Opened>, Failure> {
    let (open, track, size) = (opener(plan), plan.decoding.track.clone(), plan.meta.size);
    let is_too_long = move |decoder: &audio::Decoder| {
        let declared = decoder.info().declared_duration;
        declared.unwrap_or(size as f64 / ASSUMED_BYTES_PER_SECOND) > max_seconds
    };
    blocking(plan, move || match track {
        Some(TrackChoice::All) => {
            let is_too_long = max_seconds.is_finite() && is_too_long(&open(None)?);
            Ok((!is_too_long).then_some(Opened::AllTracks))
        }
        track => {
            let decoder = open(track)?;
            Ok((!is_too_long(&decoder)).then(|| Opened::Track(Box::new(decoder))))
        }
    })
    .await
}

/// Transcribes the recording of the plan. `checkpoint_bytes`: what its journal holds.
pub(crate) async fn execute(
    plan: &Plan,
    opened: Opened,
    checkpoint_bytes: u64,
    memory: &Arc<MemoryBudget>,
    session: &Arc<Session>,
) -> Result<Transcript, Failure> {
    let (pipeline, session) = (Arc::clone(&plan.pipeline), Arc::clone(session));
    let (open, options) = (opener(plan), plan.options.clone());
    let memory = Arc::clone(memory);
    let span = tracing::debug_span!(
        "transcribe",
        decode_seconds = Empty,
        vad_seconds = Empty,
        recognize_seconds = Empty,
        punctuate_seconds = Empty,
        speakers_seconds = Empty,
    );
    let work = blocking(plan, move || {
        let transcribe = |decoder| {
            let estimate = pipeline.memory_estimate(&decoder, &options);
            let bytes = 2 * READ_AHEAD + checkpoint_bytes + estimate;
            session.set_waiting(true);
            let reservation = memory.reserve(bytes, || session.is_interrupted());
            session.set_waiting(false);
            let _reservation = reservation.ok_or(pipeline::Error::Interrupted)?;
            pipeline.transcribe(decoder, &options, &session)
        };
        match opened {
            Opened::Track(decoder) => transcribe(*decoder),
            Opened::AllTracks => all_tracks::transcribe(|track| open(Some(track)), transcribe),
        }
    });
    let outcome = work.instrument(span.clone()).await?;
    for stage in &outcome.stages {
        span.record(format!("{}_seconds", stage.name).as_str(), stage.seconds);
    }
    Ok(transcript(plan, outcome))
}

/// Runs `work` on a thread that may block.
async fn blocking<T: Send + 'static>(
    plan: &Plan,
    work: impl FnOnce() -> Result<T, pipeline::Error> + Send + 'static,
) -> Result<T, Failure> {
    let span = tracing::Span::current();
    let work = tokio::task::spawn_blocking(move || {
        let _entered = span.enter();
        work()
    });
    match work.await {
        Ok(Ok(result)) => Ok(result),
        Ok(Err(error)) => Err(failure_of(&error, &plan.uri)),
        Err(panic) => Err(caused(FailureCode::Internal, &plan.uri, &panic)),
    }
}

/// Returns what opens a track of the recording.
fn opener(
    plan: &Plan,
) -> impl Fn(Option<TrackChoice>) -> Result<audio::Decoder, audio::Error> + use<> {
    let decoding = plan.decoding.clone();
    let read_ahead = ReadAhead { max_bytes: READ_AHEAD, ..ReadAhead::default() };
    let (source, meta, runtime) = (Arc::clone(&plan.source), plan.meta.clone(), Handle::current());
    let start = plan.start.clone();
    move |track| {
        let (source, meta, runtime) = (Arc::clone(&source), meta.clone(), runtime.clone());
        let reader = Reader::with_read_ahead(source, meta, runtime, read_ahead);
        let reader = reader.with_start(start.clone());
        let decoding = DecodeOptions { track, ..decoding.clone() };
        audio::Decoder::open(Box::new(SeekableObject(reader)), &decoding)
    }
}

/// Builds the transcript from the outcome and the plan.
fn transcript(plan: &Plan, outcome: Outcome) -> Transcript {
    let recognizer = plan.pipeline.recognizer();
    let cpu_seconds = outcome.stages.iter().map(|stage| stage.seconds).sum::<f64>();
    let duration = outcome.report.duration;
    let fallback = plan.fallback_fingerprint.as_ref().filter(|_| outcome.info.decoder.is_some());
    let fingerprint = fallback.unwrap_or(&plan.fingerprint).clone();
    Transcript::new(
        Source {
            uri: plan.uri.clone(),
            size: plan.meta.size,
            etag: plan.meta.etag.clone(),
            duration,
            channels: u32::try_from(outcome.info.channels).unwrap_or(u32::MAX),
            sample_rate: outcome.info.sample_rate,
            container: outcome.info.container,
            codec: outcome.info.codec,
            decoder: outcome.info.decoder,
            warnings: [outcome.report.warnings, outcome.warnings].concat(),
        },
        transcript::Pipeline {
            version: concat!("scriptorium ", env!("CARGO_PKG_VERSION")).to_owned(),
            recognizer: recognizer.name.clone(),
            vad: plan.pipeline.vad_name().to_owned(),
            punctuation: outcome.punctuation,
            speakers: outcome.speakers,
            speaker_segmentation: outcome.speaker_segmentation,
            precision: recognizer.precision.to_owned(),
            fingerprint,
        },
        Speech { segments: outcome.segments, turns: outcome.turns, voices: outcome.voices },
        Processing {
            finished_at: now(),
            wall_seconds: outcome.wall_seconds,
            cpu_seconds,
            audio_seconds_per_core_second: if cpu_seconds > 0.0 {
                duration / cpu_seconds
            } else {
                0.0
            },
            stages: outcome.stages,
        },
    )
}
