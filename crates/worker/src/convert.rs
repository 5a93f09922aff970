//! Converts types of the job protocol to those of the crates that do not know the protocol.

use speech::{pipeline, speakers::SpeakerOptions};

pub fn channel_mode(mode: job::ChannelMode) -> audio::ChannelMode {
    match mode {
        job::ChannelMode::Mix => audio::ChannelMode::Mix,
        job::ChannelMode::Split => audio::ChannelMode::Split,
        job::ChannelMode::Auto => audio::ChannelMode::Auto,
    }
}

/// Returns the audio track that a job asks for.
///
/// # Errors
/// Says what is wrong with the option, as [`job::JobOptions::check`] does.
pub fn track(options: &job::JobOptions) -> Result<Option<audio::TrackChoice>, String> {
    options.audio_track.as_deref().map(str::parse).transpose()
}

/// Returns the part of a job's options that the pipeline takes, without the voice prints, which are to be
/// read.
pub fn pipeline_options(options: &job::JobOptions) -> pipeline::TranscribeOptions {
    pipeline::TranscribeOptions {
        language: options.language.clone(),
        hotwords: options.hotwords.clone(),
        prompt: options.prompt.clone(),
        translate: options.task == Some(job::Task::Translate),
        punctuate: options.punctuate,
        normalize: options.normalize,
        word_times: options.word_times,
        speakers: options.speakers.as_ref().map(speaker_options),
    }
}

fn speaker_options(speakers: &job::Speakers) -> SpeakerOptions {
    let count = |number: Option<u32>| number.and_then(|number| usize::try_from(number).ok());
    SpeakerOptions {
        count: count(speakers.count),
        min: count(speakers.min),
        max: count(speakers.max),
        voices: None,
    }
}
