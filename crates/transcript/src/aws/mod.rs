//! Renders the JSON that batch jobs of Amazon Transcribe write.
//!
//! Amazon publishes examples rather than a schema:
//! <https://docs.aws.amazon.com/transcribe/latest/dg/how-input.html>, with speakers in
//! `diarization-output-batch.html`, channels in `channel-id-output-batch.html` and languages in
//! `lang-id-batch.html` beside it. What a transcript does not know is left out, not made up:
//! `language_identification` would need the score of each language.

mod types;

use std::collections::{BTreeMap, BTreeSet};

use self::types::{
    Alternative, AudioSegment, Channel, ChannelLabels, Item, Job, LanguageDuration, Results,
    SpeakerItem, SpeakerLabels, SpeakerSegment, Text,
};
use crate::{
    Transcript,
    names::{Channels, channel_label, speaker_label},
    number, recording_name, text,
    timeline::milliseconds,
    utterances::{Utterance, utterances},
};

/// Most channels that are listed without speech on them.
const MAX_SILENT_CHANNELS: u32 = 64;

pub(crate) fn render(transcript: &Transcript) -> String {
    let channel_numbers = Channels::new(transcript);
    let mut builder =
        Builder { channels: &channel_numbers, items: Vec::new(), segments: Vec::new() };
    let mut channels: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    let mut speakers = BTreeSet::new();
    let mut speaker_segments = Vec::new();
    for utterance in utterances(&transcript.segments) {
        let first = builder.items.len();
        builder.add(&utterance);
        if let Some(channel) = channel_numbers.number(utterance.segment) {
            channels.entry(channel).or_default().extend(first..builder.items.len());
        }
        if let Some(speaker) = utterance.speaker {
            let label = speaker_label(speaker);
            speakers.insert(label.clone());
            speaker_segments.push(speaker_segment(&utterance, label, &builder.items[first..]));
        }
    }
    let Builder { items, segments, .. } = builder;
    if !channels.is_empty() && transcript.segments.iter().all(|segment| segment.track.is_none()) {
        for silent in 0..transcript.source.channels.min(MAX_SILENT_CHANNELS) {
            channels.entry(silent).or_default();
        }
    }
    let (language_code, language_codes) = languages(transcript);
    let job = Job {
        job_name: recording_name::job_name(&transcript.source.uri),
        account_id: "",
        status: "COMPLETED",
        results: Results {
            language_code,
            transcripts: [Text { transcript: whole_text(transcript) }],
            language_codes,
            speaker_labels: (!speaker_segments.is_empty()).then(|| SpeakerLabels {
                segments: speaker_segments,
                channel_label: channels.is_empty().then(|| channel_label(0)),
                speakers: speakers.len(),
            }),
            channel_labels: (!channels.is_empty()).then(|| ChannelLabels {
                number_of_channels: channels.len(),
                channels: channels
                    .into_iter()
                    .map(|(channel, indices)| Channel {
                        channel_label: channel_label(channel),
                        items: indices.into_iter().map(|index| &items[index]).collect(),
                    })
                    .collect(),
            }),
            items: &items,
            audio_segments: segments,
        },
    };
    let mut json = serde_json::to_string(&job).expect("strings and numbers can be written as JSON");
    json.push('\n');
    json
}

/// Collects items and audio segments, which refer to items by number.
struct Builder<'a> {
    channels: &'a Channels,
    items: Vec<Item>,
    segments: Vec<AudioSegment>,
}

impl Builder<'_> {
    fn add(&mut self, utterance: &Utterance<'_>) {
        let first = self.items.len();
        let channel_label = self.channels.label(utterance.segment);
        let speaker_label = utterance.speaker.map(speaker_label);
        let mut add = |kind, content: &str, confidence, times: Option<(u64, u64)>| {
            if !content.is_empty() {
                self.items.push(Item {
                    id: self.items.len(),
                    kind,
                    alternatives: [Alternative {
                        confidence: number::shortest(confidence),
                        content: content.to_owned(),
                    }],
                    start_time: times.map(|(start, _)| time(start)),
                    end_time: times.map(|(_, end)| time(end)),
                    speaker_label: speaker_label.clone(),
                    channel_label: channel_label.clone(),
                });
            }
        };
        for token in &utterance.tokens {
            let confidence = number::rounded_probability(token.confidence);
            add("pronunciation", &token.content, confidence, Some((token.start, token.end)));
            add("punctuation", &token.closing, 0.0, None);
        }
        self.segments.push(AudioSegment {
            id: self.segments.len(),
            transcript: utterance.text.clone(),
            start_time: time(utterance.start),
            end_time: time(utterance.end),
            speaker_label,
            channel_label,
            items: (first..self.items.len()).collect(),
        });
    }
}

fn speaker_segment(utterance: &Utterance<'_>, label: String, items: &[Item]) -> SpeakerSegment {
    let spoken = items.iter().filter_map(|item| {
        Some(SpeakerItem {
            start_time: item.start_time.clone()?,
            end_time: item.end_time.clone()?,
            speaker_label: label.clone(),
        })
    });
    SpeakerSegment {
        items: spoken.collect(),
        start_time: time(utterance.start),
        end_time: time(utterance.end),
        speaker_label: label,
    }
}

/// Returns the language if there is one, or all of them with their durations if there are several.
fn languages(transcript: &Transcript) -> (Option<String>, Option<Vec<LanguageDuration>>) {
    let mut durations: BTreeMap<&str, u64> = BTreeMap::new();
    for segment in &transcript.segments {
        if let Some(language) = &segment.language
            && !text::clean(&segment.text).is_empty()
        {
            let spoken = milliseconds(segment.end).saturating_sub(milliseconds(segment.start));
            *durations.entry(language).or_default() += spoken;
        }
    }
    if durations.len() < 2 {
        return (durations.into_keys().next().map(str::to_owned), None);
    }
    let durations = durations.into_iter().map(|(language, spoken)| LanguageDuration {
        language_code: language.to_owned(),
        duration_in_seconds: spoken as f64 / 1000.0,
    });
    (None, Some(durations.collect()))
}

fn whole_text(transcript: &Transcript) -> String {
    let texts = transcript.segments.iter().map(|segment| text::clean(&segment.text));
    text::join(texts.filter(|text| !text.is_empty()))
}

/// Writes milliseconds as seconds, as Amazon does: `4.87`, `8.0`.
fn time(milliseconds: u64) -> String {
    number::shortest(milliseconds as f64 / 1000.0)
}
