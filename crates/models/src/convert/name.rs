//! Names of the files that a conversion reads and writes.

use crate::Family;

/// Name that hubs give any PyTorch checkpoint, that of pyannote's segmentation among others.
pub(crate) const ANY_CHECKPOINT: &str = "pytorch_model.bin";

/// Returns the name of the file that a conversion writes next to a checkpoint of this family, or `None` if
/// checkpoints of this family are not converted.
pub(crate) fn converted(family: Family) -> Option<&'static str> {
    match family {
        Family::CamPlusPlus => Some("campplus.onnx"),
        Family::PyannoteSegmentation => Some("model.onnx"),
        Family::Whisper
        | Family::FsmnVad
        | Family::Paraformer
        | Family::SenseVoice
        | Family::Parakeet
        | Family::CtTransformer
        | Family::TextNormalization => None,
    }
}

/// Returns whether a file may be a checkpoint that is converted: by the name that ModelScope gives those of
/// CAM++, or by that which hubs give any.
pub(crate) fn is_checkpoint(name: &str) -> bool {
    let is_campplus =
        name.starts_with("campplus") && (name.ends_with(".bin") || name.ends_with(".pt"));
    is_campplus || name == ANY_CHECKPOINT
}
