//! From "is this frame speech?" to segments: the end-point state machine of FunASR's `E2EVadModel`.
//!
//! A window over the last frames decides when speech begins and when silence does. A segment starts
//! a little before the window filled with speech, and ends once silence has lasted, a little after
//! it began.

use std::collections::VecDeque;

use super::config::{EndpointOptions, Ending};

/// A chunk of samples gives so many rows fewer than frames pass in it: the last frame is longer
/// than the shift, and low frame rate stacking waits for two more.
const CHUNK_DELAY: u64 = 4;

/// Where a segment begins or ends, in frames from the start of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Boundary {
    Start(u64),
    /// The first frame after the segment.
    End(u64),
}

/// The state machine over one stream of frames.
pub(super) struct Endpointer {
    options: EndpointOptions,
    window: SlidingWindow,
    /// Frames seen.
    frames: u64,
    /// Start of the open segment.
    start: Option<u64>,
    /// Frames since the window turned silent within the open segment.
    silence: u64,
    /// Where the last segment ended: the next one starts no earlier.
    ended: u64,
    /// Age of the open segment as the schedule counts it.
    age: u64,
    /// How a segment ends that is this old.
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
        self.grow_older();
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

    /// Looks up how segments end, when it is time.
    fn grow_older(&mut self) {
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

    /// The open segment, or one to come, starts no earlier than this frame.
    pub(super) fn earliest_start(&self) -> u64 {
        self.start.unwrap_or_else(|| self.start_at(self.frames))
    }

    /// How many frames an end may lie before the frame with which it is known.
    pub(super) fn end_lag(&self) -> u64 {
        self.options.longest_lag()
    }

    /// Where a segment starts that `frame` opens.
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

    /// `true` if this frame turned silence into speech or speech into silence.
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
    use crate::vad::config::{EndpointConfig, VadOptions};

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
                assert!(start >= earliest, "{start} was promised to be no earlier than {earliest}");
            }
            boundary.into_iter().for_each(&mut take);
        }
        endpointer.finish().into_iter().for_each(&mut take);
        segments
    }

    #[derive(serde::Deserialize)]
    struct Case {
        options: EndpointConfig,
        /// Lengths of silence and speech in turn.
        runs: Vec<usize>,
        segments: Vec<[u64; 2]>,
    }

    #[test]
    fn ends_where_funasr_ends() {
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
    fn speech_is_found_in_the_probabilities_of_a_recording() {
        let bytes = include_bytes!("../../../../tests/fixtures/frontend/vad_silence.f32");
        let silence = bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        let options = EndpointOptions::new(&EndpointConfig::default(), &VadOptions::default());
        assert_eq!(segments(options, silence), [[34, 467], [586, 998]]);
    }

    #[test]
    fn no_number_is_silence() {
        let options = EndpointOptions::new(&EndpointConfig::default(), &VadOptions::default());
        assert!(segments(options.clone(), [f32::NAN; 500]).is_empty());
        assert_eq!(segments(options, [0.0; 500]), [[0, 500]]);
    }

    #[test]
    fn what_the_user_sets_goes_before_the_model() {
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
