//! What a transcript is, its JSON schema, and its renderings: SubRip, WebVTT, plain text.

mod format;
mod model;

pub use format::Format;
pub use model::{
    Processing, Pipeline, SCHEMA_VERSION, Segment, Source, Stage, Transcript, Word,
};
