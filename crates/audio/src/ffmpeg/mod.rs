//! The second decoder: FFmpeg's program, for recordings that symphonia cannot decode.
//!
//! It runs as a child process that can open nothing: it reads the recording from a pipe (or, if the
//! format needs seeking, from a temporary file without a name), with the demuxer that this crate
//! chose by the content, and writes PCM to another pipe. `program` finds it, `arguments` makes its
//! command line, `process` runs it, `streams` reads its list of streams, `spool` makes the file.

mod arguments;
mod log;
mod process;
mod program;
mod spool;
mod streams;

use std::io::{self, Read, Seek, SeekFrom};

use symphonia::core::io::MediaSource;

use self::arguments::Input;
pub(crate) use self::log::SharedLog;
use self::process::{Limits as ProcessLimits, Process};
pub use self::program::{Ffmpeg, ProgramError};
use crate::Error;
use crate::identify::Format;
use crate::limits::Limits;
use crate::source::Source;
use crate::tracks::{self, AudioTrack, TrackChoice};

/// Whether recordings that symphonia cannot decode are given to FFmpeg's program.
#[derive(Debug, Clone, Default)]
pub enum Fallback {
    /// Not wanted.
    #[default]
    Off,
    /// Wanted, but the program is not installed.
    Missing,
    Ffmpeg(Ffmpeg),
}

impl Fallback {
    /// Returns the program's name and version if there is one.
    pub fn identity(&self) -> Option<String> {
        match self {
            Self::Ffmpeg(ffmpeg) => Some(ffmpeg.identity()),
            Self::Off | Self::Missing => None,
        }
    }
}

/// A recording that FFmpeg decodes.
pub(crate) struct Decoding {
    /// A WAV file with the PCM, which is made while it is read.
    pub(crate) wav: Box<dyn MediaSource>,
    /// Name of the codec.
    pub(crate) codec: String,
    pub(crate) tracks: Vec<AudioTrack>,
    /// Number of the track that is decoded.
    pub(crate) track: usize,
    /// Seconds that the container declares.
    pub(crate) declared_duration: Option<f64>,
    pub(crate) warnings: Vec<String>,
    /// What the program complained about so far.
    pub(crate) log: SharedLog,
}

/// Starts to decode the recording in `source`, which begins at its current position.
pub(crate) fn decode(
    ffmpeg: &Ffmpeg,
    mut source: Source,
    format: &Format,
    choice: Option<&TrackChoice>,
    limits: &Limits,
) -> Result<Decoding, Error> {
    let start = source.stream_position().map_err(Error::Read)?;
    let process_limits = ProcessLimits::new(source.byte_len(), limits.max_duration);
    // Streams are listed first and decoded in a second run, so a pipe needs a source that rewinds.
    let spooled = if format.needs_seeking || !source.rewinds() {
        Some(ffmpeg.spool.copy(&mut source)?)
    } else {
        None
    };
    let input = Input { format, is_spooled: spooled.is_some() };
    let spawn = |arguments: Vec<String>, feed: Option<Source>| {
        Process::spawn(ffmpeg, &arguments, spooled.as_ref(), feed, process_limits)
    };

    let feed = if spooled.is_none() { Some(source) } else { None };
    let lister = spawn(arguments::list_streams(ffmpeg, &input), feed)?;
    let log = lister.log();
    let feed = lister.run_to_the_end()?;
    let streams = streams::parse(&log.text());
    let declared_duration = streams::declared_duration(&log.text());
    let opened = format!("cannot open this {}", format.name);
    if streams.is_empty() {
        return Err(if log.text().contains("Input #0") {
            Error::NoAudioTrack { container: format.container.into() }
        } else {
            Error::Corrupt { reason: ffmpeg.last_message(&opened, &log), source: None }
        });
    }
    let (track, warnings) = choose(&streams, choice)?;
    let (number, codec) = (track.number, track.codec.clone());

    let feed = match feed {
        Some(mut source) => {
            source.seek(SeekFrom::Start(start)).map_err(Error::Read)?;
            Some(source)
        }
        None => None,
    };
    let process = spawn(arguments::decode(ffmpeg, &input, number - 1), feed)?;
    let log = process.log();
    let wav = Box::new(Output(process));
    Ok(Decoding { wav, codec, tracks: streams, track: number, declared_duration, warnings, log })
}

/// Chooses a stream; returns it with the warnings about the choice.
fn choose<'a>(
    streams: &'a [AudioTrack],
    choice: Option<&TrackChoice>,
) -> Result<(&'a AudioTrack, Vec<String>), Error> {
    let chosen = tracks::choose(streams, choice, |stream| {
        if streams::is_decodable(&stream.codec) {
            Ok(())
        } else {
            Err(Error::unsupported(format!("the codec of track {}", stream.number)))
        }
    })?;
    Ok((&streams[chosen.index], chosen.warnings))
}

/// What the program writes, as a source for the demuxer of WAV.
struct Output(Process);

impl Read for Output {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf).map_err(io::Error::other)
    }
}

impl Seek for Output {
    fn seek(&mut self, _: SeekFrom) -> io::Result<u64> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

impl MediaSource for Output {
    fn is_seekable(&self) -> bool {
        false
    }

    fn byte_len(&self) -> Option<u64> {
        None
    }
}
