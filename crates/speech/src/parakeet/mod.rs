//! Parakeet-TDT.
mod encoder;
