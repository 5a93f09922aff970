//! The JSON of Amazon Transcribe's batch jobs. Times, confidences and labels are strings there, numbers of
//! items are numbers.

use serde::Serialize;

#[derive(Serialize)]
pub(super) struct Job<'a> {
    #[serde(rename = "jobName")]
    pub(super) job_name: String,
    /// Empty: there is no account. Some readers require the field.
    #[serde(rename = "accountId")]
    pub(super) account_id: &'static str,
    pub(super) status: &'static str,
    pub(super) results: Results<'a>,
}

#[derive(Serialize)]
pub(super) struct Results<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) language_code: Option<String>,
    pub(super) transcripts: [Text; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) language_codes: Option<Vec<LanguageDuration>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) speaker_labels: Option<SpeakerLabels>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) channel_labels: Option<ChannelLabels<'a>>,
    pub(super) items: &'a [Item],
    pub(super) audio_segments: Vec<AudioSegment>,
}

#[derive(Serialize)]
pub(super) struct Text {
    pub(super) transcript: String,
}

#[derive(Serialize)]
pub(super) struct LanguageDuration {
    pub(super) language_code: String,
    pub(super) duration_in_seconds: f64,
}

#[derive(Serialize)]
pub(super) struct SpeakerLabels {
    pub(super) segments: Vec<SpeakerSegment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) channel_label: Option<String>,
    /// How many there are.
    pub(super) speakers: usize,
}

#[derive(Serialize)]
pub(super) struct SpeakerSegment {
    pub(super) start_time: String,
    pub(super) end_time: String,
    pub(super) speaker_label: String,
    pub(super) items: Vec<SpeakerItem>,
}

#[derive(Serialize)]
pub(super) struct SpeakerItem {
    pub(super) speaker_label: String,
    pub(super) start_time: String,
    pub(super) end_time: String,
}

#[derive(Serialize)]
pub(super) struct ChannelLabels<'a> {
    pub(super) channels: Vec<Channel<'a>>,
    pub(super) number_of_channels: usize,
}

#[derive(Serialize)]
pub(super) struct Channel<'a> {
    pub(super) channel_label: String,
    pub(super) items: Vec<&'a Item>,
}

/// A word, or the punctuation after one, which has no times.
#[derive(Serialize)]
pub(super) struct Item {
    pub(super) id: usize,
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    pub(super) alternatives: [Alternative; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) start_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) end_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) speaker_label: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) channel_label: Option<String>,
}

#[derive(Serialize)]
pub(super) struct Alternative {
    pub(super) confidence: String,
    pub(super) content: String,
}

#[derive(Serialize)]
pub(super) struct AudioSegment {
    pub(super) id: usize,
    pub(super) transcript: String,
    pub(super) start_time: String,
    pub(super) end_time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) speaker_label: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) channel_label: Option<String>,
    /// Numbers of the items.
    pub(super) items: Vec<usize>,
}
