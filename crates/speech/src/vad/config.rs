//! The `config.yaml` of an FSMN-VAD model, and the options that override it.

use std::path::Path;

use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use crate::{features::FrontendConfig, files, recognizer::Error};

/// Milliseconds from one frame to the next.
const FRAME_MS: u32 = 10;
/// Limits on a schedule of silences.
const MAX_PAIRS: usize = 100;
const MAX_SECONDS: f64 = 86_400.0;
const MAX_SILENCE_MS: u32 = 60_000;
/// FunASR's values for detection with a schedule.
const DYNAMIC_THRESHOLD: f32 = 0.5;
const DYNAMIC_STEP_MS: u32 = 60_000;
/// Thresholds at and below this level have no effect, because no audio is that quiet.
const OFF_DB: f32 = -100.0;

/// Options of voice activity detection. `None` stands for the value in the model's `config.yaml`.
/// Times are in milliseconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VadOptions {
    /// Silence that ends a segment: 800 in the published model.
    pub max_end_silence_ms: Option<u32>,
    /// Minimum difference between the probabilities of speech and of silence in a speech frame, 0 to
    /// 1: 0.6 in the published model.
    #[serde(deserialize_with = "probability")]
    pub speech_noise_threshold: Option<f32>,
    /// Time by which a segment starts before its first frames of speech: 200 in the published model.
    pub lookback_ms: Option<u32>,
    /// Silence kept at the end of a segment: 100 in the published model.
    pub lookahead_ms: Option<u32>,
    /// Length at which speech is cut, even within a word: 60000 in the published model.
    pub max_segment_ms: Option<u32>,
    /// Schedule by which less silence ends a segment the older the segment is. It replaces
    /// `max_end_silence_ms`. Off by default; [`SilenceSchedule::funasr`] is FunASR's.
    pub dynamic_silence: Option<SilenceSchedule>,
    /// Interval at which the schedule is looked up, at least 10. The default is 60000 as in FunASR,
    /// which looks it up every 60 seconds of the recording and then counts an open segment as 60
    /// seconds older.
    #[serde(deserialize_with = "step")]
    pub dynamic_silence_step_ms: Option<u32>,
}

/// The silence that ends a segment, by the age of the segment: `[seconds, milliseconds]` pairs. Each
/// pair applies to segments up to this age, the last one also to older segments.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<(f64, u32)>", into = "Vec<(f64, u32)>")]
pub struct SilenceSchedule(Vec<(f64, u32)>);

impl SilenceSchedule {
    /// Returns FunASR's schedule for recordings (`DEFAULT_SILENCE_SCHEDULE` of version 1.4).
    pub fn funasr() -> Self {
        let funasr =
            [(10, 2000), (20, 1000), (30, 800), (40, 600), (50, 400), (60, 200), (61, 100)];
        Self(funasr.map(|(seconds, silence)| (f64::from(seconds), silence)).to_vec())
    }

    /// Returns the pairs of seconds and milliseconds.
    pub(crate) fn pairs(&self) -> &[(f64, u32)] {
        &self.0
    }
}

impl TryFrom<Vec<(f64, u32)>> for SilenceSchedule {
    type Error = String;

    fn try_from(pairs: Vec<(f64, u32)>) -> Result<Self, String> {
        if !(1..=MAX_PAIRS).contains(&pairs.len()) {
            return Err(format!("{} pairs, not 1 to {MAX_PAIRS}", pairs.len()));
        }
        let mut before = 0.0;
        for &(seconds, silence) in &pairs {
            if !(seconds > before && seconds <= MAX_SECONDS) {
                return Err(format!(
                    "{seconds} seconds after {before}: ages must increase, up to {MAX_SECONDS}"
                ));
            }
            if silence > MAX_SILENCE_MS {
                return Err(format!("{silence} ms of silence are more than {MAX_SILENCE_MS}"));
            }
            before = seconds;
        }
        Ok(Self(pairs))
    }
}

impl From<SilenceSchedule> for Vec<(f64, u32)> {
    fn from(schedule: SilenceSchedule) -> Self {
        schedule.0
    }
}

