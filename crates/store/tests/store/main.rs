//! The conformance suite that every [`store::Store`] passes, tests of what is particular to each
//! store, and tests of the reader on a store that fails on purpose.

#![allow(clippy::unwrap_used)] // in helpers of tests too

mod conformance;
mod local;
mod reader;
mod s3;
mod server;
