//! Opens the container of a recording and reads its header.

use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::sync::LazyLock;

use symphonia::core::codecs::CodecParameters;
use symphonia::core::common::{Limit, Tier};
use symphonia::core::errors::Error as SymphoniaError;
use symphonia::core::formats::probe::{Hint, Probe};
use symphonia::core::formats::well_known::*;
use symphonia::core::formats::{FormatId, FormatOptions};
use symphonia::core::io::{MediaSource as _, MediaSourceStream};
use symphonia::core::meta::MetadataOptions;

use crate::aiff::AiffReader;
use crate::clock::Times;
use crate::declared_end::apply_declared_end;
use crate::decode::Trims;
use crate::header_stripping::HeaderStripping;
use crate::identify::{self, Foreign, identify_foreign, is_mp4};
use crate::listing::Listing;
use crate::mp4::{self, Movie, Mp4Reader};
use crate::ogg::OggReader;
use crate::options::DecodeOptions;
use crate::packets::{Demuxer, PacketLimits, Packets};
use crate::panics::catch_panic;
use crate::parts::Parts;
use crate::source::{ReadMonitor, Source};
use crate::tracks::{self, AudioTrack};
use crate::wav::WavReader;
use crate::{Error, codec_names, mkv, mp2};

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
    /// Name and version of the program that decodes it instead of this crate.
    pub decoder: Option<String>,
}

/// An opened container.
pub(crate) struct Container {
    pub(crate) packets: Packets,
    pub(crate) info: Info,
    /// All audio tracks.
    pub(crate) tracks: Vec<AudioTrack>,
    /// Number of the one that is decoded.
    pub(crate) track: usize,
    pub(crate) warnings: Vec<String>,
}

/// Headers may be as large as this many of the largest packets: they have tables of all packets, and
/// pictures.
const HEADER_PACKETS: u64 = 8;

static PROBE: LazyLock<Probe> = LazyLock::new(|| {
    let mut probe = Probe::default();
    symphonia::default::register_enabled_formats(&mut probe);
    probe.register_format_at_tier::<WavReader<'_>>(Tier::Preferred);
    probe.register_format_at_tier::<AiffReader<'_>>(Tier::Preferred);
    probe.register_format_at_tier::<OggReader<'_>>(Tier::Preferred);
    probe
});

/// Detects the format of `source` and opens an audio track.
pub(crate) fn open(source: Source, options: &DecodeOptions) -> Result<Container, Error> {
    let monitor = source.monitor();
    let parts = Parts::new(source);
    let open_part = {
        let (options, monitor) = (options.clone(), monitor.clone());
        move |parts: &Parts| open_part(parts, &monitor, &options)
    };
    let demuxer = open_part(&parts)?;
    let packets = Packets::open(demuxer, parts, monitor, Box::new(open_part))?;
    let codec = packets.codec();
    let info = Info {
        container: packets.container().into(),
        codec: codec.name.into(),
        sample_rate: codec.sample_rate,
        channels: codec.channels,
        declared_duration: packets.stats().declared,
        decoder: None,
    };
    let demuxer = packets.demuxer();
    let (tracks, track) = (demuxer.tracks.clone(), demuxer.number);
    let warnings = demuxer.warnings.clone();
    Ok(Container { packets, info, tracks, track, warnings })
}

