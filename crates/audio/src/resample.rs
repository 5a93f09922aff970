//! Resamples to 16 kHz with a low-pass filter.

use rubato::audioadapter_buffers::direct::SequentialSliceOfVecs;
use rubato::{Fft, FixedSync, Indexing, Resampler as _};

use crate::SAMPLE_RATE;

/// Half the length of the low-pass filter, in samples of the lower of the two rates.
///
/// The filter is flat up to 0.95 of that rate's Nyquist frequency (7.6 kHz). Frequencies that would
/// alias below 7.6 kHz are attenuated by more than 100 dB. The models do not use the transition band
/// around 8 kHz.
const HALF_FILTER_LEN: usize = 512;

/// Maximum size of a chunk, in frames times channels, beyond which the buffers take hundreds of
/// megabytes. Only rates with almost no common divisor with 16 kHz exceed it, with many channels.
const MAX_CHUNK_SIZE: usize = 1 << 22;

/// Resamples a stream of planar PCM to [`SAMPLE_RATE`] without delay: sample 0 stays at time 0, and
/// `n` frames become `n * 16000 / rate`, rounded.
///
/// The filter is applied in the frequency domain, by overlap-add (rubato's synchronous resampler).
pub(crate) struct Resampler {
    sample_rate: u32,
    /// `None` if the input already has the output rate.
    fft: Option<Fft<f32>>,
    /// Input that does not yet fill a chunk, per channel.
    input: Vec<Vec<f32>>,
    /// One chunk of output, per channel.
    output: Vec<Vec<f32>>,
    /// Output frames still to be dropped, because of the filter's delay.
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
            let chunk = chunk_len(from);
            if chunk * channels > MAX_CHUNK_SIZE {
                let codec = format!("{channels} channels at {sample_rate} Hz");
                return Err(crate::Error::unsupported(codec));
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
            Some(fft.map_err(resampling_error)?)
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

    /// Adds `planes` to the input and appends to `out` the output that is complete.
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

    /// Appends the rest of the output to `out`.
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

    /// Resamples one chunk of the input, which begins at frame `start`, and appends it to `out` up to
    /// a total of `until` frames. Returns the number of input frames used, or `None` if less than a
    /// chunk is available.
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
        let input =
            SequentialSliceOfVecs::new(&self.input, channels, frames).map_err(resampling_error)?;
        let mut output = SequentialSliceOfVecs::new_mut(&mut self.output, channels, capacity)
            .map_err(resampling_error)?;
        let at = Indexing::new().input_offset(start);
        let (used, made) =
            fft.process_into_buffer(&input, &mut output, Some(&at)).map_err(resampling_error)?;

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

/// Returns the number of input frames that are transformed at once, which is also the length of the
/// filter at this rate.
///
/// It is an even multiple of the shortest period that is a whole number of frames at both rates.
/// This makes the centre of the filter, and so the delay, a whole number of frames at both.
fn chunk_len(rate: usize) -> usize {
    let to = SAMPLE_RATE as usize;
    // At very low rates, a filter of full length would span minutes.
    let wanted = if rate > to { HALF_FILTER_LEN * rate / to } else { HALF_FILTER_LEN.min(rate) };
    let shortest = rate / gcd(rate, to);
    shortest * wanted.div_ceil(shortest).next_multiple_of(2)
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

fn resampling_error(error: impl std::error::Error + Send + Sync + 'static) -> crate::Error {
    crate::Error::corrupt_by("resampling failed", error)
}
