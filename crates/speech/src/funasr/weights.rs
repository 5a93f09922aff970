//! Which of the ONNX files in a directory to run.

use std::path::{Path, PathBuf};

use crate::{
    files,
    recognizer::{Error, Precision},
};

const INT8: [&str; 2] = ["model_quant.onnx", "model.int8.onnx"];
const F32: [&str; 1] = ["model.onnx"];

/// The ONNX file of a recognizer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Weights {
    pub(crate) path: PathBuf,
    /// `int8` or `f32`.
    pub(crate) precision: &'static str,
}

impl Weights {
    /// [`Precision::Auto`]: the quantized file if there is one, else the other.
    pub(crate) fn find(directory: &Path, precision: Precision) -> Result<Self, Error> {
        let int8 = |path| Self { path, precision: "int8" };
        let f32 = |path| Self { path, precision: "f32" };
        match precision {
            Precision::Int8 => files::need(directory, &INT8).map(int8),
            Precision::F32 => files::need(directory, &F32).map(f32),
            Precision::Auto => match files::find(directory, &INT8) {
                Some(path) => Ok(int8(path)),
                None => {
                    files::need(directory, &[INT8.as_slice(), F32.as_slice()].concat()).map(f32)
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fastest_that_is_there() {
        let directory = tempfile::tempdir().expect("directory");
        let find = |precision| Weights::find(directory.path(), precision);
        let write = |name: &str| std::fs::write(directory.path().join(name), "").expect("write");
        let message = find(Precision::Auto).expect_err("empty").to_string();
        assert!(message.contains("model_quant.onnx or model.int8.onnx or model.onnx"), "{message}");
        write("model.onnx");
        assert_eq!(find(Precision::Auto).expect("f32").precision, "f32");
        let message = find(Precision::Int8).expect_err("no int8").to_string();
        assert!(message.contains("no model_quant.onnx or model.int8.onnx"), "{message}");
        write("model.int8.onnx");
        assert_eq!(find(Precision::Auto).expect("int8").precision, "int8");
        assert!(find(Precision::F32).expect("f32").path.ends_with("model.onnx"));
    }
}
