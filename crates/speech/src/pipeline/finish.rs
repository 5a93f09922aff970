//! Last step, once all words of a recording are known: punctuation, digits and speakers.

use transcript::{KnownVoice, Segment};

use super::{
    Error, Pipeline, Session, TranscribeOptions, attribution::attribute, collector::ChannelResult,
    sentences::SentenceBuilder, speakers::Speakers,
};
use crate::compute::thread_cpu_seconds;

/// Segments of a transcript.
pub(super) struct Finished {
    /// In order of start. The speakers of each channel have numbers of their own.
    pub(super) segments: Vec<Segment>,
    /// In order of start.
    pub(super) turns: Vec<transcript::Turn>,
    pub(super) voices: Vec<KnownVoice>,
    /// CPU seconds.
    pub(super) punctuate_seconds: f64,
    pub(super) speakers_seconds: f64,
}

/// Turns the results of all channels into the segments of a transcript.
pub(super) fn finish(
    pipeline: &Pipeline,
    channels: &mut [ChannelResult],
    speakers: Option<&Speakers<'_>>,
    options: &TranscribeOptions,
    session: &Session,
) -> Result<Finished, Error> {
    let builder = SentenceBuilder {
        punctuator: pipeline.punctuator(options).map(|punctuator| &**punctuator),
        normalizer: pipeline.normalizer(options).map(|normalizer| &**normalizer),
        session,
    };
    // The segments of split channels carry the channel's number, those of a mix do not.
    let split = channels.len() > 1;
    let (mut punctuate_seconds, mut speakers_seconds) = (0.0, 0.0);
    let (mut segments, mut turns, mut voices) = (Vec::new(), Vec::new(), Vec::new());
    let prints = options.speakers.as_ref().and_then(|speakers| speakers.voices.as_ref());
    for (index, channel) in channels.iter_mut().enumerate() {
        let mut of_channel = channel.take();
        of_channel.sort_by(|a, b| a.start.total_cmp(&b.start));
        let start = thread_cpu_seconds();
        of_channel = builder.build(of_channel)?;
        let punctuated = thread_cpu_seconds();
        punctuate_seconds += punctuated - start;
        let number = split.then(|| u32::try_from(index).unwrap_or(u32::MAX));
        of_channel.iter_mut().for_each(|segment| segment.channel = number);
        if let Some(speakers) = speakers {
            let diarization = speakers.diarize(index);
            of_channel = attribute(of_channel, &diarization.turns);
            turns.extend(diarization.turns.iter().map(|turn| transcript::Turn {
                start: turn.start,
                end: turn.end,
                speaker: u32::try_from(turn.speaker).unwrap_or(u32::MAX),
                track: None,
                channel: number,
            }));
            let names = prints.map(|prints| prints.names(&diarization.voices)).unwrap_or_default();
            for (speaker, found) in names.into_iter().enumerate() {
                let speaker = u32::try_from(speaker).unwrap_or(u32::MAX);
                let name = found.map(|found| found.name);
                voices.extend(name.map(|name| KnownVoice {
                    track: None,
                    channel: number,
                    speaker,
                    name,
                }));
            }
        }
        speakers_seconds += thread_cpu_seconds() - punctuated;
        segments.extend(of_channel);
    }
    segments.sort_by(|a, b| a.start.total_cmp(&b.start).then_with(|| a.channel.cmp(&b.channel)));
    turns.sort_by(|a, b| a.start.total_cmp(&b.start).then_with(|| a.channel.cmp(&b.channel)));
    if !options.has_word_times() {
        segments.iter_mut().for_each(|segment| segment.words.clear());
    }
    Ok(Finished { segments, turns, voices, punctuate_seconds, speakers_seconds })
}
