//! MP4 files (ISO 14496-12): what symphonia's demuxer ignores.
//!
//! symphonia reads the codecs of the tracks. The packets are read here, because their times are the
//! recording's only with the edit lists, the start times of fragments, and the other tracks, all of
//! which symphonia ignores.

mod atoms;
mod edits;
mod fragments;
mod movie;
mod reader;
mod samples;
mod tracks;

pub(crate) use movie::Movie;
pub(crate) use reader::Mp4Reader;
pub(crate) use tracks::{Mp4Track, audio_tracks};
