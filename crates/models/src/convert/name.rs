//! Names of the files that a conversion reads and writes.

/// Name of the file that a conversion writes next to the checkpoint.
pub(crate) const CONVERTED: &str = "campplus.onnx";

/// Returns whether a file is a checkpoint of CAM++, by the names that ModelScope uses.
pub(crate) fn is_checkpoint(name: &str) -> bool {
    name.starts_with("campplus") && (name.ends_with(".bin") || name.ends_with(".pt"))
}
