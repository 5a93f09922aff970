//! The transcript: its types, its JSON schema, and its renderings.
//!
//! The JSON is complete and authoritative. The other formats are rendered from it: SubRip, WebVTT and
//! plain text for people, Amazon Transcribe's JSON, RTTM, CTM and Whisper's TSV for other programs.
//!
//! ```
//! use transcript::{Format, Pipeline, Processing, SCHEMA_VERSION, Segment, Source, Transcript};
//!
//! # fn main() -> Result<(), transcript::InvalidTranscript> {
//! let transcript = Transcript {
//!     version: SCHEMA_VERSION,
//!     source: Source {
//!         uri: "s3://recordings/0042.wav".into(),
//!         size: 64_044,
//!         etag: "9b2cf535f27731c974343645a3985328".into(),
//!         duration: 2.0,
//!         channels: 1,
//!         sample_rate: 16_000,
//!         container: "wav".into(),
//!         codec: "pcm_s16le".into(),
//!         decoder: None,
//!         warnings: Vec::new(),
//!     },
//!     pipeline: Pipeline {
//!         version: "scriptorium 0.1.0".into(),
//!         recognizer: "whisper-tiny.en".into(),
//!         vad: "fsmn-vad".into(),
//!         punctuation: None,
//!         speakers: None,
//!         precision: "int8".into(),
//!         fingerprint: "5f70bf18a086007016e948b04aed3b82".into(),
//!     },
//!     segments: vec![Segment {
//!         start: 0.38,
//!         end: 1.9,
//!         text: "Good morning.".into(),
//!         confidence: 0.97,
//!         ..Segment::default()
//!     }],
//!     processing: Processing {
//!         finished_at: "2026-11-22T07:38:18Z".into(),
//!         wall_seconds: 0.1,
//!         cpu_seconds: 0.1,
//!         audio_seconds_per_core_second: 20.0,
//!         stages: Vec::new(),
//!     },
//! };
//! assert_eq!(
//!     transcript.render(Format::Srt),
//!     "1\n00:00:00,380 --> 00:00:01,900\nGood morning.\n"
//! );
//! let json = transcript.render(Format::Json);
//! assert_eq!(Transcript::from_json(json.as_bytes())?.segments.len(), 1);
//! # Ok(())
//! # }
//! ```

mod aws;
mod ctm;
mod cue;
mod format;
mod json;
mod labels;
mod layout;
mod model;
mod number;
mod punctuation;
mod recording_name;
mod rttm;
mod srt;
mod text;
mod timeline;
mod tokens;
mod tsv;
mod turns;
mod txt;
mod vtt;
mod words;

pub use format::{Format, UnknownFormat};
pub use json::{InvalidTranscript, json_schema};
pub use model::{Pipeline, Processing, SCHEMA_VERSION, Segment, Source, Stage, Transcript, Word};

impl Transcript {
    /// Renders the transcript in `format`, as UTF-8 with line feeds. Accepts any text.
    pub fn render(&self, format: Format) -> String {
        match format {
            Format::Json => self.to_json_pretty(),
            Format::Srt => srt::render(self),
            Format::Vtt => vtt::render(self),
            Format::Txt => txt::render(self),
            Format::Aws => aws::render(self),
            Format::Rttm => rttm::render(self),
            Format::Ctm => ctm::render(self),
            Format::Tsv => tsv::render(self),
        }
    }
}
