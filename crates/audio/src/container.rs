//! Opens the container of a recording and reads its header.

use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::sync::LazyLock;

use symphonia::core::common::{Limit, Tier};
use symphonia::core::errors::Error as SymphoniaError;
use symphonia::core::formats::probe::{Hint, Probe};
use symphonia::core::formats::well_known::*;
use symphonia::core::formats::{FormatId, FormatOptions};
use symphonia::core::io::{MediaSource as _, MediaSourceStream};
use symphonia::core::meta::MetadataOptions;

use crate::declared_end::apply_declared_end;
use crate::decoder::Limits;
use crate::mp4::Mp4;
use crate::packets::{PacketLimits, Packets};
use crate::panics::catch_panic;
use crate::source::Source;
use crate::wav::WavReader;
use crate::{Error, identify};

/// Properties of a recording, from its headers.
#[derive(Debug, Clone, PartialEq)]
pub struct Info {
    /// Short lower-case name: `wav`, `flac`, `mp3`, `ogg`, `webm`, `mp4`, ...
    pub container: String,
    /// Short lower-case name: `pcm_s16le`, `flac`, `mp3`, `vorbis`, `opus`, `aac`, ...
    pub codec: String,
    /// Sample rate in Hz.
    pub sample_rate: u32,
    /// Number of channels in the file, not in the output.
    pub channels: usize,
    /// Duration in seconds, if the container declares one.
    pub declared_duration: Option<f64>,
}

/// Headers may be as large as so many of the largest packets: they have tables of all packets, and
/// pictures.
const HEADER_PACKETS: u64 = 8;

static PROBE: LazyLock<Probe> = LazyLock::new(|| {
    let mut probe = Probe::default();
    symphonia::default::register_enabled_formats(&mut probe);
    probe.register_format_at_tier::<WavReader<'_>>(Tier::Preferred);
    probe
});

/// Detects the format of `source` and opens its audio track.
pub(crate) fn open(mut source: Source, limits: &Limits) -> Result<(Packets, Info), Error> {
    if source.head().is_empty() {
        return Err(Error::Empty);
    }
    if let Some(description) = identify::identify_unsupported(source.head()) {
        return Err(Error::Unrecognized(description));
    }
    if is_mp4(source.head()) || index_may_be_at_the_end(source.head()) {
        source.allow_seeking();
    }
    skip_tags(&mut source).map_err(Error::Read)?;
    let mp4 = if is_mp4(source.head()) && source.is_seekable() {
        Mp4::read(&mut source).map_err(Error::Read)?
    } else {
        Mp4::default()
    };
    apply_declared_end(&mut source, &mp4);
    let head = source.head().to_vec();
    let monitor = source.monitor();
    monitor.limit_element(limits.max_packet_bytes.saturating_mul(HEADER_PACKETS));
    let reader = catch_panic(|| {
        let stream = MediaSourceStream::new(Box::new(source), Default::default());
        // Tags and pictures are not used.
        let metadata = MetadataOptions::default()
            .limit_tag_bytes(Limit::Maximum(64 * 1024))
            .limit_visual_bytes(Limit::Maximum(0));
        PROBE.probe(&Hint::new(), stream, FormatOptions::default(), metadata)
    })
    .map_err(|e| probe_error(e, &head))?;

    let container = container_name(reader.format_info().format, &head);
    // The others have packets of limited size, and may be searched for the next packet for long.
    let max_packet = match container {
        "mp4" | "mkv" | "webm" | "caf" => limits.max_packet_bytes,
        _ => u64::MAX,
    };
    let limits = PacketLimits { bytes: max_packet, channels: limits.max_channels };
    let mut packets = Packets::open(reader, monitor, limits, container)?;
    if packets.track().is_some_and(|track| mp4.is_big_endian(track.id)) {
        let codec = "wide big-endian PCM in QuickTime".into();
        return Err(Error::UnsupportedCodec { codec });
    }
    packets.skip_encoder_delay(|track| mp4.start(track));
    let codec = packets.codec();
    let info = Info {
        container: container.into(),
        codec: codec.name.into(),
        sample_rate: codec.sample_rate,
        channels: codec.channels,
        declared_duration: declared_duration(&packets, container),
    };
    Ok((packets, info))
}

