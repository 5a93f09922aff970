use std::time::Duration;

use symphonia::core::io::MediaSource;

use crate::Error;

/// How the channels of a recording become streams of PCM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelMode {
    /// All channels averaged into one.
    Mix,
    /// Each channel on its own.
    Split,
}

/// What a recording may cost before it is refused.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Size of the file, where it is known in advance, and bytes read from it.
    pub max_bytes: u64,
    pub max_duration: Duration,
    pub max_channels: usize,
}

#[derive(Debug, Clone)]
pub struct Options {
    pub limits: Limits,
    pub channels: ChannelMode,
    /// Take what is there of a recording that ends before its header says, instead of refusing it.
    pub allow_truncated: bool,
}

/// What the container says of the recording.
#[derive(Debug, Clone, PartialEq)]
pub struct Info {
    /// Short lower-case name: `wav`, `flac`, `mp3`, `ogg`, `webm`, `mp4`, ...
    pub container: String,
    /// Short lower-case name: `pcm_s16le`, `flac`, `mp3`, `vorbis`, `opus`, `aac`, ...
    pub codec: String,
    pub sample_rate: u32,
    /// Channels in the file (not in the output).
    pub channels: usize,
    /// Seconds, if the container declares a length.
    pub declared_duration: Option<f64>,
}

/// 16 kHz PCM in [-1, 1): one vector per output channel, all of the same length.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Block {
    pub channels: Vec<Vec<f32>>,
}

/// What was found on the way; complete once [`Decoder::next_block`] has returned `false`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Report {
    /// Seconds of audio decoded.
    pub duration: f64,
    pub bytes_read: u64,
    /// Damaged packets that were skipped, samples that were not finite and became zero, a header
    /// that disagrees with the file: sentences for the transcript.
    pub warnings: Vec<String>,
}

/// A recording being decoded, a block at a time, in memory that does not grow with its length.
pub struct Decoder {
    info: Info,
    report: Report,
}

impl Decoder {
    /// Detects the format by content and reads the headers.
    pub fn open(_source: Box<dyn MediaSource>, _options: &Options) -> Result<Self, Error> {
        unimplemented!()
    }

    pub fn info(&self) -> &Info {
        &self.info
    }

    /// Number of vectors in each block: 1 for [`ChannelMode::Mix`].
    pub fn output_channels(&self) -> usize {
        unimplemented!()
    }

    /// Fills `block` (whose buffers are reused) with the next PCM, a second or so of it. `false` at
    /// the end of the recording.
    pub fn next_block(&mut self, _block: &mut Block) -> Result<bool, Error> {
        unimplemented!()
    }

    pub fn report(&self) -> &Report {
        &self.report
    }
}
