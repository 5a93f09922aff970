//! Last step, once all words of a recording are known: punctuation, digits and speakers.

use transcript::Segment;

use super::{
    Error, Pipeline, Session, TranscribeOptions, collector::ChannelResult,
    sentences::SentenceBuilder,
};
use crate::{
    compute::thread_cpu_seconds,
    speakers::{self, Turn},
};

/// Segments of a transcript.
pub(super) struct Finished {
    /// In order of start. The speakers of each channel have numbers of their own.
    pub(super) segments: Vec<Segment>,
    /// CPU seconds.
    pub(super) punctuate_seconds: f64,
    pub(super) speakers_seconds: f64,
}

/// Turns the results of all channels into the segments of a transcript.
pub(super) fn finish(
    pipeline: &Pipeline,
    channels: &mut [ChannelResult],
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
    let mut segments = Vec::new();
    for (index, channel) in channels.iter_mut().enumerate() {
        let (mut of_channel, embeddings) = channel.take();
        of_channel.sort_by(|a, b| a.start.total_cmp(&b.start));
        let start = thread_cpu_seconds();
        of_channel = builder.build(of_channel)?;
        let punctuated = thread_cpu_seconds();
        punctuate_seconds += punctuated - start;
        if split {
            let number = u32::try_from(index).unwrap_or(u32::MAX);
            of_channel.iter_mut().for_each(|segment| segment.channel = Some(number));
        }
        if let (Some(diarizer), Some(options)) = (pipeline.diarizer(options), &options.speakers) {
            let turns = diarizer.diarize(embeddings, options);
            label_speakers(&mut of_channel, &turns);
        }
        speakers_seconds += thread_cpu_seconds() - punctuated;
        segments.extend(of_channel);
    }
    segments.sort_by(|a, b| a.start.total_cmp(&b.start).then_with(|| a.channel.cmp(&b.channel)));
    if !options.has_word_times() {
        segments.iter_mut().for_each(|segment| segment.words.clear());
    }
    Ok(Finished { segments, punctuate_seconds, speakers_seconds })
}

/// Sets the speaker of each segment of a channel, and of each word whose speaker is another one.
fn label_speakers(segments: &mut [Segment], turns: &[Turn]) {
    let number = |speaker: usize| u32::try_from(speaker).unwrap_or(u32::MAX);
    let speaker = |start, end| speakers::dominant_speaker(turns, start, end).map(number);
    for segment in segments {
        segment.speaker = speaker(segment.start, segment.end);
        for word in &mut segment.words {
            word.speaker =
                speaker(word.start, word.end).filter(|&other| Some(other) != segment.speaker);
        }
    }
}

#[cfg(test)]
mod tests {
    use transcript::Word;

    use super::*;

    fn word(start: f64) -> Word {
        let text = "w".to_owned();
        Word { start, end: start + 0.4, text, confidence: Some(1.0), ..Word::default() }
    }

    #[test]
    fn words_name_their_speaker_only_where_it_is_another() {
        let turn = |start, end, speaker| Turn { start, end, speaker };
        let turns = [turn(0.0, 2.0, 0), turn(2.0, 2.6, 1)];
        let words = [0.0, 0.5, 1.0, 1.5, 2.1, 7.0].map(word);
        let segment = Segment { end: 2.5, words: words.to_vec(), ..Segment::default() };
        let mut segments = vec![segment];
        label_speakers(&mut segments, &turns);
        assert_eq!(segments[0].speaker, Some(0));
        let of_words: Vec<_> = segments[0].words.iter().map(|word| word.speaker).collect();
        assert_eq!(of_words, [None, None, None, None, Some(1), None]);
        label_speakers(&mut segments, &[]);
        assert_eq!(segments[0].speaker, None);
    }
}