fn is_mp4(head: &[u8]) -> bool {
    const FIRST_ATOMS: [&[u8; 4]; 6] = [b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"];
    let atom = head.get(4..8).unwrap_or_default();
    FIRST_ATOMS.iter().any(|known| atom == *known)
}

/// Returns whether the container is CAF or AIFF, which like MP4 cannot be read forward only. All
/// other containers are read forward, so that symphonia does not search the end for tags, scan the
/// file to estimate its length, or refuse a file that was cut off.
fn index_may_be_at_the_end(head: &[u8]) -> bool {
    head.starts_with(b"caff") || head.starts_with(b"FORM")
}

/// Moves `source` past the ID3v2 tags at its beginning, because a broken tag must not make the
/// recording unreadable and the pictures in tags need not be read.
fn skip_tags(source: &mut Source) -> io::Result<()> {
    const MAX_TAGS: usize = 8;
    for _ in 0..MAX_TAGS {
        let start = source.stream_position()?;
        let mut header = Vec::with_capacity(ID3_HEADER);
        source.by_ref().take(ID3_HEADER as u64).read_to_end(&mut header)?;
        let len = id3v2_len(&header);
        source.seek(SeekFrom::Start(start + len.unwrap_or(0)))?;
        if len.is_none() {
            break;
        }
    }
    Ok(())
}

const ID3_HEADER: usize = 10;

/// Returns the length in bytes of the ID3v2 tag that begins with `header` (id3.org, ID3v2.4.0
/// structure, 3.1).
fn id3v2_len(header: &[u8]) -> Option<u64> {
    const HAS_FOOTER: u8 = 0x10;
    let [b'I', b'D', b'3', major, minor, flags, size @ ..] = header else { return None };
    if size.len() != 4 || *major == 0xff || *minor == 0xff || size.iter().any(|&b| b >= 0x80) {
        return None;
    }
    let body = size.iter().fold(0, |len, &b| len << 7 | u64::from(b));
    let footer = if flags & HAS_FOOTER != 0 { ID3_HEADER } else { 0 };
    Some((ID3_HEADER + footer) as u64 + body)
}

fn probe_error(error: SymphoniaError, head: &[u8]) -> Error {
    match error {
        // Only the message tells that the probe found no format.
        SymphoniaError::Unsupported(why) if why.starts_with("core (probe)") => {
            Error::Unrecognized(identify::describe_unrecognized(head))
        }
        SymphoniaError::Unsupported(why) if why.contains("missing moov") => Error::corrupt(
            "an MP4 file without its index (moov): the recording was not finished, or the file \
             was cut off",
        ),
        SymphoniaError::IoError(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => {
            Error::corrupt("the file ends within its header")
        }
        other => Error::corrupt_by("the header cannot be read", other),
    }
}

fn container_name(format: FormatId, head: &[u8]) -> &'static str {
    match format {
        FORMAT_ID_WAVE => "wav",
        FORMAT_ID_AIFF => "aiff",
        FORMAT_ID_CAF => "caf",
        FORMAT_ID_FLAC => "flac",
        FORMAT_ID_MP1 => "mp1",
        FORMAT_ID_MP2 => "mp2",
        FORMAT_ID_MP3 => "mp3",
        FORMAT_ID_ADTS => "aac",
        FORMAT_ID_OGG => "ogg",
        FORMAT_ID_ISOMP4 => "mp4",
        // The document type is among the first elements of the EBML header.
        FORMAT_ID_MKV if head.windows(4).take(64).any(|bytes| bytes == b"webm") => "webm",
        FORMAT_ID_MKV => "mkv",
        _ => "unknown",
    }
}

/// Returns the duration in seconds that the header declares, if it does.
fn declared_duration(packets: &Packets, container: &str) -> Option<f64> {
    let track = packets.track()?;
    let seconds = match container {
        "mp4" => {
            let skipped =
                packets.codec().encoder_delay as f64 / f64::from(packets.codec().sample_rate);
            track.time_base?.calc_duration(track.duration?)?.as_secs_f64() - skipped
        }
        "mkv" | "webm" => {
            let media = packets.reader().media_info();
            media.time_base?.calc_duration(media.duration?)?.as_secs_f64()
        }
        // The demuxer only estimates it from the first frames.
        "aac" => return None,
        _ => track.num_frames? as f64 / f64::from(packets.codec().sample_rate),
    };
    (seconds > 0.0).then_some(seconds)
}
