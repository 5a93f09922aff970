//! Resampling to 16 kHz with a proper low-pass filter.

use rubato::audioadapter_buffers::direct::SequentialSliceOfVecs;
use rubato::{Fft, FixedSync, Indexing, Resampler as _};

use crate::SAMPLE_RATE;

/// Half the length of the low-pass filter in samples of the lower of the two rates: it is flat to
/// 0.95 of that rate's half (7.6 kHz), and more than 100 dB down from there to what would fold
/// back below it. The transition band around 8 kHz holds nothing that the models look at.
const FILTER: usize = 512;

/// Frames times channels of a chunk: more, and the buffers take hundreds of megabytes. Only rates
/// that have next to no divisor in common with 16 kHz come there, with many channels.
const MAX_CHUNK: usize = 1 << 22;

/// A stream of planar PCM from one rate to [`SAMPLE_RATE`], without delay: sample 0 stays at time
/// 0, and `n` frames become `n * 16000 / rate`, rounded.
///
/// The filter is applied in the frequency domain, by overlap-add (rubato's synchronous resampler).
pub(crate) struct Resampler {
    sample_rate: u32,
    /// `None`: nothing to be done.
    fft: Option<Fft<f32>>,
    /// Input that does not yet fill a chunk, and one chunk of output: per channel.
    input: Vec<Vec<f32>>,
    output: Vec<Vec<f32>>,
    /// Output frames still to be dropped: the delay of the filter.
    delay: usize,
    frames_in: u64,
    frames_out: u64,
}

impl Resampler {
    pub(crate) fn new(sample_rate: u32, channels: usize) -> Result<Self, crate::Error> {
        let fft = if sample_rate == SAMPLE_RATE {
            None
        } else {
            let (from, to) = (sample_rate as usize, SAMPLE_RATE as usize);
            let chunk = chunk(from);
            if chunk * channels > MAX_CHUNK {
                let codec = format!("{channels} channels at {sample_rate} Hz");
                return Err(crate::Error::UnsupportedCodec { codec });
            }
            let fft = Fft::new_custom(
                from,
                to,
                chunk,
                1,
                channels,
                rubato::WindowFunction::BlackmanHarris2,
                FixedSync::Both,
            );
            Some(fft.map_err(internal)?)
        };
        let frames = fft.as_ref().map_or(0, |fft| fft.output_frames_max());
        Ok(Resampler {
            sample_rate,
            delay: fft.as_ref().map_or(0, |fft| fft.output_delay()),
            fft,
            input: vec![Vec::new(); channels],
            output: vec![vec![0.0; frames]; channels],
            frames_in: 0,
            frames_out: 0,
        })
    }

    pub(crate) fn sample_rate(&self) -> u32 {
        self.sample_rate
    }

    /// Appends to `out` what `planes` makes possible.
    pub(crate) fn push(
        &mut self,
        planes: &[Vec<f32>],
        out: &mut [Vec<f32>],
    ) -> Result<(), crate::Error> {
        self.frames_in += planes.first().map_or(0, Vec::len) as u64;
        if self.fft.is_none() {
            for (plane, out) in planes.iter().zip(out) {
                out.extend_from_slice(plane);
            }
            return Ok(());
        }
        for (plane, input) in planes.iter().zip(&mut self.input) {
            input.extend_from_slice(plane);
        }
        let mut used = 0;
        while let Some(frames) = self.process(used, out, u64::MAX)? {
            used += frames;
        }
        for input in &mut self.input {
            input.drain(..used);
        }
        Ok(())
    }

    /// Appends to `out` what is left.
    pub(crate) fn finish(&mut self, out: &mut [Vec<f32>]) -> Result<(), crate::Error> {
        if self.fft.is_none() {
            return Ok(());
        }
        let (rate, to) = (u64::from(self.sample_rate), u64::from(SAMPLE_RATE));
        let expected = (self.frames_in * to + rate / 2) / rate;
        while self.frames_out < expected {
            let chunk = self.fft.as_ref().map_or(0, |fft| fft.input_frames_next());
            for input in &mut self.input {
                input.resize(chunk, 0.0);
            }
            self.process(0, out, expected)?;
            for input in &mut self.input {
                input.clear();
            }
        }
        Ok(())
    }

    /// Resamples one chunk of the input from `start` on, and appends it to `out` until there are
    /// `until` frames in all. `None` if there is no whole chunk; else the frames it used.
    fn process(
        &mut self,
        start: usize,
        out: &mut [Vec<f32>],
        until: u64,
    ) -> Result<Option<usize>, crate::Error> {
        let Some(fft) = &mut self.fft else { return Ok(None) };
        let channels = self.input.len();
        let frames = self.input.first().map_or(0, Vec::len);
        if frames - start < fft.input_frames_next() {
            return Ok(None);
        }
        let capacity = self.output.first().map_or(0, Vec::len);
        let input = SequentialSliceOfVecs::new(&self.input, channels, frames).map_err(internal)?;
        let mut output = SequentialSliceOfVecs::new_mut(&mut self.output, channels, capacity)
            .map_err(internal)?;
        let at = Indexing::new().input_offset(start);
        let (used, made) =
            fft.process_into_buffer(&input, &mut output, Some(&at)).map_err(internal)?;

        let dropped = self.delay.min(made);
        self.delay -= dropped;
        let kept = ((made - dropped) as u64).min(until.saturating_sub(self.frames_out)) as usize;
        for (output, out) in self.output.iter().zip(out) {
            out.extend_from_slice(&output[dropped..dropped + kept]);
        }
        self.frames_out += kept as u64;
        Ok(Some(used))
    }
}

/// Frames that are transformed at once, which is also the length of the filter at this rate.
///
/// It is an even number of the shortest stretches in which both rates have whole frames: the middle
/// of the filter, and with it the delay, is then a whole number of frames at both.
fn chunk(rate: usize) -> usize {
    let to = SAMPLE_RATE as usize;
    // At rates far below speech, a filter of full length would span minutes.
    let wanted = if rate > to { FILTER * rate / to } else { FILTER.min(rate) };
    let shortest = rate / gcd(rate, to);
    shortest * wanted.div_ceil(shortest).next_multiple_of(2)
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

fn internal(e: impl std::fmt::Display) -> crate::Error {
    crate::Error::Corrupt(format!("cannot be resampled: {e}"))
}
