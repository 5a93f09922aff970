//! Pinned fingerprints: if they changed, every recording would be transcribed again.

#![allow(clippy::unwrap_used)]

mod support;

use std::sync::Arc;

use audio::ChannelMode;
use speech::{
    pipeline::{Models, Pipeline, PipelineConfig, TranscribeOptions},
    recognizer::{Description, Error, Recognition, RecognizeOptions, Recognizer},
    segmenter::SegmentationConfig,
    speakers::SpeakerOptions,
    vad::{EnergyVad, SilenceSchedule, VadOptions},
};
use support::{InlineCompute, decoding};

/// A recognizer that is never called. It supports hotwords.
struct Silent(Description);

impl Recognizer for Silent {
    fn description(&self) -> &Description {
        &self.0
    }

    fn max_seconds(&self) -> f64 {
        30.0
    }

    fn fixed_window(&self) -> bool {
        true
    }

    fn punctuates(&self, _: bool) -> bool {
        true
    }

    fn takes_hotwords(&self) -> bool {
        true
    }

    fn recognize(&self, _: &[f32], _: &RecognizeOptions) -> Result<Recognition, Error> {
        Ok(Recognition::default())
    }
}

fn pipeline(config: PipelineConfig) -> Pipeline {
    let description = Description::of_test("silent");
    let models = Models {
        vad: Arc::new(EnergyVad),
        recognizer: Arc::new(Silent(description)),
        punctuator: None,
        diarizer: None,
        normalizer: None,
    };
    Pipeline::new(models, config, Arc::new(InlineCompute))
}

#[test]
fn defaults() {
    let pipeline = pipeline(PipelineConfig::default());
    assert_eq!(
        pipeline.fingerprint(&decoding(ChannelMode::Mix), &TranscribeOptions::default()),
        "c14ad1fefa18166c970d5ea4da16318a12d75814c20810a7828214ba93b092a0"
    );
}

#[test]
fn speakers_hotwords_language_and_channels() {
    let pipeline = pipeline(PipelineConfig {
        hotwords: vec!["Scriptorium".to_owned()],
        ..PipelineConfig::default()
    });
    let options = TranscribeOptions {
        language: Some("en".to_owned()),
        hotwords: vec!["naïve \"quoted\"".to_owned()],
        prompt: Some("Hello.".to_owned()),
        translate: true,
        punctuate: Some(true),
        normalize: Some(true),
        word_times: Some(false),
        speakers: Some(SpeakerOptions { min: Some(2), max: Some(5), ..SpeakerOptions::default() }),
    };
    assert_eq!(
        pipeline.fingerprint(&decoding(ChannelMode::Split), &options),
        "057dd200709206a01203816a518f255a726cf65a4ee591b2b50c4426d4db4d59"
    );
}

#[test]
fn every_value_of_segmentation() {
    let pipeline = pipeline(PipelineConfig {
        segmentation: SegmentationConfig {
            vad: VadOptions {
                max_end_silence_ms: Some(500),
                speech_noise_threshold: Some(0.65),
                lookback_ms: Some(100),
                lookahead_ms: Some(50),
                max_segment_ms: Some(20_000),
                dynamic_silence: Some(SilenceSchedule::funasr()),
                dynamic_silence_step_ms: Some(100),
            },
            max_seconds: Some(20.5),
        },
        ..PipelineConfig::default()
    });
    let options = TranscribeOptions {
        speakers: Some(SpeakerOptions { count: Some(3), ..SpeakerOptions::default() }),
        ..TranscribeOptions::default()
    };
    let decoding = audio::DecodeOptions { allow_truncated: true, ..decoding(ChannelMode::Mix) };
    assert_eq!(
        pipeline.fingerprint(&decoding, &options),
        "5ef1912792f904c0c7852585939badffc0ad3522a9fbf03e39a278008bfd2b10"
    );
}
