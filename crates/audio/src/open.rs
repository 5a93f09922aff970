//! Opens a recording: with symphonia, and if that cannot decode it, with FFmpeg.

use std::io::{self, Read as _, Seek as _, SeekFrom};

use symphonia::core::io::MediaSource;

use crate::Error;
use crate::container::{self, Container, Info, skip_tags};
use crate::error::FallbackOutcome;
use crate::ffmpeg::{self, Fallback, Ffmpeg, SharedLog};
use crate::identify::{Format, format_of};
use crate::options::DecodeOptions;
use crate::packets::Packets;
use crate::source::{ReadMonitor, Source};
use crate::tracks::AudioTrack;

/// An opened recording.
pub(crate) struct Opened {
    pub(crate) packets: Packets,
    pub(crate) info: Info,
    /// Of the file's bytes.
    pub(crate) monitor: ReadMonitor,
    pub(crate) tracks: Vec<AudioTrack>,
    /// Number of the track that is decoded.
    pub(crate) track: usize,
    pub(crate) warnings: Vec<String>,
    /// What FFmpeg complains about.
    pub(crate) log: Option<SharedLog>,
}

/// Opens the recording.
pub(crate) fn open(source: Box<dyn MediaSource>, options: &DecodeOptions) -> Result<Opened, Error> {
    let source = Source::open(source, options.limits.max_bytes)?;
    let monitor = source.monitor();
    monitor.return_when_dropped();
    let opened = container::open(source, options);
    // symphonia may report a failed read as the end of the file or as another error.
    if let Some(failure) = monitor.take_failure() {
        return Err(failure.into());
    }
    let error = match opened {
        Ok(container) => return Ok(container.into_opened(monitor, None)),
        Err(error) => error,
    };
    let source = monitor.take_source();
    match (error, source, &options.fallback) {
        (Error::UnsupportedCodec { codec, .. }, Some(source), Fallback::Ffmpeg(ffmpeg)) => {
            retry(ffmpeg, source, options).map_err(|second| combine(codec, second))
        }
        (Error::UnsupportedCodec { codec, .. }, _, fallback) => {
            let fallback = match fallback {
                Fallback::Off => FallbackOutcome::Off,
                Fallback::Missing => FallbackOutcome::NotInstalled,
                Fallback::Ffmpeg(_) => FallbackOutcome::NotTried,
            };
            Err(Error::UnsupportedCodec { codec, fallback })
        }
        // The demuxers of symphonia are stricter than others about headers.
        (error @ Error::Corrupt { .. }, Some(source), Fallback::Ffmpeg(ffmpeg))
            if !error.is_missing_index() =>
        {
            match retry(ffmpeg, source, options) {
                Err(Error::Read(second)) => Err(Error::Read(second)),
                second => second.map_err(|_| error),
            }
        }
        (error, ..) => Err(error),
    }
}

/// Returns the error after both decoders have failed. What is wrong with the machine, the limits or
/// the source comes from the second.
fn combine(codec: String, second: Error) -> Error {
    match second {
        Error::UnsupportedCodec { .. } => {
            Error::UnsupportedCodec { codec, fallback: FallbackOutcome::NotTried }
        }
        Error::Corrupt { reason, .. } => {
            Error::UnsupportedCodec { codec, fallback: FallbackOutcome::Failed(reason) }
        }
        other => other,
    }
}

/// Opens the recording with FFmpeg.
fn retry(ffmpeg: &Ffmpeg, mut source: Source, options: &DecodeOptions) -> Result<Opened, Error> {
    let file = source.monitor();
    let failed = |e: io::Error| file.take_failure().map_or(Error::Read(e), Error::from);
    skip_tags(&mut source).map_err(failed)?;
    let format = format_at(&mut source).map_err(failed)?;
    let Some(format) = format else { return Err(Error::unsupported("a format of this kind")) };
    let choice = options.track.as_ref();
    let decoding = ffmpeg::decode(ffmpeg, source, format, choice, &options.limits)?;

    let output = Source::open(decoding.wav, u64::MAX)?;
    let monitor = output.monitor();
    let whole = DecodeOptions { track: None, ..options.clone() };
    let opened = container::open(output, &whole);
    if let Some(failure) = monitor.take_failure() {
        return Err(failure.into());
    }
    let mut container = opened?;
    if let Some(seconds) = decoding.declared_duration {
        container.packets.declare_duration(seconds);
    }
    container.info = Info {
        container: format.container.into(),
        codec: decoding.codec,
        decoder: Some(ffmpeg.identity()),
        declared_duration: decoding.declared_duration,
        ..container.info
    };
    container.warnings = decoding.warnings;
    (container.tracks, container.track) = (decoding.tracks, decoding.track);
    Ok(container.into_opened(file, Some(decoding.log)))
}

/// Returns the format of the recording that begins at the position of `source`.
fn format_at(source: &mut Source) -> io::Result<Option<&'static Format>> {
    let position = source.stream_position()?;
    let mut head = Vec::new();
    source.by_ref().take(8192).read_to_end(&mut head)?;
    source.seek(SeekFrom::Start(position))?;
    Ok(format_of(&head))
}

impl Container {
    fn into_opened(self, monitor: ReadMonitor, log: Option<SharedLog>) -> Opened {
        let Self { packets, info, tracks, track, warnings } = self;
        Opened { packets, info, monitor, tracks, track, warnings, log }
    }
}
