//! Front ends: from PCM to feature frames, as FunASR's `WavFrontend` computes them.
//!
//! [`Filterbank`] (Kaldi log-mel energies), [`Lfr`] (low frame rate stacking) and [`Cmvn`] are
//! streams: samples go in as they come, frames come out as soon as they are complete, and the
//! result does not depend on how the samples were cut. [`Frontend`] joins the three.

mod cmvn;
mod fbank;
mod frontend;
mod lfr;

pub use cmvn::Cmvn;
pub(crate) use fbank::sane;
pub use fbank::{
    FRAME_LENGTH, FRAME_SHIFT, Filterbank, FilterbankOptions, FilterbankStream, Window,
};
pub use frontend::{Frontend, FrontendConfig, FrontendStream};
pub use lfr::Lfr;