fn probability<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f32>, D::Error> {
    match Option::<f32>::deserialize(deserializer)? {
        Some(value) if !(0.0..=1.0).contains(&value) => {
            Err(D::Error::custom(format!("{value} is not between 0 and 1")))
        }
        value => Ok(value),
    }
}

fn step<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    match Option::<u32>::deserialize(deserializer)? {
        Some(value) if value < FRAME_MS => {
            Err(D::Error::custom(format!("{value} ms are less than a frame of {FRAME_MS} ms")))
        }
        value => Ok(value),
    }
}

/// The part of the file that we need. The rest differs between releases and is ignored.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct ModelConfig {
    pub(super) frontend_conf: FrontendConfig,
    pub(super) model_conf: EndpointConfig,
    pub(super) encoder_conf: EncoderConfig,
}

/// Sizes of the network.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct EncoderConfig {
    pub(super) fsmn_layers: usize,
    pub(super) proj_dim: usize,
    /// Taps of the memory: each layer looks back `lorder - 1` frames.
    pub(super) lorder: usize,
    /// Number of output classes.
    pub(super) output_dim: usize,
}

/// FunASR's `VADXOptions`, with its defaults.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct EndpointConfig {
    max_end_silence_time: u32,
    window_size_ms: u32,
    sil_to_speech_time_thres: u32,
    speech_to_sil_time_thres: u32,
    lookback_time_start_point: u32,
    lookahead_time_end_point: u32,
    max_single_segment_time: u32,
    speech_noise_thres: f32,
    pub(super) sil_pdf_ids: Vec<usize>,
    // Only one value of each of the following is supported.
    detect_mode: u32,
    do_extend: u32,
    frame_in_ms: u32,
    speech_2_noise_ratio: f32,
    snr_thres: f32,
    decibel_thres: f32,
}

impl Default for EndpointConfig {
    fn default() -> Self {
        Self {
            max_end_silence_time: 800,
            window_size_ms: 200,
            sil_to_speech_time_thres: 150,
            speech_to_sil_time_thres: 150,
            lookback_time_start_point: 200,
            lookahead_time_end_point: 100,
            max_single_segment_time: 60_000,
            speech_noise_thres: 0.6,
            sil_pdf_ids: vec![0],
            detect_mode: 1,
            do_extend: 1,
            frame_in_ms: FRAME_MS,
            speech_2_noise_ratio: 1.0,
            snr_thres: OFF_DB,
            decibel_thres: OFF_DB,
        }
    }
}

impl ModelConfig {
    /// Reads and checks a `config.yaml`.
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let config: Self = files::read_yaml(path)?;
        config.check().map_err(|message| files::broken(path, message))?;
        Ok(config)
    }

    fn check(&self) -> Result<(), String> {
        let endpoint = &self.model_conf;
        let supported = [
            ("detect_mode", endpoint.detect_mode == 1),
            ("do_extend", endpoint.do_extend == 1),
            ("frame_in_ms", endpoint.frame_in_ms == FRAME_MS),
            ("speech_2_noise_ratio", endpoint.speech_2_noise_ratio == 1.0),
            ("snr_thres", endpoint.snr_thres <= OFF_DB),
            ("decibel_thres", endpoint.decibel_thres <= OFF_DB),
            ("window_size_ms", (FRAME_MS..=60_000).contains(&endpoint.window_size_ms)),
            ("speech_noise_thres", (0.0..=1.0).contains(&endpoint.speech_noise_thres)),
            ("lorder", (2..=1000).contains(&self.encoder_conf.lorder)),
            ("proj_dim", (1..=10_000).contains(&self.encoder_conf.proj_dim)),
            ("fsmn_layers", (1..=100).contains(&self.encoder_conf.fsmn_layers)),
            (
                "sil_pdf_ids",
                !endpoint.sil_pdf_ids.is_empty()
                    && endpoint.sil_pdf_ids.iter().all(|&id| id < self.encoder_conf.output_dim),
            ),
        ];
        match supported.iter().find(|(_, supported)| !supported) {
            Some((setting, _)) => Err(format!("this value of `{setting}` is not supported")),
            None => Ok(()),
        }
    }
}

