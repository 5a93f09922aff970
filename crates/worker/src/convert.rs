//! Converts types of the job protocol to those of the crates that do not know the protocol.

use speech::{pipeline, speakers::SpeakerOptions};
use transcript::Format;

pub fn format(format: job::OutputFormat) -> Format {
    match format {
        job::OutputFormat::Json => Format::Json,
        job::OutputFormat::Srt => Format::Srt,
        job::OutputFormat::Vtt => Format::Vtt,
        job::OutputFormat::Txt => Format::Txt,
        job::OutputFormat::Aws => Format::Aws,
        job::OutputFormat::Rttm => Format::Rttm,
        job::OutputFormat::Ctm => Format::Ctm,
        job::OutputFormat::Tsv => Format::Tsv,
    }
}

pub fn output_format(format: Format) -> job::OutputFormat {
    match format {
        Format::Json => job::OutputFormat::Json,
        Format::Srt => job::OutputFormat::Srt,
        Format::Vtt => job::OutputFormat::Vtt,
        Format::Txt => job::OutputFormat::Txt,
        Format::Aws => job::OutputFormat::Aws,
        Format::Rttm => job::OutputFormat::Rttm,
        Format::Ctm => job::OutputFormat::Ctm,
        Format::Tsv => job::OutputFormat::Tsv,
    }
}

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

/// Returns the part of a job's options that the pipeline takes.
pub fn pipeline_options(options: &job::JobOptions) -> pipeline::TranscribeOptions {
    pipeline::TranscribeOptions {
        language: options.language.clone(),
        hotwords: options.hotwords.clone(),
        prompt: options.prompt.clone(),
        translate: options.task == Some(job::Task::Translate),
        punctuate: options.punctuate,
        normalize: options.normalize,
        word_times: options.word_times,
        speakers: options.speakers.map(speaker_options),
    }
}

fn speaker_options(speakers: job::Speakers) -> SpeakerOptions {
    let count = |number: Option<u32>| number.and_then(|number| usize::try_from(number).ok());
    SpeakerOptions {
        count: count(speakers.count),
        min: count(speakers.min),
        max: count(speakers.max),
        ..SpeakerOptions::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The job crate checks that no rendering replaces the source, so its names must be the real ones.
    #[test]
    fn formats_have_the_same_names_and_extensions_in_jobs_and_transcripts() {
        assert_eq!(job::OutputFormat::ALL.len(), Format::ALL.len());
        for &of_job in job::OutputFormat::ALL {
            let of_transcript = format(of_job);
            assert_eq!(of_job.as_str(), of_transcript.name());
            assert_eq!(of_job.extension(), of_transcript.extension());
            assert_eq!(output_format(of_transcript), of_job);
        }
    }
}
