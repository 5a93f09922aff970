//! Decides where decoded audio belongs on the recording's own clock: where silence stands for a gap.
//!
//! Pure: times are numbers of frames at the rate of the audio. The packets' times decide, but only
//! where they differ from the count of frames by more than a tolerance. Timestamps are rounded (WebM:
//! to a millisecond) and written by live recorders with jitter, and following each of them would cut
//! the audio into pieces.

/// What became of a time that does not continue the audio before it. All lengths are in frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// Silence stands for audio that is not there.
    Gap,
    /// The audio begins later than the recording.
    LateStart,
    /// The packet begins before the end of the audio before it, all of which was kept.
    Overlap,
    /// The clock was set to another time. It is followed from there on.
    Jump,
}

/// The place of a packet's audio.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// Frames of silence before the audio.
    pub(crate) silence: u64,
    /// What happened and by how many frames.
    pub(crate) event: Option<(Event, u64)>,
}

/// The clock of a recording.
#[derive(Debug)]
pub(crate) struct Timeline {
    rate: u32,
    /// Frames after which no gap is filled: a clock that says so is broken.
    max: i64,
    /// Frames placed so far, silence included.
    now: i64,
    /// What to add to a packet's time; `None` if the next packet continues the audio whatever its time.
    shift: Option<i64>,
    /// Time of the last packet.
    last: Option<i64>,
    /// Frames by which the audio is ahead of the clock, because of overlaps.
    ahead: i64,
}

/// A step back by more than this is another clock, from which no later gap makes up for it.
const MAX_OVERLAP_SECONDS: i64 = 10;

impl Timeline {
    /// Creates the clock of audio at `rate` Hz in which no gap extends beyond `max_seconds`.
    pub(crate) fn new(rate: u32, max_seconds: f64) -> Self {
        let max = (max_seconds * f64::from(rate)).min(9e15) as i64;
        Timeline { rate, max, now: 0, shift: None, last: None, ahead: 0 }
    }

    /// Returns whether a packet was placed or the beginning set.
    pub(crate) fn is_running(&self) -> bool {
        self.shift.is_some() || self.now > 0
    }

    /// Returns the seconds placed so far.
    pub(crate) fn seconds(&self) -> f64 {
        self.now as f64 / f64::from(self.rate.max(1))
    }

    /// Sets the time of packets that is the beginning of the recording.
    pub(crate) fn begin_at(&mut self, origin: i64) {
        self.shift = Some(origin.saturating_neg());
    }

    /// Lets the next packet continue the audio, whatever its time: another recording follows.
    pub(crate) fn restart(&mut self) {
        (self.shift, self.last, self.ahead) = (None, None, 0);
    }

    /// Changes the rate in which all times are counted.
    pub(crate) fn set_rate(&mut self, rate: u32) {
        if rate == self.rate || self.rate == 0 {
            return;
        }
        let scale = |n: i64| {
            let scaled = i128::from(n) * i128::from(rate) / i128::from(self.rate);
            i64::try_from(scaled).unwrap_or(if n < 0 { i64::MIN } else { i64::MAX })
        };
        self.now = scale(self.now);
        self.max = scale(self.max);
        self.ahead = scale(self.ahead);
        self.shift = self.shift.map(scale);
        self.last = self.last.map(scale);
        self.rate = rate;
    }

    /// Returns the number of frames by which a time may differ from the count: a packet, which a
    /// muxer may misplace or a network lose without anybody hearing it, and 20 ms of jitter. Not more
    /// than 150 ms, so that words stay where they were said.
    fn tolerance(&self, frames: i64) -> i64 {
        let ms = |n: i64| n * i64::from(self.rate) / 1000;
        frames.saturating_add(ms(20)).clamp(ms(50), ms(150))
    }

    /// Places `frames` frames that begin at `time`, or directly after the audio before them if they
    /// have no time.
    pub(crate) fn place(&mut self, time: Option<i64>, frames: u64) -> Place {
        let frames = i64::try_from(frames).unwrap_or(i64::MAX);
        let place = match time {
            // Frames of one block have its time in some containers: it says nothing about the second.
            Some(time) if self.last != Some(time) => self.follow(time, frames),
            _ => Place::default(),
        };
        self.last = time.or(self.last);
        let silence = i64::try_from(place.silence).unwrap_or(i64::MAX);
        self.now = self.now.saturating_add(silence).saturating_add(frames);
        place
    }

    fn follow(&mut self, time: i64, frames: i64) -> Place {
        let Some(shift) = self.shift else {
            self.shift = Some(self.now.saturating_sub(time));
            return Place::default();
        };
        let later = time.saturating_add(shift).saturating_sub(self.now);
        let is_first = self.now == 0;
        let tolerance = if is_first { 0 } else { self.tolerance(frames) };
        if later > tolerance {
            self.ahead = 0;
            if later > self.max.saturating_sub(self.now) {
                return self.jump(time, later);
            }
            let event = if is_first { Event::LateStart } else { Event::Gap };
            let silence = later.unsigned_abs();
            return Place { silence, event: Some((event, silence)) };
        }
        let overlap = later.saturating_neg().max(0);
        if overlap > i64::from(self.rate) * MAX_OVERLAP_SECONDS + self.ahead {
            self.ahead = 0;
            return self.jump(time, later);
        }
        if overlap > self.ahead + tolerance {
            let by = (overlap - self.ahead).unsigned_abs();
            self.ahead = overlap;
            return Place { silence: 0, event: Some((Event::Overlap, by)) };
        }
        self.ahead = self.ahead.min(overlap);
        Place::default()
    }

