//! Decodes recordings to 16 kHz PCM: containers, codecs, channels and resampling, as a stream and
//! within limits.
//!
//! ```no_run
//! use std::{fs::File, time::Duration};
//!
//! use audio::{Block, ChannelMode, DecodeOptions, Decoder, Error, Limits};
//!
//! # fn main() -> Result<(), Error> {
//! let options = DecodeOptions {
//!     limits: Limits {
//!         max_bytes: 4 << 30,
//!         max_duration: Duration::from_secs(12 * 3600),
//!         max_channels: 8,
//!         ..Limits::default()
//!     },
//!     channels: ChannelMode::Mix,
//!     ..DecodeOptions::default()
//! };
//! let file = File::open("recording.m4a").map_err(Error::Read)?;
//! let mut decoder = Decoder::open(Box::new(file), &options)?;
//! let mut block = Block::default();
//! let mut samples = Vec::new();
//! while decoder.next_block(&mut block)? {
//!     samples.extend_from_slice(&block.channels[0]);
//! }
//! println!("{} s of {}", decoder.report().duration, decoder.info().codec);
//! # Ok(())
//! # }
//! ```

mod adts;
mod aiff;
mod blocks;
mod clock;
mod codec;
mod codec_names;
mod container;
mod declared_end;
mod decode;
mod decoder;
mod ebml;
mod error;
mod ffmpeg;
mod forward_only;
mod frame_bytes;
mod header_stripping;
mod identify;
mod language;
mod limits;
mod listing;
mod mix;
mod mkv;
mod mp2;
mod mp4;
mod notes;
mod ogg;
mod open;
mod options;
mod packets;
mod panics;
mod parts;
mod pcm;
mod resample;
mod source;
mod stats;
mod timeline;
mod tracks;
mod two_sided;
mod warnings;
mod wav;
mod wav_data;

pub use container::Info;
pub use decoder::{Block, Decoder, Report};
pub use error::{Error, FallbackOutcome};
pub use ffmpeg::{Fallback, Ffmpeg, ProgramError};
pub use limits::Limits;
pub use options::{ChannelMode, DecodeOptions};
pub use symphonia::core::io::MediaSource;
pub use tracks::TrackChoice;

/// Sample rate of all decoded audio in Hz, the rate that the speech models were trained on.
pub const SAMPLE_RATE: u32 = 16_000;
