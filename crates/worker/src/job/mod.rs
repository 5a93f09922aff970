//! A leased job, from its message to its settlement.
//!
//! [`state`] decides what a message calls for and how its lease moves: a pure state machine. [`plan`]
//! is cheap: it parses, looks at the recording and at an existing transcript. [`execute`] is expensive:
//! it decodes and recognizes, [`all_tracks`] track by track if the job asks for them. [`output`] writes the
//! transcript, under the names of [`subtitle_name`]; [`policy`] decides what becomes of a job that
//! failed, and [`settle`] does it. [`keeper`] keeps the lease meanwhile, [`time_budget`] watches for runs
//! that hang, and [`runner`] puts them together. Admission control by memory and checkpoints will
//! attach between [`plan`] and [`execute`].

mod all_tracks;
pub(crate) mod execute;
mod keeper;
#[cfg(test)]
mod model;
mod other_name;
pub(crate) mod output;
mod plan;
mod policy;
mod runner;
mod settle;
mod state;
mod subtitle_name;
mod time_budget;

pub(crate) use self::{plan::Plan, runner::JobRunner};
