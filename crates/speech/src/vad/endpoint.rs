//! Finds the segments in a stream of frames: the end-point state machine of FunASR's `E2EVadModel`.
//!
//! A window over the last frames decides when speech and silence start. A segment starts shortly
//! before the window has filled with speech. It ends once there has been enough silence, shortly
//! after the silence started.

use std::collections::VecDeque;

use super::config::{Ending, EndpointOptions};

/// A stream of samples has given this many fewer rows than 10 ms shifts: the last frame is longer
/// than the shift, and low frame rate stacking waits for two more frames.
const CHUNK_DELAY: u64 = 4;

/// Start or end of a segment, in frames from the start of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Boundary {
    /// The first frame of the segment.
    Start(u64),
    /// The first frame after the segment.
    End(u64),
}

/// State machine over one stream of frames.
pub(super) struct Endpointer {
    options: EndpointOptions,
    window: SlidingWindow,
    /// Number of frames so far.
    frames: u64,
    /// Start of the open segment.
    start: Option<u64>,
    /// Number of frames since the window became silent within the open segment.
    silence: u64,
    /// End of the last segment. The next one starts no earlier.
    ended: u64,
    /// Age of the open segment as the schedule counts it.
    age: u64,
    /// Ending of a segment of this age.
    ending: Ending,
}

impl Endpointer {
    pub(super) fn new(options: EndpointOptions) -> Self {
        let window = SlidingWindow::new(&options);
        let ending = options.ending(0);
        Self { options, window, frames: 0, start: None, silence: 0, ended: 0, age: 0, ending }
    }

    /// Takes the silence probability of the next frame.
    pub(super) fn push(&mut self, silence: f32) -> Option<Boundary> {
        self.update_ending();
        let turned = self.window.push(self.options.is_speech(silence));
        let silent = !self.window.in_speech;
        let frame = self.frames;
        self.frames += 1;
        let Some(start) = self.start else {
            return turned.then(|| self.open(frame));
        };
        self.silence = if silent && !turned { self.silence + 1 } else { 0 };
        if silent && !turned && self.silence >= self.ending.silence {
            Some(self.close(frame - self.ending.lag + 1))
        } else if frame - start + 1 > self.options.max_segment {
            Some(self.close(frame + 1))
        } else {
            None
        }
    }

    /// Looks up the ending of segments if it is time to.
    fn update_ending(&mut self) {
        if let Some(dynamic) = &self.options.dynamic
            && (self.frames + CHUNK_DELAY).is_multiple_of(dynamic.step)
        {
            if self.start.is_some() {
                self.age += dynamic.step;
            }
            self.ending = self.options.ending(self.age);
        }
    }

    /// Ends the stream, and with it the open segment.
    pub(super) fn finish(&mut self) -> Option<Boundary> {
        self.start.is_some().then(|| self.close(self.frames))
    }

    /// Returns the earliest frame at which the open segment, or the next one, can start.
    pub(super) fn earliest_start(&self) -> u64 {
        self.start.unwrap_or_else(|| self.start_at(self.frames))
    }

    /// Returns the largest number of frames by which an end can lie before the frame that reports it.
    pub(super) fn end_lag(&self) -> u64 {
        self.options.max_lag()
    }

    /// Returns the start of a segment that `frame` opens.
    fn start_at(&self, frame: u64) -> u64 {
        frame.saturating_sub(self.options.start_lag).max(self.ended)
    }

    fn open(&mut self, frame: u64) -> Boundary {
        let start = self.start_at(frame);
        self.start = Some(start);
        self.silence = 0;
        Boundary::Start(start)
    }

    fn close(&mut self, end: u64) -> Boundary {
        self.start = None;
        self.age = 0;
        self.ended = end;
        self.window = SlidingWindow::new(&self.options);
        Boundary::End(end)
    }
}

/// Hysteresis over the number of speech frames among the last few.
struct SlidingWindow {
    frames: VecDeque<bool>,
    speech: usize,
    in_speech: bool,
    to_speech: usize,
    to_silence: usize,
}

