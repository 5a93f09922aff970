//! Options for decoding one recording.

use crate::ffmpeg::Fallback;
use crate::limits::Limits;
use crate::tracks::TrackChoice;

/// How the channels of a recording are output.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ChannelMode {
    /// All channels, averaged into one.
    #[default]
    Mix,
    /// Each channel separately.
    Split,
    /// The two sides of a call separately, and the channels of everything else mixed. The first three
    /// minutes are decoded in advance to tell (23 MB).
    Auto,
}

/// Options for decoding one recording.
#[derive(Debug, Clone, Default)]
pub struct DecodeOptions {
    pub limits: Limits,
    pub channels: ChannelMode,
    /// Accepts a recording that ends before its header says, with a warning, instead of refusing it.
    pub allow_truncated: bool,
    /// The audio track to decode. With `None` the default track, else the first that can be decoded.
    pub track: Option<TrackChoice>,
    /// Who decodes what symphonia cannot.
    pub fallback: Fallback,
}
