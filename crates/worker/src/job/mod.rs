//! A leased job, from its message to its settlement.
//!
//! [`plan`] is cheap: it parses, looks at the recording and at an existing transcript. [`execute`]
//! is expensive: it decodes and recognizes. [`output`] writes the transcript; [`settle`] decides
//! how the lease ends, and [`runner`] puts them together. Admission control and checkpoints will
//! attach between [`plan`] and [`execute`].

pub(crate) mod execute;
pub(crate) mod output;
mod plan;
mod runner;
pub(crate) mod settle;

pub(crate) use self::{plan::Plan, runner::JobRunner};
