//! Reads the list of streams that FFmpeg prints.

use crate::tracks::AudioTrack;

/// Returns the audio streams of a list such as
///
/// ```text
///   Stream #0:1[0x101](eng): Audio: ac3, 48000 Hz, 5.1(side), fltp, 448 kb/s (default)
/// ```
pub(super) fn parse(text: &str) -> Vec<AudioTrack> {
    let mut tracks = Vec::new();
    for line in text.lines() {
        let Some(rest) = line.trim_start().strip_prefix("Stream #0:") else { continue };
        let Some((place, description)) = rest.split_once(": Audio: ") else { continue };
        let language = place.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
        let end = description.find([',', ' ']).unwrap_or(description.len());
        tracks.push(AudioTrack {
            id: 0,
            number: tracks.len() + 1,
            language: language.filter(|code| is_code(code)).map(str::to_owned),
            codec: errors::printable(&description[..end]).into_owned(),
            is_default: description.contains("(default)"),
        });
    }
    tracks
}

/// Returns the duration in seconds that the container declares for its only stream, if it has only
/// one and the program did not estimate it. Of several streams, it is the longest one's.
pub(super) fn declared_duration(text: &str) -> Option<f64> {
    let streams = text.lines().filter(|line| line.trim_start().starts_with("Stream #")).count();
    if streams != 1 || text.contains("Estimating duration") {
        return None;
    }
    let line = text.lines().find_map(|line| line.strip_prefix("  Duration: "))?;
    let mut seconds = 0.0;
    for part in line.split(',').next()?.split(':') {
        seconds = seconds * 60.0 + part.parse::<f64>().ok().filter(|part| *part >= 0.0)?;
    }
    (seconds > 0.0 && seconds.is_finite()).then_some(seconds)
}

/// Returns whether the program knows how to decode this codec.
pub(super) fn is_decodable(codec: &str) -> bool {
    !matches!(codec, "none" | "unknown" | "")
}

fn is_code(text: &str) -> bool {
    text != "und" && !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_audio_streams() {
        let text = "Input #0, matroska,webm, from 'pipe:0':\n  Metadata:\n    \
                    title           : Stream #0:7: Audio: evil\n  Duration: 00:00:03.92\n  \
                    Stream #0:0: Video: mpeg4 (Simple Profile), yuv420p, 32x32\n  \
                    Stream #0:1(eng): Audio: ac3, 48000 Hz, mono, fltp, 64 kb/s (default)\n  \
                    Stream #0:2[0x102](und): Audio: none (samr / 0x726D6173), 8000 Hz\n  \
                    Stream #0:3(deu): Audio: aac (LC), 48000 Hz, mono, fltp\n";
        let tracks = parse(text);
        let fields: Vec<_> = tracks
            .iter()
            .map(|t| (t.number, t.language.as_deref(), t.codec.as_str(), t.is_default))
            .collect();
        assert_eq!(
            fields,
            [
                (1, Some("eng"), "ac3", true),
                (2, None, "none", false),
                (3, Some("deu"), "aac", false)
            ]
        );
        assert!(is_decodable("ac3") && !is_decodable("none"));
        assert_eq!(declared_duration(text), None, "of several streams");
    }

    #[test]
    fn reads_the_duration_of_a_single_stream() {
        let text = |duration: &str| {
            format!(
                "Input #0\n  Duration: {duration}, bitrate: 64 kb/s\n  Stream #0:0: Audio: gsm\n"
            )
        };
        assert_eq!(declared_duration(&text("01:00:03.84")), Some(3603.84));
        for unknown in ["N/A", "00:00:00.00", "1e400", "-1:00"] {
            assert_eq!(declared_duration(&text(unknown)), None, "{unknown}");
        }
        let estimated = text("00:00:01.00") + "Estimating duration from bitrate\n";
        assert_eq!(declared_duration(&estimated), None);
    }
}