/// Opens the recording that begins where the source is.
fn open_part(
    parts: &Parts,
    monitor: &ReadMonitor,
    options: &DecodeOptions,
) -> Result<Demuxer, Error> {
    let limits = &options.limits;
    let mut source = parts.source();
    if source.head().is_empty() {
        return Err(Error::Empty);
    }
    match identify_foreign(source.head()) {
        Some(Foreign::Other(description)) => return Err(Error::Unrecognized(description)),
        Some(Foreign::Recording(format)) => return Err(Error::unsupported(format.name)),
        None => {}
    }
    monitor.limit_element(limits.max_packet_bytes.saturating_mul(HEADER_PACKETS));
    skip_tags(&mut source).map_err(Error::Read)?;
    if is_mp4(source.head()) || index_may_be_at_the_end(source.head()) {
        source.allow_seeking();
    }
    if mp2::is_refused(source.head()) {
        return Err(Error::unsupported("MPEG layer 2 at this bit rate"));
    }
    let (mut movie, mut listing) = (Movie::default(), Listing::default());
    if is_mp4(source.head()) && source.is_seekable() {
        movie = Movie::read(&mut source)?;
        listing.mp4 = mp4::audio_tracks(&mut source).map_err(Error::Read)?;
    }
    listing.mkv = mkv::audio_tracks(&mut source).map_err(Error::Read)?;
    apply_declared_end(&mut source, &movie);
    let head = source.head().to_vec();
    drop(source);
    let part = parts.part().map_err(Error::Read)?;
    monitor.limit_element(limits.max_packet_bytes.saturating_mul(HEADER_PACKETS));
    let reader = catch_panic(|| {
        let stream = MediaSourceStream::new(Box::new(part), Default::default());
        // Tags and pictures are not used.
        let metadata = MetadataOptions::default()
            .limit_tag_bytes(Limit::Maximum(64 * 1024))
            .limit_visual_bytes(Limit::Maximum(0));
        PROBE.probe(&Hint::new(), stream, FormatOptions::default(), metadata)
    })
    .map_err(|e| probe_error(e, &head))?;

    let container = container_name(reader.format_info().format, &head);
    let mut reader = HeaderStripping::wrap(reader, listing.prefixes());
    let tracks = listing.tracks(&*reader);
    if tracks.is_empty() {
        return Err(Error::NoAudioTrack { container: container.into() });
    }
    let chosen = tracks::choose(&tracks, options.track.as_ref(), |track| {
        if movie.is_big_endian(track.id) {
            return Err(Error::unsupported("wide big-endian PCM in QuickTime"));
        }
        listing.check(&*reader, track, limits.max_channels)
    })?;
    let (track, number) = (tracks[chosen.index].id, tracks[chosen.index].number);
    let has_movie = movie.has_track(track);
    if has_movie {
        // symphonia has read the codecs; the packets are read with the edit lists.
        monitor.limit_element(limits.max_packet_bytes.saturating_mul(HEADER_PACKETS));
        let (tracks, stream) = (reader.tracks().to_vec(), reader.into_inner());
        let opened = catch_panic(|| Mp4Reader::open(stream, &tracks, &movie, track));
        let opened = opened.map_err(|e| Error::corrupt_by("the index cannot be read", e))?;
        reader = Box::new(opened);
    } else if container == "mp4" {
        // Without the edit lists, what the owner cut away would be heard.
        return Err(Error::unsupported("MP4 from a source in which it is impossible to seek"));
    }
    // The others have packets of limited size, and may be searched for the next packet for long.
    let max_packet = match container {
        "mp4" | "mkv" | "webm" | "caf" => limits.max_packet_bytes,
        _ => u64::MAX,
    };
    let mut demuxer = Demuxer {
        reader,
        track,
        tracks,
        number,
        warnings: chosen.warnings,
        container,
        times: match container {
            "mp4" => Times::FromZero,
            "mkv" | "webm" | "ogg" | "flac" => Times::FromEarliestTrack,
            _ => Times::None,
        },
        trims: match container {
            "mp4" | "ogg" => Trims::Stated,
            "mkv" | "webm" => Trims::BeforeZero,
            _ => Trims::ByDecoder,
        },
        limits: PacketLimits {
            bytes: max_packet,
            channels: limits.max_channels,
            seconds: limits.max_duration.as_secs_f64(),
        },
        declared: None,
    };
    demuxer.warnings.extend(movie.appended.map(|(start, bytes)| {
        format!("another MP4 file follows at byte {start} and was not decoded: {bytes} bytes")
    }));
    demuxer.declared = declared_duration(&demuxer, &movie);
    Ok(demuxer)
}

/// Returns whether the container is CAF or AIFF, which like MP4 cannot be read forward only. All
/// other containers are read forward, so that symphonia does not search the end for tags, scan the
/// file to estimate its length, or refuse a file that was cut off.
fn index_may_be_at_the_end(head: &[u8]) -> bool {
    head.starts_with(b"caff") || head.starts_with(b"FORM")
}

/// Moves `source` past the ID3v2 tags at its beginning, because a broken tag must not make the
/// recording unreadable and the pictures in tags need not be read.
pub(crate) fn skip_tags(source: &mut Source) -> io::Result<()> {
    const MAX_TAGS: usize = 8;
    let beginning = source.stream_position()?;
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
    match source.stream_position()? {
        position if position == beginning => Ok(()),
        position => source.begin_at(position),
    }
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
        SymphoniaError::Unsupported(why) if why.contains("missing moov") => Error::missing_index(),
        // A feature or a codec, by which the file is not damaged.
        SymphoniaError::Unsupported(why) => {
            Error::unsupported(codec_names::of_file(head).unwrap_or_else(|| why.to_owned()))
        }
        SymphoniaError::IoError(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => {
            Error::corrupt("the file ends within its header")
        }
        other => Error::corrupt_by("the header cannot be read", other),
    }
}

fn container_name(format: FormatId, head: &[u8]) -> &'static str {
    match format {
        // MPEG audio in WAV is read by the demuxer of MPEG audio.
        FORMAT_ID_WAVE => "wav",
        _ if head.get(8..12) == Some(b"WAVE") => "wav",
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
fn declared_duration(demuxer: &Demuxer, movie: &Movie) -> Option<f64> {
    let mut tracks = demuxer.reader.tracks().iter();
    let track = tracks.find(|track| track.id == demuxer.track)?;
    let seconds = match demuxer.container {
        "mp4" => {
            let seconds = track.time_base.zip(track.duration);
            let seconds = seconds.and_then(|(base, duration)| base.calc_duration(duration));
            movie.fragments_seconds.or(seconds.map(|time| time.as_secs_f64()))?
        }
        "mkv" | "webm" => {
            let media = demuxer.reader.media_info();
            media.time_base?.calc_duration(media.duration?)?.as_secs_f64()
        }
        // The demuxer only estimates it from the first frames.
        "aac" => return None,
        _ => {
            let Some(CodecParameters::Audio(params)) = &track.codec_params else { return None };
            track.num_frames? as f64 / f64::from(params.sample_rate.filter(|&rate| rate > 0)?)
        }
    };
    (seconds > 0.0).then_some(seconds)
}
