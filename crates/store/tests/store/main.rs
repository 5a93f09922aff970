//! Every [`store::Store`] against one suite, each against its own kind of trouble, and the reader
//! over a store that fails on purpose.

#![allow(clippy::unwrap_used)] // in helpers of tests too

mod conformance;
mod local;
mod reader;
mod s3;
mod server;
