//! What a transcript is, its JSON schema, and its renderings: SubRip, WebVTT, plain text.
//!
//! The JSON is the record and is complete; the other renderings are made from it for people.

mod cue;
mod format;
mod json;
mod layout;
mod model;
mod number;
mod srt;
mod text;
mod timeline;
mod txt;
mod vtt;

pub use format::{Format, UnknownFormat};
pub use json::{InvalidTranscript, json_schema};
pub use model::{Pipeline, Processing, SCHEMA_VERSION, Segment, Source, Stage, Transcript, Word};

impl Transcript {
    /// Writes the transcript in `format`, UTF-8 with line feeds; never fails, whatever the text.
    pub fn render(&self, format: Format) -> String {
        match format {
            Format::Json => self.to_json_pretty(),
            Format::Srt => srt::render(self),
            Format::Vtt => vtt::render(self),
            Format::Txt => txt::render(self),
        }
    }
}
