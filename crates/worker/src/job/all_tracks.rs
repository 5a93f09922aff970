//! Transcribes all audio tracks of a recording, one after the other, into one transcript.

use audio::{Decoder, TrackChoice};
use speech::pipeline::{Error, Outcome};

/// A container may declare thousands of tracks.
const MAX_TRACKS: usize = 32;

/// Transcribes every track that can be decoded. `open` opens a decoder of a track. Tracks that cannot be decoded, and those beyond the limit, become warnings.
///
/// # Errors
/// The first error of another kind; that of the first track if none can be decoded.
pub(super) fn transcribe(
    open: impl Fn(TrackChoice) -> Result<Decoder, audio::Error>,
    transcribe: impl Fn(Decoder) -> Result<Outcome, Error>,
) -> Result<Outcome, Error> {
    // Opens the default track.
    let opened = open(TrackChoice::All)?;
    let count = opened.audio_tracks();
    if count < 2 {
        return transcribe(opened);
    }
    let mut opened = Some(opened);
    let (mut merged, mut refused, mut warnings) = (None, None, Vec::new());
    for number in 1..=count.min(MAX_TRACKS) {
        let of_track = opened.take_if(|decoder| decoder.audio_track() == number);
        let decoder = of_track.map_or_else(|| open(TrackChoice::Number(number)), Ok);
        let decoder = match decoder {
            Ok(decoder) => decoder,
            Err(
                error @ (audio::Error::UnsupportedCodec { .. } | audio::Error::Encrypted { .. }),
            ) => {
                warnings.push(format!("audio track {number} was left out: {error}"));
                refused.get_or_insert(error);
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        let outcome = match transcribe(decoder) {
            Err(Error::Audio(error @ audio::Error::Empty)) => {
                warnings.push(format!("audio track {number} was left out: {error}"));
                refused.get_or_insert(error);
                continue;
            }
            outcome => outcome?,
        };
        merge(&mut merged, outcome, number);
    }
    if count > MAX_TRACKS {
        let more = count - MAX_TRACKS;
        warnings.push(format!("{more} audio tracks beyond the first {MAX_TRACKS} were left out"));
    }
    match (merged, refused) {
        (Some(mut merged), _) => {
            merged.warnings.extend(warnings);
            merged.segments.sort_by(|a, b| a.start.total_cmp(&b.start));
            merged.turns.sort_by(|a, b| a.start.total_cmp(&b.start));
            Ok(merged)
        }
        (None, Some(error)) => Err(error.into()),
        (None, None) => Err(audio::Error::Empty.into()),
    }
}

/// Adds the outcome of a track to those of the tracks before.
fn merge(merged: &mut Option<Outcome>, mut outcome: Outcome, number: usize) {
    for warning in &mut outcome.report.warnings {
        warning.insert_str(0, &format!("audio track {number}: "));
    }
    let track = u32::try_from(number).ok();
    outcome.segments.iter_mut().for_each(|segment| segment.track = track);
    outcome.turns.iter_mut().for_each(|turn| turn.track = track);
    outcome.voices.iter_mut().for_each(|voice| voice.track = track);
    let Some(merged) = merged else {
        *merged = Some(outcome);
        return;
    };
    merged.segments.append(&mut outcome.segments);
    merged.turns.append(&mut outcome.turns);
    merged.voices.append(&mut outcome.voices);
    merged.report.duration = merged.report.duration.max(outcome.report.duration);
    merged.report.bytes_read += outcome.report.bytes_read;
    merged.report.warnings.append(&mut outcome.report.warnings);
    for stage in outcome.stages {
        match merged.stages.iter_mut().find(|known| known.name == stage.name) {
            Some(known) => known.seconds += stage.seconds,
            None => merged.stages.push(stage),
        }
    }
    merged.wall_seconds += outcome.wall_seconds;
}
