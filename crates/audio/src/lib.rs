//! Bytes to 16 kHz PCM: containers, codecs, channels, resampling, as a stream and within limits.

mod codec;
mod container;
mod decoder;
mod error;
mod guard;
mod mp4;
mod packets;
mod promise;
mod resample;
mod sniff;
mod source;
mod wav;

pub use decoder::{Block, ChannelMode, Decoder, Info, Limits, Options, Report};
pub use error::Error;
pub use symphonia::core::io::MediaSource;

/// Rate of everything that leaves this crate, in Hz: what the speech models were trained on.
pub const SAMPLE_RATE: u32 = 16_000;