    fn jump(&mut self, time: i64, by: i64) -> Place {
        self.shift = Some(self.now.saturating_sub(time));
        Place { silence: 0, event: Some((Event::Jump, by.unsigned_abs())) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RATE: u32 = 16_000;

    fn timeline(origin: i64) -> Timeline {
        let mut timeline = Timeline::new(RATE, 3600.0);
        timeline.begin_at(origin);
        timeline
    }

    #[test]
    fn a_gap_becomes_silence_and_jitter_does_not() {
        let mut timeline = timeline(500);
        assert_eq!(timeline.place(Some(500), 320), Place::default());
        assert_eq!(timeline.place(Some(820 + 100), 320), Place::default(), "jitter");
        assert_eq!(timeline.place(Some(1140 + 320), 320), Place::default(), "a lost packet");
        let gap = timeline.place(Some(500 + 960 + 16_000), 320);
        assert_eq!(gap, Place { silence: 16_000, event: Some((Event::Gap, 16_000)) });
        assert_eq!(timeline.place(Some(500 + 960 + 16_320), 320), Place::default());
    }

    #[test]
    fn many_lost_packets_add_up_to_a_gap() {
        let mut timeline = timeline(0);
        let silence: u64 = (0..100).map(|n| timeline.place(Some(n * 640), 320).silence).sum();
        assert!(silence.abs_diff(99 * 320) <= 800, "{silence}");
    }

    #[test]
    fn the_start_is_exact() {
        let mut timeline = timeline(-1000);
        let late = Place { silence: 1007, event: Some((Event::LateStart, 1007)) };
        assert_eq!(timeline.place(Some(7), 320), late);
    }

    #[test]
    fn an_overlap_keeps_all_audio_and_a_later_gap_makes_up_for_it() {
        let mut timeline = timeline(0);
        timeline.place(Some(0), 32_000);
        let back = timeline.place(Some(16_000), 16_000);
        assert_eq!(back, Place { silence: 0, event: Some((Event::Overlap, 16_000)) });
        assert_eq!(timeline.place(Some(32_000), 16_000), Place::default(), "said only once");
        assert_eq!(timeline.place(Some(80_000), 320).silence, 16_000, "at 5 s");
    }

    #[test]
    fn a_far_step_is_another_clock() {
        let mut timeline = timeline(0);
        timeline.place(Some(0), 320_000);
        let back = timeline.place(Some(0), 0);
        assert_eq!(back.event, None, "the same time says nothing");
        assert_eq!(timeline.place(Some(1), 320).event, Some((Event::Jump, 319_999)));
        assert_eq!(timeline.place(Some(321), 320), Place::default());
        let far = timeline.place(Some(1 << 50), 320);
        assert_eq!((far.silence, far.event.map(|(event, _)| event)), (0, Some(Event::Jump)));
        assert_eq!(timeline.place(Some((1 << 50) + 320 + 16_000), 320).silence, 16_000);
    }

    #[test]
    fn a_restart_and_a_new_rate_continue_the_clock() {
        let mut timeline = timeline(0);
        timeline.place(Some(0), 16_000);
        timeline.restart();
        assert_eq!(timeline.place(Some(77), 16_000), Place::default());
        timeline.set_rate(8000);
        assert!((timeline.seconds() - 2.0).abs() < 1e-9);
        // 77 frames and a second were 8038 frames of 8 kHz.
        assert!(timeline.place(Some(8038 + 8000), 160).silence.abs_diff(8000) <= 1);
    }

    proptest! {
        /// No time loses audio or makes the recording longer than the limit, and the audio is never
        /// later than the clock, nor earlier by more than the tolerance.
        #[test]
        fn any_times(packets in prop::collection::vec((any::<i32>(), 0..5000_u64), 1..200)) {
            let mut timeline = Timeline::new(RATE, 100.0);
            timeline.begin_at(0);
            let (mut audio, mut placed) = (0, 0);
            for (time, frames) in packets {
                let place = timeline.place(Some(i64::from(time)), frames);
                prop_assert!(place.silence == 0 || placed + place.silence <= 100 * u64::from(RATE));
                placed += place.silence + frames;
                audio += frames;
            }
            prop_assert!(placed >= audio);
            prop_assert_eq!(timeline.now.unsigned_abs(), placed);
        }

        /// A clock with gaps is followed within the tolerance.
        #[test]
        fn gaps_are_followed(gaps in prop::collection::vec(0..100_000_i64, 1..50), origin in any::<i32>()) {
            let mut timeline = Timeline::new(RATE, 1e6);
            let origin = i64::from(origin);
            timeline.begin_at(origin);
            let (mut time, mut now) = (0, 0);
            for gap in gaps {
                time += gap;
                let place = timeline.place(Some(origin + time), 320);
                now += place.silence as i64;
                prop_assert!((0..=800).contains(&(time - now)), "{} {}", time, now);
                (time, now) = (time + 320, now + 320);
            }
        }
    }
}
