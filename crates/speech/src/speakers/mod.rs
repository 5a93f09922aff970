//! Who spoke when.

mod campplus;
mod checkpoint;
mod chunks;
mod encoder;
#[cfg(test)]
mod tests;

pub use encoder::SpeakerEncoder;
