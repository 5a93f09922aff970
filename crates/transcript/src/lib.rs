//! The transcript: its types, its JSON schema, and its renderings.
//!
//! The JSON is complete and authoritative. The other formats ([`Format`]) are rendered from it.
//!
//! ```
//! use transcript::{Format, Pipeline, Processing, Segment, Source, Speech, Transcript};
//!
//! # fn main() -> Result<(), transcript::InvalidTranscript> {
//! let source = Source {
//!     uri: "s3://recordings/0042.wav".into(),
//!     size: 64_044,
//!     etag: "9b2cf535f27731c974343645a3985328".into(),
//!     duration: 2.0,
//!     channels: 1,
//!     sample_rate: 16_000,
//!     container: "wav".into(),
//!     codec: "pcm_s16le".into(),
//!     decoder: None,
//!     warnings: Vec::new(),
//! };
//! let pipeline = Pipeline {
//!     version: "scriptorium 0.1.0".into(),
//!     recognizer: "whisper-tiny.en".into(),
//!     vad: "fsmn-vad".into(),
//!     punctuation: None,
//!     speakers: None,
//!     speaker_segmentation: None,
//!     precision: "int8".into(),
//!     fingerprint: "5f70bf18a086007016e948b04aed3b82".into(),
//! };
//! let segment = Segment {
//!     start: 0.38,
//!     end: 1.9,
//!     text: "Good morning.".into(),
//!     confidence: 0.97,
//!     ..Segment::default()
//! };
//! let processing = Processing {
//!     finished_at: "2026-11-22T07:38:18Z".into(),
//!     wall_seconds: 0.1,
//!     cpu_seconds: 0.1,
//!     audio_seconds_per_core_second: 20.0,
//!     stages: Vec::new(),
//! };
//! let speech = Speech { segments: vec![segment], ..Speech::default() };
//! let transcript = Transcript::new(source, pipeline, speech, processing);
//! assert_eq!(
//!     transcript.render(Format::Srt),
//!     b"1\n00:00:00,380 --> 00:00:01,900\nGood morning.\n"
//! );
//! let json = transcript.render(Format::Json);
//! assert_eq!(Transcript::from_json(&json)?.text, "Good morning.");
//! # Ok(())
//! # }
//! ```

mod ass;
mod aws;
mod breaks;
mod csv;
mod ctm;
mod cue;
mod docx;
mod eaf;
mod function_words;
mod html;
mod json;
mod jsonl;
mod layout;
mod lines;
mod markdown;
mod model;
mod names;
mod number;
mod openai;
mod paragraphs;
mod passage;
mod punctuation;
mod recording_name;
mod rttm;
mod sentence;
mod speech;
mod srt;
mod subtitle_options;
mod summary;
mod text;
mod textgrid;
mod tiers;
mod timeline;
mod tokens;
mod tsv;
mod txt;
mod utterances;
mod v1;
mod vtt;
mod words;
mod xml;

pub use formats::{Format, UnknownFormat};
pub use html::{HtmlAudio, HtmlOptions};
pub use json::{InvalidTranscript, json_schema};
pub use model::{
    MAX_SPEAKER_NAME, Pipeline, Processing, SCHEMA_VERSION, Segment, Source, Speaker, Stage,
    Transcript, Turn, Word,
};
pub use sentence::{Ending, ending};
pub use speech::{KnownVoice, Speech};
pub use subtitle_options::{InvalidSubtitleOption, SubtitleOptions};
pub use text::clean as clean_name;

/// How transcripts are rendered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RenderOptions {
    pub subtitles: SubtitleOptions,
    pub html: HtmlOptions,
}

impl Transcript {
    /// Renders the HTML page, as UTF-8. Accepts any text.
    pub fn render_html(&self, options: &HtmlOptions) -> String {
        html::render(self, options)
    }

    /// Renders the transcript in `format`, as [`Self::render_with`] does with the default options.
    pub fn render(&self, format: Format) -> Vec<u8> {
        self.render_with(format, &RenderOptions::default())
    }

    /// Renders the transcript in `format`. Accepts any text. Formats of text are UTF-8 with line feeds.
    pub fn render_with(&self, format: Format, options: &RenderOptions) -> Vec<u8> {
        let text = match format {
            Format::Json => self.to_json_pretty(),
            Format::Jsonl => jsonl::render(self),
            Format::Srt => srt::render(self, &options.subtitles),
            Format::Vtt => vtt::render(self, &options.subtitles),
            Format::Ass => ass::render(self, &options.subtitles),
            Format::Txt => txt::render(self),
            Format::Md => markdown::render(self),
            Format::Html => html::render(self, &options.html),
            Format::Tsv => tsv::render(self),
            Format::Csv => csv::render(self),
            Format::WhisperJson => openai::whisper(self),
            Format::VerboseJson => openai::verbose(self),
            Format::Aws => aws::render(self),
            Format::Rttm => rttm::render(self),
            Format::Ctm => ctm::render(self),
            Format::Textgrid => textgrid::render(self),
            Format::Eaf => eaf::render(self),
            Format::Docx => return docx::render(self),
        };
        text.into_bytes()
    }
}
