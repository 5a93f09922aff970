//! Completes a job: transcribes its recording, as far as it is not transcribed yet, and records that it
//! is done.

use std::sync::Arc;

use job::{Done, Failure, FailureCode, FailureKind, Job, RECORDS_VERSION};
use ledger::BatchControl;
use location::Location;
use queue::Origin;
use speech::pipeline::Session;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use transcript::Format;

use super::{
    JobRunner,
    checkpoint::RunCheckpoints,
    journal::{Amount, TaskJournal},
    runner::{Place, Stop},
    settle::unrecorded,
};
use crate::{
    Completed, Transcription, TranscriptionRequest,
    config::class_of,
    events::DoneEvent,
    failure::{failure, output_failure},
    interruptible, now,
    registry::Run,
};

impl JobRunner {
    /// Transcribes the job's recording and records that the job is done. Returns how. `interrupt` ends the
    /// run.
    pub(super) async fn complete(
        &self,
        job: &Job,
        run: &Run,
        place: Place,
        interrupt: &CancellationToken,
    ) -> Result<Box<DoneEvent>, Stop> {
        let request = TranscriptionRequest::from_job(job)?;
        let checkpoints = RunCheckpoints {
            ledger: &self.ledger,
            job,
            run,
            interval: self.checkpoint_interval,
            interrupt,
            journal: Arc::<TaskJournal>::default(),
            target: Mutex::default(),
        };
        let transcription = match self.transcribe(job, place, &request, &checkpoints).await {
            Ok(transcription) => transcription,
            Err(stop) => {
                if may_go_on(&stop) {
                    checkpoints.finish().await;
                }
                return Err(stop);
            }
        };
        for rendering in &transcription.kept {
            tracing::warn!(rendering, "it was edited and is kept (output.overwrite replaces it)");
        }
        let done = self.done(job, &transcription)?;
        let recording = self.ledger.done(job, &done, is_fresh(job, run));
        let recorded = recording.instrument(tracing::debug_span!("record")).await;
        let first = recorded.map_err(|error| unrecorded(&error, job))?;
        self.clear_checkpoints(job, run).await;
        // Of a transcript that existed, nothing was recalled, whatever this run has done before.
        let recalled = if done.up_to_date { Amount::default() } else { checkpoints.recalled() };
        let transcript = transcription.transcript;
        Ok(Box::new(DoneEvent {
            first,
            up_to_date: done.up_to_date,
            audio_seconds: done.audio_seconds,
            cpu_seconds: done.cpu_seconds,
            audio_seconds_per_core_second: transcript.processing.audio_seconds_per_core_second,
            recalled_windows: recalled.windows,
            recalled_audio_seconds: recalled.audio_seconds,
            model: transcript.pipeline.recognizer,
            stages: if done.up_to_date { Vec::new() } else { transcript.processing.stages },
            transcript: done.transcript,
        }))
    }

    /// Transcribes the job's recording. If another worker has done so meanwhile, its transcript counts.
    async fn transcribe(
        &self,
        job: &Job,
        place: Place,
        request: &TranscriptionRequest,
        checkpoints: &RunCheckpoints<'_>,
    ) -> Result<Transcription, Stop> {
        loop {
            let session = Arc::new(Session::new(class_of(place.lane)));
            let over = CancellationToken::new();
            let work = async {
                let result = self.run_to_end(job, place, request, &session, checkpoints).await;
                over.cancel();
                result
            };
            let keep = async {
                let superfluous = checkpoints.keep(&over, &self.transcriber, request).await;
                if superfluous {
                    tracing::info!("another worker has done the job: this run ends");
                    session.interrupt();
                }
                superfluous
            };
            match futures::join!(work, keep) {
                // The next round finds the transcript up to date.
                (Err(Stop::Failed(failure)), true)
                    if failure.code == FailureCode::Interrupted
                        && !checkpoints.interrupt.is_cancelled() => {}
                (result, _) => return result,
            }
        }
    }

    /// Transcribes the job's recording, unless something ends the run before.
    async fn run_to_end(
        &self,
        job: &Job,
        place: Place,
        request: &TranscriptionRequest,
        session: &Arc<Session>,
        checkpoints: &RunCheckpoints<'_>,
    ) -> Result<Transcription, Stop> {
        let max_seconds = match place.origin {
            Origin::Jobs(_) | Origin::Returned(_) => self.max_seconds,
            // One that runs alone is in nobody's way.
            Origin::Long(_)
            | Origin::Quarantine
            | Origin::Undelivered
            | Origin::Uploads
            | Origin::Watches => f64::INFINITY,
        };
        let fresh = is_fresh(job, checkpoints.run);
        let work =
            self.transcriber.transcribe_job(max_seconds, request, fresh, session, checkpoints);
        let work = interruptible(work, session, checkpoints.interrupt);
        tokio::pin!(work);
        let transcription = tokio::select! {
            transcription = &mut work => transcription?,
            message = self.budget.watch(session) => {
                // Its thread may never look at this.
                session.interrupt();
                return Err(failure(FailureCode::Internal, &job.source, message).into());
            }
            control = self.controls.stopped(job) => {
                session.interrupt();
                match work.await {
                    Err(failure) if failure.code == FailureCode::Interrupted => {
                        return Err(match control {
                            BatchControl::Cancelled => Stop::Cancelled,
                            BatchControl::Active | BatchControl::Paused => Stop::Paused,
                        });
                    }
                    // It was done, or had failed, in the meantime.
                    transcription => transcription?,
                }
            }
        };
        transcription.ok_or(Stop::Long)
    }

    fn done(&self, job: &Job, transcription: &Transcription) -> Result<Done, Failure> {
        let parsed = job.output.parse::<Location>();
        let output = parsed.map_err(|error| output_failure(&error.into(), &job.source))?;
        let up_to_date = transcription.completed == Completed::UpToDate;
        let transcript = &transcription.transcript;
        Ok(Done {
            version: RECORDS_VERSION,
            job: (job.id != job.key()).then(|| job.id.clone()),
            source: job.source.to_string(),
            transcript: format!("{output}.{}", Format::Json.extension()),
            up_to_date,
            audio_seconds: transcript.source.duration,
            cpu_seconds: if up_to_date { 0.0 } else { transcript.processing.cpu_seconds },
            worker: self.worker.clone(),
            finished_at: now(),
        })
    }
}

/// Returns whether there is nothing where the job's transcript and the record of its failure would be.
fn is_fresh(job: &Job, run: &Run) -> bool {
    job.fresh && !run.ran_before()
}

/// Returns whether somebody may go on where a run has stopped.
fn may_go_on(stop: &Stop) -> bool {
    match stop {
        Stop::Failed(failure) => failure.code.kind() != FailureKind::Permanent,
        Stop::Paused => true,
        // A long recording has not begun.
        Stop::Long | Stop::Cancelled => false,
    }
}
