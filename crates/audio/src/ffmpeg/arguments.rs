//! The command lines of FFmpeg.

use super::Ffmpeg;
use crate::identify::Format;

/// How the program gets the recording: always as its standard input.
pub(super) struct Input<'a> {
    pub(super) format: &'a Format,
    /// Whether the standard input is a file instead of a pipe.
    pub(super) is_spooled: bool,
}

/// Returns the arguments that make the program list the streams.
pub(super) fn list_streams(ffmpeg: &Ffmpeg, input: &Input<'_>) -> Vec<String> {
    let mut arguments = strings(&["-hide_banner", "-nostdin", "-loglevel", "info"]);
    arguments.extend(input_arguments(ffmpeg, input));
    arguments
}

/// Returns the arguments that make the program write the audio stream with this index, counted from
/// 0, as WAV to its standard output.
///
/// `aresample` puts silence where presentation times leave a gap, and at the beginning if the track
/// starts after the others, because times begin at 0 with the earliest of them. It leaves shifts of
/// less than 0.1 s alone, which come from rounded times.
pub(super) fn decode(ffmpeg: &Ffmpeg, input: &Input<'_>, stream: usize) -> Vec<String> {
    let mut arguments = strings(&["-hide_banner", "-nostdin", "-nostats", "-loglevel", "error"]);
    arguments.extend(strings(&["-threads", "1"]));
    arguments.extend(input_arguments(ffmpeg, input));
    arguments.extend(["-map".to_owned(), format!("0:a:{stream}")]);
    arguments.extend(strings(&["-map_metadata", "-1", "-map_chapters", "-1"]));
    arguments.extend(strings(&["-filter_threads", "1"]));
    arguments.extend(strings(&["-af", "aresample=async=1:first_pts=0:min_hard_comp=0.1"]));
    arguments.extend(strings(&["-c:a", "pcm_f32le", "-f", "wav", "pipe:1"]));
    arguments
}

/// Returns the input and what confines it.
///
/// The demuxer is the one that our own look at the content chose, and the only one allowed, so that a
/// playlist cannot make the program read other files or connect to a host. Its protocol is the only
/// one allowed: of `pipe` and `fd`, neither opens anything. Before FFmpeg 6 there is no `fd`, and
/// seeking takes `file`; the demuxers that need it ([`Format::needs_seeking`]) open no other file:
/// that of MOV would with `enable_drefs`, which is off.
fn input_arguments(ffmpeg: &Ffmpeg, input: &Input<'_>) -> Vec<String> {
    let (protocol, url) = match (input.is_spooled, ffmpeg.reads_descriptors) {
        (false, _) => ("pipe", "pipe:0"),
        (true, true) => ("fd", "fd:"),
        (true, false) => ("file", "file:/dev/stdin"),
    };
    let demuxer = input.format.demuxer;
    let mut arguments =
        strings(&["-protocol_whitelist", protocol, "-format_whitelist", demuxer, "-f", demuxer]);
    if input.format.container == "mp4" {
        arguments.extend(strings(&["-enable_drefs", "0", "-use_absolute_path", "0"]));
    }
    // Decoders of pictures are not opened, not even to look at the streams.
    arguments.extend(strings(&["-vn", "-sn", "-dn", "-i", url]));
    arguments
}

fn strings(arguments: &[&str]) -> Vec<String> {
    arguments.iter().map(|&argument| argument.to_owned()).collect()
}
