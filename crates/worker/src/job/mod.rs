//! A leased job, from its message to its settlement.
//!
//! [`state`] decides what a message calls for and how its lease moves: a pure state machine. [`plan`]
//! is cheap: it parses, looks at the recording and at an existing transcript. [`execute`] is expensive:
//! it decodes and recognizes, [`all_tracks`] track by track if the job asks for them. [`output`] writes the
//! transcript, and [`renderings`] what is made of it, under the names of [`subtitle_name`]; [`policy`] decides what becomes of a job that
//! failed, and [`settle`] does it. [`keeper`] keeps the lease meanwhile, [`time_budget`] watches for runs
//! that hang, [`complete`] does all of this for one job, and [`runner`] chooses what to do. [`checkpoint`]
//! attaches between [`plan`] and [`execute`]: it brings what earlier runs have computed into the
//! [`journal`] of the pipeline, and what this run computes into the store; [`unfinished`] does the same for
//! transcriptions without a queue, with files.

mod all_tracks;
mod checkpoint;
mod complete;
pub(crate) mod execute;
mod journal;
mod keeper;
#[cfg(test)]
mod model;
mod other_name;
pub(crate) mod output;
mod plan;
mod policy;
mod renderings;
mod runner;
mod settle;
mod state;
mod subtitle_name;
mod time_budget;
mod unfinished;

pub use self::other_name::of as other_name;
pub(crate) use self::{
    checkpoint::RunCheckpoints,
    plan::Plan,
    runner::JobRunner,
    settle::POSTPONED,
    unfinished::{Unfinished, UnfinishedRecording},
};
