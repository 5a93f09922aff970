//! The conformance suite that every [`store::Store`] passes, tests of each implementation,
//! and tests of the reader on a store that fails on purpose.

#![allow(clippy::unwrap_used)] // in helpers of tests too

mod conformance;
mod http;
mod local;
mod reader;
mod s3;
mod server;
mod web_server;
