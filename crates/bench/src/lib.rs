//! Measures how fast this machine transcribes with a model, and where the time goes.
//!
//! [`run`] measures segments on different numbers of threads, and on request the operators
//! ([`profile`]) and the whole pipeline; the result is a [`Report`], which prints as a table and
//! serializes as JSON.

mod pipeline;
mod process;
mod profile;
mod report;
mod run;
mod segments;
mod sound;
mod trace;
mod units;

pub use report::Report;
pub use run::{Bench, BenchOptions, Callbacks, InvalidOption, run};
