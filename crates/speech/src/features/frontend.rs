//! Filterbank, LFR and CMVN in a row, as a model's `config.yaml` and `am.mvn` ask for them.

use std::sync::Arc;

use serde::Deserialize;

use super::{Cmvn, Filterbank, FilterbankOptions, FilterbankStream, Lfr, Window};

/// The scale of 16-bit integers, in which FunASR's models were trained.
const INT16_SCALE: f32 = 32768.0;
/// Bounds on what a configuration file may ask for.
const MOST_BINS: usize = 128;
const MOST_STACKED: usize = 32;

/// `frontend_conf` in the `config.yaml` of a FunASR model. Dither is always off, so that the same
/// recording gives the same words.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct FrontendConfig {
    /// Sampling rate in Hz.
    pub fs: u32,
    pub window: Window,
    pub n_mels: usize,
    /// In milliseconds, as is `frame_shift`.
    pub frame_length: u32,
    pub frame_shift: u32,
    pub lfr_m: usize,
    pub lfr_n: usize,
}

/// A model's front end, shared by all its streams.
pub struct Frontend {
    filterbank: Arc<Filterbank>,
    lfr: (usize, usize),
    cmvn: Option<Arc<Cmvn>>,
}

/// A front end over one stream of samples.
pub struct FrontendStream {
    filterbank: FilterbankStream,
    lfr: Lfr,
    cmvn: Option<Arc<Cmvn>>,
    /// Log-mel frames on their way to `lfr`.
    frames: Vec<f32>,
}

impl Frontend {
    /// The error says what is not supported, or does not fit together.
    pub fn new(config: &FrontendConfig, cmvn: Option<Cmvn>) -> Result<Self, String> {
        let FrontendConfig { fs, window, n_mels, frame_length, frame_shift, lfr_m, lfr_n } =
            *config;
        if (fs, frame_length, frame_shift) != (16_000, 25, 10) {
            return Err(format!(
                "frames of {frame_length} ms every {frame_shift} ms at {fs} Hz are not supported, \
                 only 25 ms every 10 ms at 16000 Hz"
            ));
        }
        if !(1..=MOST_BINS).contains(&n_mels) {
            return Err(format!("{n_mels} mel bins, not 1 to {MOST_BINS}"));
        }
        if lfr_n == 0 || lfr_m < lfr_n || lfr_m > MOST_STACKED {
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

    /// Values per row.
    pub fn width(&self) -> usize {
        self.filterbank.bins() * self.lfr.0
    }

    pub fn stream(&self) -> FrontendStream {
        FrontendStream {
            filterbank: FilterbankStream::new(Arc::clone(&self.filterbank)),
            lfr: Lfr::new(self.filterbank.bins(), self.lfr.0, self.lfr.1),
            cmvn: self.cmvn.clone(),
            frames: Vec::new(),
        }
    }

    /// All rows of a recording that is whole in memory, row-major `[n, width]`.
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

    /// Ends the stream: appends the rows that had to wait for what follows.
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
    fn what_is_not_supported_is_told() {
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
