//! Placeholder until i15-seg is merged.
use std::path::Path;
use crate::recognizer::Error;
/// placeholder
pub struct SegmentationNetwork;
impl SegmentationNetwork {
    /// placeholder
    /// # Errors
    /// none
    pub fn open(_: &Path, _: &str) -> Result<Self, Error> { Ok(Self) }
    /// placeholder
    pub fn name(&self) -> &str { "x" }
    /// placeholder
    pub fn digest(&self) -> &str { "x" }
    /// placeholder
    /// # Errors
    /// none
    pub fn run(&self, _: &[f32], _: usize) -> Result<Vec<f32>, Error> { Ok(Vec::new()) }
}