/// Parameters of the end-point state machine, in frames.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct EndpointOptions {
    /// Length of the window that decides between speech and silence.
    pub(super) window: usize,
    /// Number of speech frames in the window from which silence becomes speech.
    pub(super) to_speech: usize,
    /// Number of speech frames in the window up to which speech becomes silence.
    pub(super) to_silence: usize,
    /// End of segments, unless `dynamic` is set.
    pub(super) ending: Ending,
    /// End of segments by their age.
    pub(super) dynamic: Option<DynamicEnding>,
    /// Number of frames by which a segment starts before the frame that opens it.
    pub(super) start_lag: u64,
    pub(super) max_segment: u64,
    /// A frame is speech if p(speech) >= p(silence) + threshold.
    pub(super) threshold: f32,
}

/// Condition and position of the end of a segment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Ending {
    /// Number of silent frames that end the segment, counted after the window has become silent.
    pub(super) silence: u64,
    /// Number of frames by which the segment ends before the frame that ends it.
    pub(super) lag: u64,
}

/// Endings by age, looked up every `step` frames.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct DynamicEnding {
    pub(super) step: u64,
    /// Each applies up to an age, the last one also to older segments. Not empty.
    pub(super) endings: Vec<(u64, Ending)>,
}

impl EndpointOptions {
    pub(super) fn new(config: &EndpointConfig, user: &VadOptions) -> Self {
        let frames = |ms: u32| u64::from(ms / FRAME_MS);
        let lookahead = frames(user.lookahead_ms.unwrap_or(config.lookahead_time_end_point));
        let ending = |max_end_silence: u32| {
            // This much of the silence has passed by the time the window becomes silent.
            let remaining = max_end_silence.saturating_sub(config.speech_to_sil_time_thres);
            Ending {
                silence: u64::from(remaining.div_ceil(FRAME_MS)),
                lag: frames(remaining).saturating_sub(lookahead + 1),
            }
        };
        let dynamic = user.dynamic_silence.as_ref().map(|schedule| DynamicEnding {
            step: frames(user.dynamic_silence_step_ms.unwrap_or(DYNAMIC_STEP_MS)).max(1),
            endings: schedule
                .0
                .iter()
                .map(|&(seconds, silence)| {
                    ((seconds * 1000.0) as u64 / u64::from(FRAME_MS), ending(silence))
                })
                .collect(),
        });
        let threshold =
            if dynamic.is_some() { DYNAMIC_THRESHOLD } else { config.speech_noise_thres };
        let lookback = frames(user.lookback_ms.unwrap_or(config.lookback_time_start_point));
        let window = frames(config.window_size_ms);
        Self {
            window: window as usize,
            to_speech: frames(config.sil_to_speech_time_thres) as usize,
            to_silence: frames(config.speech_to_sil_time_thres) as usize,
            ending: ending(user.max_end_silence_ms.unwrap_or(config.max_end_silence_time)),
            dynamic,
            start_lag: window + lookback,
            max_segment: frames(user.max_segment_ms.unwrap_or(config.max_single_segment_time)),
            threshold: user.speech_noise_threshold.unwrap_or(threshold),
        }
    }

    /// Returns the ending of a segment that is `age` frames old.
    pub(super) fn ending(&self, age: u64) -> Ending {
        let Some(DynamicEnding { endings, .. }) = &self.dynamic else { return self.ending };
        let pair = endings.iter().find(|(limit, _)| age <= *limit).or(endings.last());
        pair.map_or(self.ending, |&(_, ending)| ending)
    }

    /// Returns the largest number of frames by which an end can lie before the frame that reports it.
    pub(super) fn max_lag(&self) -> u64 {
        match &self.dynamic {
            Some(DynamicEnding { endings, .. }) => {
                endings.iter().map(|(_, ending)| ending.lag).max().unwrap_or(0)
            }
            None => self.ending.lag,
        }
    }

    /// Returns whether a frame is speech. `silence`: probability of silence; NaN counts as silence.
    pub(super) fn is_speech(&self, silence: f32) -> bool {
        let silence = f64::from(silence);
        1.0 - silence >= silence + f64::from(self.threshold)
    }
}
