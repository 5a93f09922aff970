//! The fingerprint of a transcript: SHA-256 over everything besides the recording that the text
//! depends on.
//!
//! A transcript carries its fingerprint, and a job is not computed again if the fingerprint of its
//! existing transcript matches. The hashed text is therefore spelled out here, field by field, so
//! that it does not depend on the names of types and fields in the code. Its spelling must not
//! change.

use std::fmt::{self, Display, Formatter};

use audio::ChannelMode;
use sha2::{Digest, Sha256};

use super::{Pipeline, TranscribeOptions};
use crate::{
    segmenter::SegmentationConfig,
    speakers::SpeakerOptions,
    vad::{SilenceSchedule, VadOptions},
};

/// Revision of the code: raised whenever the same recording may give another text with the same
/// models and options.
const REVISION: u32 = 5;

/// Returns the fingerprint, hexadecimal.
pub(super) fn fingerprint(
    pipeline: &Pipeline,
    decoding: &audio::DecodeOptions,
    options: &TranscribeOptions,
) -> String {
    let mut text = format!(
        "revision {REVISION}\nrecognizer {}\nvad {}\npunctuation {:?}\nspeakers {:?} {}\n\
         segmentation {}\nchannels {}\nallow_truncated {}\nlanguage {:?}\nhotwords {:?}\n\
         normalize {} {:?}\nword_times {}\nprompt {:?}\ntranslate {}\n",
        pipeline.recognizer().digest,
        pipeline.models.vad.digest(),
        pipeline.punctuator(options).map(|punctuator| punctuator.digest()),
        pipeline.diarizer(options).map(|diarizer| diarizer.digest()),
        Optional(options.speakers.as_ref().map(Speakers)),
        Segmentation(&pipeline.config.segmentation),
        channels(decoding.channels),
        decoding.allow_truncated,
        options.language,
        pipeline.hotwords(options),
        pipeline.normalizes(options),
        pipeline.normalizer(options).map(|normalizer| normalizer.digest()),
        options.has_word_times(),
        options.prompt,
        options.translate,
    );
    // Only if it is set, so that the fingerprint of all other recordings stays.
    if let Some(track) = &decoding.track {
        text.push_str(&format!("track {track}\n"));
    }
    if pipeline.diarizer(options).is_some()
        && let Some(voices) =
            options.speakers.as_ref().and_then(|speakers| speakers.voices.as_ref())
    {
        text.push_str(&format!("voices {}\n", voices.digest()));
    }
    hex::encode(Sha256::digest(text))
}

/// Returns the fingerprint for recordings that `program` decodes.
pub(super) fn with_program(fingerprint: &str, program: &str) -> String {
    hex::encode(Sha256::digest(format!("{fingerprint}\ndecoder {program}\n")))
}

/// An optional value, spelled as `Debug` spells `Option`.
struct Optional<T>(Option<T>);

impl<T: Display> Display for Optional<T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(value) => write!(f, "Some({value})"),
            None => f.write_str("None"),
        }
    }
}

struct Speakers<'a>(&'a SpeakerOptions);

impl Display for Speakers<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        // The voice prints have a line of their own.
        let SpeakerOptions { count, min, max, voices: _ } = self.0;
        write!(f, "SpeakerOptions {{ count: {count:?}, min: {min:?}, max: {max:?} }}")
    }
}

struct Segmentation<'a>(&'a SegmentationConfig);

impl Display for Segmentation<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let SegmentationConfig { vad, max_seconds } = self.0;
        write!(f, "Options {{ vad: {}, max_seconds: {max_seconds:?} }}", Vad(vad))
    }
}

struct Vad<'a>(&'a VadOptions);

impl Display for Vad<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let VadOptions {
            max_end_silence_ms,
            speech_noise_threshold,
            lookback_ms,
            lookahead_ms,
            max_segment_ms,
            dynamic_silence,
            dynamic_silence_step_ms,
        } = self.0;
        write!(
            f,
            "VadOptions {{ max_end_silence_ms: {max_end_silence_ms:?}, \
             speech_noise_threshold: {speech_noise_threshold:?}, lookback_ms: {lookback_ms:?}, \
             lookahead_ms: {lookahead_ms:?}, max_segment_ms: {max_segment_ms:?}, \
             dynamic_silence: {}, dynamic_silence_step_ms: {dynamic_silence_step_ms:?} }}",
            Optional(dynamic_silence.as_ref().map(Schedule)),
        )
    }
}

struct Schedule<'a>(&'a SilenceSchedule);

impl Display for Schedule<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "SilenceSchedule({:?})", self.0.pairs())
    }
}

fn channels(mode: ChannelMode) -> &'static str {
    match mode {
        ChannelMode::Mix => "Mix",
        ChannelMode::Split => "Split",
        ChannelMode::Auto => "Auto",
    }
}
