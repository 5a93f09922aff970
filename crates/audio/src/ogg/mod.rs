//! Ogg files (RFC 3533) with Opus, Vorbis or FLAC.
//!
//! symphonia's own demuxer lets a page begin where the last one that was read ends. If pages were lost
//! or nothing was sent for a while, the audio is a page too early, and a page may hold many seconds.
//! Here a page begins as long before its end as its packets last.

mod mapping;
mod page;
mod reader;
mod vorbis;

pub(crate) use reader::OggReader;
