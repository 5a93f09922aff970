//! The steps of one transcription, in order.

use std::{sync::Arc, time::Instant};

use transcript::Stage;

use super::{
    Error, Outcome, Pipeline, Session, TranscribeOptions, collector::Collector, finish,
    reader::Reader, speakers::Speakers, task::contained,
};

/// Transcribes one recording, which the options must fit.
pub(super) fn transcribe(
    pipeline: &Pipeline,
    decoder: audio::Decoder,
    options: &TranscribeOptions,
    session: &Arc<Session>,
) -> Result<Outcome, Error> {
    let started = Instant::now();
    let mut collector = Collector::new(pipeline, &decoder, options, session);
    let mut speakers = Speakers::new(pipeline, &decoder, options, session);
    let mut reader = Reader::new(pipeline, decoder);
    // After an error, windows may still be in the pool. They need not be waited for: they hold
    // nothing of this recording but the sender of their results.
    recognize(pipeline, &mut reader, &mut collector, speakers.as_mut(), session)?;

    let mut finished = Err(Error::Interrupted);
    pipeline.compute.run(session.owner(), &mut || {
        finished = contained(|| {
            finish::finish(pipeline, &mut collector.channels, speakers.as_ref(), options, session)
        });
    });
    let finished = finished?;

    let stage = |name: &str, seconds: f64| Stage { name: name.to_owned(), seconds };
    let mut stages = vec![
        stage("decode", reader.decode_seconds),
        stage("vad", reader.vad_seconds),
        stage("recognize", collector.recognize_seconds),
    ];
    // Inverse text normalization is too fast for a stage of its own.
    let punctuator = pipeline.punctuator(options);
    if punctuator.is_some() {
        stages.push(stage("punctuate", finished.punctuate_seconds));
    }
    if let Some(speakers) = &speakers {
        stages.push(stage("speakers", speakers.seconds + finished.speakers_seconds));
    }
    let diarizer = pipeline.diarizer(options);
    let mut report = reader.decoder().report().clone();
    // Like the warnings of the decoder, of one audio track.
    report.warnings.extend(collector.foreign_speech());
    Ok(Outcome {
        segments: finished.segments,
        turns: finished.turns,
        voices: finished.voices,
        info: reader.decoder().info().clone(),
        report,
        warnings: pipeline.warnings(options),
        punctuation: punctuator.map(|model| model.name().to_owned()),
        speakers: diarizer.map(|diarizer| diarizer.name().to_owned()),
        speaker_segmentation: diarizer
            .and_then(|diarizer| diarizer.segmentation_name())
            .map(str::to_owned),
        stages,
        wall_seconds: started.elapsed().as_secs_f64(),
    })
}

/// Reads the recording block by block, and has its windows recognized and its speakers found, a bounded number
/// of tasks at a time.
fn recognize(
    pipeline: &Pipeline,
    reader: &mut Reader,
    collector: &mut Collector<'_>,
    mut speakers: Option<&mut Speakers<'_>>,
    session: &Session,
) -> Result<(), Error> {
    loop {
        session.check()?;
        let mut windows = Vec::new();
        let mut more = Ok(true);
        pipeline.compute.run(session.owner(), &mut || more = reader.advance(&mut windows));
        let more = more?;
        if let Some(speakers) = &mut speakers {
            if more {
                speakers.push(reader.samples())?;
            }
            for (channel, window) in &windows {
                speakers.push_speech(*channel, window)?;
            }
        }
        for (channel, window) in windows {
            collector.submit(channel, window)?;
        }
        session.report(collector.progress(reader.decoder().report()));
        if !more {
            break;
        }
    }
    while collector.receive_next()? {
        session.report(collector.progress(reader.decoder().report()));
    }
    if let Some(speakers) = speakers {
        speakers.finish()?;
    }
    Ok(())
}
