//! The front end of a FunASR model: filterbank, LFR and CMVN with the parameters in the model's
//! `config.yaml` and `am.mvn`.

use std::sync::Arc;

use serde::Deserialize;

use super::{Cmvn, Filterbank, FilterbankOptions, FilterbankStream, Lfr, Window};

/// Full scale of 16-bit integers, the samples that FunASR's models were trained with.
const INT16_SCALE: f32 = 32768.0;
/// Limits on the values in a configuration file.
const MAX_BINS: usize = 128;
const MAX_STACKED: usize = 32;

/// `frontend_conf` in the `config.yaml` of a FunASR model. Dither is always off, so that the same
/// recording gives the same words.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct FrontendConfig {
    /// Sampling rate in Hz.
    pub fs: u32,
    pub window: Window,
    pub n_mels: usize,
    /// Length of a frame in milliseconds.
    pub frame_length: u32,
    /// Milliseconds between the starts of two frames.
    pub frame_shift: u32,
    /// Number of frames that are stacked into one row.
    pub lfr_m: usize,
    /// Number of frames between the starts of two rows.
    pub lfr_n: usize,
}

/// Front end of a model, shared by all its streams.
pub struct Frontend {
    filterbank: Arc<Filterbank>,
    lfr: (usize, usize),
    cmvn: Option<Arc<Cmvn>>,
}

/// Front end over one stream of samples.
pub struct FrontendStream {
    filterbank: FilterbankStream,
    lfr: Lfr,
    cmvn: Option<Arc<Cmvn>>,
    /// Scratch buffer for log-mel frames.
    frames: Vec<f32>,
}

impl Frontend {
    /// Creates a front end.
    ///
    /// # Errors
    /// Returns a message that says which values are not supported or do not fit together.
    pub fn new(config: &FrontendConfig, cmvn: Option<Cmvn>) -> Result<Self, String> {
        let FrontendConfig { fs, window, n_mels, frame_length, frame_shift, lfr_m, lfr_n } =
            *config;
        if (fs, frame_length, frame_shift) != (16_000, 25, 10) {
            return Err(format!(
                "frames of {frame_length} ms every {frame_shift} ms at {fs} Hz are not supported, \
                 only 25 ms every 10 ms at 16000 Hz"
            ));
        }
        if !(1..=MAX_BINS).contains(&n_mels) {
            return Err(format!("{n_mels} mel bins, not 1 to {MAX_BINS}"));
        }
        if lfr_n == 0 || lfr_m < lfr_n || lfr_m > MAX_STACKED {
            return Err(format!("low frame rate {lfr_m}/{lfr_n} is not supported"));
        }
        if let Some(cmvn) = &cmvn
            && cmvn.width() != n_mels * lfr_m
        {
            return Err(format!(
                "the normalization has {} values, but a frame has {n_mels} x {lfr_m}",
                cmvn.width()
            ));
        }
        let options = FilterbankOptions { bins: n_mels, window, scale: INT16_SCALE };
        Ok(Self {
            filterbank: Arc::new(Filterbank::new(options)),
            lfr: (lfr_m, lfr_n),
            cmvn: cmvn.map(Arc::new),
        })
    }

    /// Returns the number of values per row.
    pub fn width(&self) -> usize {
        self.filterbank.bins() * self.lfr.0
    }

    /// Starts a stream.
    pub fn stream(&self) -> FrontendStream {
        FrontendStream {
            filterbank: FilterbankStream::new(Arc::clone(&self.filterbank)),
            lfr: Lfr::new(self.filterbank.bins(), self.lfr.0, self.lfr.1),
            cmvn: self.cmvn.clone(),
            frames: Vec::new(),
        }
    }

    /// Returns all rows of a recording held in memory, row-major `[n, width]`.
    pub fn rows(&self, samples: &[f32]) -> Vec<f32> {
        let mut rows = Vec::new();
        let mut stream = self.stream();
        stream.push(samples, &mut rows);
        stream.finish(&mut rows);
        rows
    }
}

impl FrontendStream {
    /// Takes samples (16 kHz, full scale 1.0), and appends the rows that they complete to `rows`.
    pub fn push(&mut self, samples: &[f32], rows: &mut Vec<f32>) {
        let start = rows.len();
        self.frames.clear();
        self.filterbank.push(samples, &mut self.frames);
        self.lfr.push(&self.frames, rows);
        self.normalize(&mut rows[start..]);
    }

    /// Ends the stream: appends the remaining rows.
    pub fn finish(&mut self, rows: &mut Vec<f32>) {
        let start = rows.len();
        self.lfr.finish(rows);
        self.normalize(&mut rows[start..]);
    }

    fn normalize(&self, rows: &mut [f32]) {
        if let Some(cmvn) = &self.cmvn {
            cmvn.apply(rows);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VAD: FrontendConfig = FrontendConfig {
        fs: 16_000,
        window: Window::Hamming,
        n_mels: 80,
        frame_length: 25,
        frame_shift: 10,
        lfr_m: 5,
        lfr_n: 1,
    };

    #[test]
    fn unsupported_values_are_named() {
        let cases = [
            (FrontendConfig { fs: 8000, ..VAD }, "at 8000 Hz"),
            (FrontendConfig { n_mels: 0, ..VAD }, "0 mel bins"),
            (FrontendConfig { n_mels: usize::MAX, ..VAD }, "mel bins"),
            (FrontendConfig { lfr_n: 0, ..VAD }, "low frame rate 5/0"),
            (FrontendConfig { lfr_m: 2, lfr_n: 3, ..VAD }, "low frame rate 2/3"),
        ];
        for (config, cause) in cases {
            let message = Frontend::new(&config, None).err().expect(cause);
            assert!(message.contains(cause), "{message}");
        }
    }
}
