//! Profiles of network runs: time and multiply-accumulate operations of each operator.

mod counts;
mod macs;
mod recorder;
#[cfg(test)]
mod tests;

pub use self::{
    counts::MacCounts,
    recorder::{NetworkRun, OperatorTime, Profile, profile},
};
pub(crate) use self::{macs::count_macs, recorder::RunProfiler};