impl SlidingWindow {
    fn new(options: &EndpointOptions) -> Self {
        Self {
            frames: VecDeque::from(vec![false; options.window]),
            speech: 0,
            in_speech: false,
            to_speech: options.to_speech,
            to_silence: options.to_silence,
        }
    }

    /// Adds a frame. Returns whether it turned silence into speech or speech into silence.
    fn push(&mut self, speech: bool) -> bool {
        self.frames.push_back(speech);
        self.speech += usize::from(speech);
        self.speech -= usize::from(self.frames.pop_front().unwrap_or(false));
        let turned = if self.in_speech {
            self.speech <= self.to_silence
        } else {
            self.speech >= self.to_speech
        };
        self.in_speech ^= turned;
        turned
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vad::config::{DynamicEnding, EndpointConfig, VadOptions};

    fn segments(options: EndpointOptions, frames: impl IntoIterator<Item = f32>) -> Vec<[u64; 2]> {
        let mut endpointer = Endpointer::new(options);
        let (mut segments, mut open) = (Vec::new(), None);
        let mut take = |boundary| match boundary {
            Boundary::Start(frame) => {
                assert_eq!(open.replace(frame), None, "start within a segment")
            }
            Boundary::End(frame) => segments.push([open.take().expect("end without start"), frame]),
        };
        for silence in frames {
            let earliest = endpointer.earliest_start();
            let boundary = endpointer.push(silence);
            if let Some(Boundary::Start(start)) = boundary {
                assert!(start >= earliest, "{start} is before {earliest}");
            }
            boundary.into_iter().for_each(&mut take);
        }
        endpointer.finish().into_iter().for_each(&mut take);
        segments
    }

    #[derive(serde::Deserialize)]
    struct Case {
        options: EndpointConfig,
        /// Lengths of alternating silence and speech.
        runs: Vec<usize>,
        segments: Vec<[u64; 2]>,
    }

    #[test]
    fn segments_equal_funasrs() {
        let fixture = include_str!("../../../../tests/fixtures/frontend/endpoint.json");
        let cases: Vec<Case> = serde_json::from_str(fixture).expect("fixture");
        assert!(cases.len() >= 80);
        for case in cases {
            let options = EndpointOptions::new(&case.options, &VadOptions::default());
            let frames = case.runs.iter().enumerate().flat_map(|(i, &length)| {
                std::iter::repeat_n(if i % 2 == 0 { 0.9 } else { 0.1 }, length)
            });
            assert_eq!(segments(options, frames), case.segments, "{:?}", case.options);
        }
    }

    #[test]
    fn finds_speech_in_the_probabilities_of_a_recording() {
        let bytes = include_bytes!("../../../../tests/fixtures/frontend/vad_silence.f32");
        let silence = bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        let options = EndpointOptions::new(&EndpointConfig::default(), &VadOptions::default());
        assert_eq!(segments(options, silence), [[34, 467], [586, 998]]);
    }

    #[test]
    fn nan_is_silence() {
        let options = EndpointOptions::new(&EndpointConfig::default(), &VadOptions::default());
        assert!(segments(options.clone(), [f32::NAN; 500]).is_empty());
        assert_eq!(segments(options, [0.0; 500]), [[0, 500]]);
    }

    /// Returns two seconds of silence, then speech alternating with ever longer silence: 500 ms, 600,
    /// ...
    fn pauses(count: usize) -> impl Iterator<Item = f32> {
        let runs = (0..count).flat_map(|pause| [(0.1, 300), (0.9, 50 + 10 * pause)]);
        std::iter::once((0.9, 200))
            .chain(runs)
            .flat_map(|(silence, length)| std::iter::repeat_n(silence, length))
    }

    #[test]
    fn less_silence_ends_an_older_segment() {
        let dynamic = |json: &str| {
            let user: VadOptions = serde_json::from_str(json).expect("options");
            EndpointOptions::new(&EndpointConfig::default(), &user)
        };
        let fixed = |ms: u32| {
            let user = VadOptions { max_end_silence_ms: Some(ms), ..Default::default() };
            EndpointOptions {
                threshold: 0.5,
                ..EndpointOptions::new(&EndpointConfig::default(), &user)
            }
        };
        // A schedule with one silence acts as a fixed silence.
        let options = dynamic(r#"{"dynamic_silence": [[5, 700]], "dynamic_silence_step_ms": 10}"#);
        assert_eq!(segments(options, pauses(9)), segments(fixed(700), pauses(9)));
        // Pauses end after 5.5, 9.1, 12.8, ... seconds: the first is too short for a young segment,
        // the second is enough for an older one.
        let options = dynamic(
            r#"{"dynamic_silence": [[6, 2000], [60, 500]], "dynamic_silence_step_ms": 10}"#,
        );
        assert_eq!(options.max_lag(), 185 - 11);
        let found = segments(options.clone(), pauses(9));
        let ends: Vec<u64> = found.iter().map(|segment| segment[1] - segment[0]).collect();
        assert!(ends[0] > 600 && ends[0] < 800, "{found:?}");
        assert!(ends.windows(2).all(|pair| pair[1] < 800), "{found:?}");
        // If it is looked up once a minute, the second pair never applies.
        let minute = EndpointOptions {
            dynamic: options.dynamic.clone().map(|dynamic| DynamicEnding { step: 6000, ..dynamic }),
            ..options
        };
        assert_eq!(segments(minute, pauses(9)), segments(fixed(2000), pauses(9)));
    }

    #[test]
    fn invalid_schedules_are_refused() {
        for (json, cause) in [
            (r#"{"dynamic_silence": []}"#, "0 pairs"),
            (r#"{"dynamic_silence": [[0, 100]]}"#, "must increase"),
            (r#"{"dynamic_silence": [[5, 100], [5, 50]]}"#, "5 seconds after 5"),
            (r#"{"dynamic_silence": [[-1, 100]]}"#, "must increase"),
            (r#"{"dynamic_silence": [[1e9, 100]]}"#, "must increase"),
            (r#"{"dynamic_silence": [[5, 100000]]}"#, "are more than 60000"),
            (r#"{"dynamic_silence": [5, 100]}"#, "invalid type"),
            (r#"{"dynamic_silence": [[5, -1]]}"#, "invalid value"),
            (r#"{"dynamic_silence_step_ms": 5}"#, "less than a frame"),
        ] {
            let error = serde_json::from_str::<VadOptions>(json).expect_err(cause).to_string();
            assert!(error.contains(cause), "{error}");
        }
        let json = r#"{"dynamic_silence":[[5.0,2000],[10.5,100]]}"#;
        let options: VadOptions = serde_json::from_str(json).expect("sense");
        assert!(serde_json::to_string(&options).expect("json").contains("[[5.0,2000],[10.5,100]]"));
    }

    #[test]
    fn options_override_the_model() {
        let user: VadOptions = serde_json::from_str(
            r#"{"max_end_silence_ms": 300, "lookback_ms": 0, "lookahead_ms": 50,
                "max_segment_ms": 2000, "speech_noise_threshold": 0.9}"#,
        )
        .expect("options");
        let options = EndpointOptions::new(&EndpointConfig::default(), &user);
        let expected = EndpointOptions {
            window: 20,
            to_speech: 15,
            to_silence: 15,
            ending: Ending { silence: 15, lag: 9 },
            dynamic: None,
            start_lag: 20,
            max_segment: 200,
            threshold: 0.9,
        };
        assert_eq!(options, expected);
        for bad in [r#"{"speech_noise_threshold": 1.5}"#, r#"{"max_end_silence": 300}"#] {
            serde_json::from_str::<VadOptions>(bad).expect_err(bad);
        }
    }
}
