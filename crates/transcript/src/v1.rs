//! Transcripts of version 1, as former releases wrote them.

use serde::Deserialize;

use crate::{Pipeline, Processing, Segment, Source, Speech, Transcript, Word};

/// A transcript of version 1, `docs/schemas/transcript.v1.schema.json`. It has segments and nothing of the
/// whole.
#[derive(Deserialize)]
pub(crate) struct TranscriptV1 {
    source: Source,
    pipeline: Pipeline,
    segments: Vec<SegmentV1>,
    processing: Processing,
}

#[derive(Deserialize)]
struct SegmentV1 {
    start: f64,
    end: f64,
    track: Option<u32>,
    channel: Option<u32>,
    speaker: Option<u32>,
    language: Option<String>,
    text: String,
    confidence: f32,
    emotion: Option<String>,
    event: Option<String>,
    #[serde(default)]
    words: Vec<Word>,
}

impl From<TranscriptV1> for Transcript {
    fn from(transcript: TranscriptV1) -> Self {
        let TranscriptV1 { source, pipeline, segments, processing } = transcript;
        let segments = segments.into_iter().map(Segment::from).collect();
        Self::new(source, pipeline, Speech { segments, ..Speech::default() }, processing)
    }
}

impl From<SegmentV1> for Segment {
    fn from(segment: SegmentV1) -> Self {
        let SegmentV1 { start, end, track, channel, speaker, .. } = segment;
        let SegmentV1 { language, text, confidence, emotion, event, words, .. } = segment;
        Self {
            id: 0,
            start,
            end,
            track,
            channel,
            speaker,
            language,
            text,
            confidence,
            no_speech_probability: None,
            emotion,
            event,
            words,
        }
    }
}
