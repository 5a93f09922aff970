//! Front ends: compute feature frames from PCM, as FunASR's `WavFrontend` does.
//!
//! [`Filterbank`] (Kaldi log-mel energies), [`Lfr`] (low frame rate stacking) and [`Cmvn`] work on
//! streams: they return frames as soon as these are complete, and the result does not depend on how
//! the samples are split into pushes. [`Frontend`] combines the three. `slaney` has the mel filters of
//! other front ends, which are computed from whole segments.

mod cmvn;
mod fbank;
mod frontend;
mod lfr;
mod slaney;

pub use cmvn::Cmvn;
pub(crate) use fbank::sane;
pub use fbank::{
    FRAME_LENGTH, FRAME_SHIFT, Filterbank, FilterbankOptions, FilterbankStream, Window,
};
pub use frontend::{Frontend, FrontendConfig, FrontendStream};
pub use lfr::Lfr;
pub(crate) use slaney::{SlaneyFilter, slaney_filters};
