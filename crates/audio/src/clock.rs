//! The clock of a recording: its packets' times, where the container has any, and the warnings about
//! what they showed.

use symphonia::core::units::{TimeBase, Timestamp};

use crate::timeline::{Event, Timeline};
use crate::warnings::Tally;

/// What the times of packets mean in a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Times {
    /// They only count the frames.
    None,
    /// The recording begins at zero.
    FromZero,
    /// The recording begins with the first packet of any track.
    FromEarliestTrack,
}

/// The clock of the track that is decoded. Times are in frames of its audio.
pub(crate) struct Clock {
    timeline: Timeline,
    times: Times,
    /// When the earliest other track begins.
    others: Option<i64>,
    gaps: Tally,
    overlaps: Tally,
    jumps: Tally,
    late_start: Option<f64>,
}

impl Clock {
    pub(crate) fn new(times: Times, rate: u32, max_seconds: f64) -> Self {
        Clock {
            timeline: Timeline::new(rate, max_seconds),
            times,
            others: None,
            gaps: Tally::default(),
            overlaps: Tally::default(),
            jumps: Tally::default(),
            late_start: None,
        }
    }

    /// Returns the seconds placed so far.
    pub(crate) fn seconds(&self) -> f64 {
        self.timeline.seconds()
    }

    /// Goes on with another recording, which begins now.
    pub(crate) fn restart(&mut self, times: Times) {
        self.times = times;
        self.timeline.restart();
    }

    pub(crate) fn set_rate(&mut self, rate: u32) {
        self.timeline.set_rate(rate);
    }

    /// Takes note of a packet of another track.
    pub(crate) fn see_other(&mut self, time: i64) {
        if !self.timeline.is_running() {
            self.others = Some(self.others.map_or(time, |others| others.min(time)));
        }
    }

    /// Places audio that begins at `time`. Returns the frames of silence before it.
    pub(crate) fn place(&mut self, time: Option<i64>, frames: u64, rate: u32) -> u64 {
        let time = time.filter(|_| self.times != Times::None);
        if let Some(time) = time.filter(|_| !self.timeline.is_running()) {
            self.timeline.begin_at(match self.times {
                Times::FromZero => 0,
                _ => self.others.map_or(time, |others| others.min(time)),
            });
        }
        let at = self.timeline.seconds();
        let place = self.timeline.place(time, frames);
        if let Some((event, by)) = place.event {
            self.record(event, at, by as f64 / f64::from(rate.max(1)));
        }
        place.silence
    }

    fn record(&mut self, event: Event, at: f64, seconds: f64) {
        /// Sound and picture seldom begin at the same moment.
        const USUAL_DELAY: f64 = 0.5;
        match event {
            Event::Gap => self.gaps.add(seconds, || {
                format!("{seconds:.1} s without audio at {at:.1} s were filled with silence")
            }),
            Event::Overlap => self.overlaps.add(seconds, || {
                format!(
                    "the timestamps step back by {seconds:.1} s at {at:.1} s: the audio was kept, \
                     so times after that are later than the recording's"
                )
            }),
            Event::Jump => self.jumps.add(0.0, || {
                format!(
                    "the timestamps jump by {seconds:.1} s at {at:.1} s: the clock was set anew, \
                     and no silence was added"
                )
            }),
            Event::LateStart if seconds >= USUAL_DELAY => self.late_start = Some(seconds),
            Event::LateStart => {}
        }
    }

    pub(crate) fn append_warnings(&self, warnings: &mut Vec<String>) {
        if let Some(seconds) = self.late_start {
            warnings.push(format!(
                "the audio begins {seconds:.1} s after the recording; silence stands for that time"
            ));
        }
        self.gaps.append_to(warnings, "time without audio was filled with silence");
        self.overlaps.append_to(warnings, "the timestamps step back");
        self.jumps.append_to(warnings, "the timestamps jump");
    }
}

/// Returns a number of ticks as a number of frames, rounded.
pub(crate) fn frames(ticks: i64, base: TimeBase, rate: u32) -> i64 {
    let denominator = i128::from(base.denom.get());
    let scaled = i128::from(ticks) * i128::from(base.numer.get()) * i128::from(rate);
    let rounded = (2 * scaled + denominator).div_euclid(2 * denominator);
    i64::try_from(rounded).unwrap_or(if ticks < 0 { i64::MIN } else { i64::MAX })
}

/// Returns a packet's time in frames.
pub(crate) fn time(pts: Timestamp, base: Option<TimeBase>, rate: u32) -> Option<i64> {
    Some(frames(pts.get(), base?, rate))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn converts_ticks_to_frames() {
        let Some(ms) = TimeBase::try_new(1, 1000) else { panic!("a time base") };
        assert_eq!(frames(1500, ms, 16_000), 24_000);
        assert_eq!(frames(-7, ms, 44_100), -309);
        assert_eq!(frames(7, ms, 44_100), 309);
        assert_eq!(frames(i64::MAX, ms, u32::MAX), i64::MAX);
        assert_eq!(frames(i64::MIN, ms, u32::MAX), i64::MIN);
    }

    #[test]
    fn another_track_may_begin_earlier() {
        let mut clock = Clock::new(Times::FromEarliestTrack, 1000, 100.0);
        clock.see_other(500);
        clock.see_other(100);
        assert_eq!(clock.place(Some(4100), 20, 1000), 4000);
        let mut warnings = Vec::new();
        clock.append_warnings(&mut warnings);
        assert!(warnings[0].contains("begins 4.0 s after"), "{warnings:?}");
        let mut counted = Clock::new(Times::None, 1000, 100.0);
        assert_eq!(counted.place(Some(4100), 20, 1000), 0);
    }
}
