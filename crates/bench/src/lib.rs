//! Measures how fast this machine transcribes with a model, and where the time goes.
//!
//! [`run()`] measures segments on different numbers of threads, and on request the operators and the
//! whole pipeline; the result is a [`Report`], which prints as a table and serializes as JSON.
//!
//! ```no_run
//! # async fn example(config: app::Config) -> Result<(), Box<dyn std::error::Error>> {
//! let options = bench::BenchOptions { runs: 5, ..bench::BenchOptions::default() };
//! let callbacks = bench::Callbacks { on_step: &|_, _, step| eprintln!("{step}"), on_pull: &|_| {} };
//! let bench = bench::run(&config, &options, callbacks).await?;
//! println!("{}", bench.report);
//! # Ok(())
//! # }
//! ```

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
