//! Chooses the ONNX file of a model directory, and the precision to run it in.

use std::path::{Path, PathBuf};

use engine::{OnnxFile, Precision};

use crate::{
    files::{self, broken, not_loaded},
    recognizer::Error,
};

const INT8: [&str; 2] = ["model_quant.onnx", "model.int8.onnx"];
const FLOAT: [&str; 1] = ["model.onnx"];

/// The ONNX file of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Weights {
    pub(crate) path: PathBuf,
    pub(crate) precision: Precision,
    /// Whether the file has the name of a quantized one.
    is_quantized: bool,
}

impl Weights {
    /// Chooses the file for `precision`. For int8 this is the quantized file if there is one,
    /// otherwise the file of floats, which is quantized when opened; the other precisions need the
    /// file of floats.
    pub(crate) fn find(directory: &Path, precision: Option<Precision>) -> Result<Self, Error> {
        let precision = precision.unwrap_or(Precision::Int8);
        if precision == Precision::Int8
            && let Some(path) = files::find(directory, &INT8)
        {
            return Ok(Self { path, precision, is_quantized: true });
        }
        let path = match files::find(directory, &FLOAT) {
            Some(path) => path,
            None if precision == Precision::Int8 || files::find(directory, &INT8).is_none() => {
                files::need(directory, &[INT8.as_slice(), FLOAT.as_slice()].concat())?
            }
            None => {
                let message = format!(
                    "the directory holds no model.onnx, whose floats {precision} needs: with the \
                     quantized file that it holds, set the precision to auto or int8"
                );
                return Err(broken(directory, message));
            }
        };
        Ok(Self { path, precision, is_quantized: false })
    }

    /// Opens the file; refuses a quantized file that has the name of a file of floats, unless the
    /// precision is int8.
    pub(crate) fn open(&self) -> Result<OnnxFile, Error> {
        let file = OnnxFile::read(&self.path).map_err(|error| not_loaded(&self.path, error))?;
        let is_quantized =
            self.is_quantized || file.nodes().iter().any(|node| node.op() == "MatMulInteger");
        match self.precision {
            precision if !is_quantized => Ok(file.with_precision(precision)),
            Precision::Int8 => Ok(file),
            precision => {
                let message = format!(
                    "is already quantized, but {precision} needs floats: with this file, set the \
                     precision to auto or int8"
                );
                Err(broken(&self.path, message))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chooses_the_fastest_available_file() {
        let directory = tempfile::tempdir().expect("directory");
        let find = |precision| Weights::find(directory.path(), precision);
        let write = |name: &str| std::fs::write(directory.path().join(name), "").expect("write");
        let message = find(None).expect_err("empty").to_string();
        assert!(message.contains("model_quant.onnx or model.int8.onnx or model.onnx"), "{message}");
        write("model.onnx");
        for (precision, expected) in [
            (None, Precision::Int8),
            (Some(Precision::Int8), Precision::Int8),
            (Some(Precision::Bf16), Precision::Bf16),
            (Some(Precision::F32), Precision::F32),
        ] {
            let found = find(precision).expect("the file of floats");
            assert_eq!((found.precision, found.is_quantized), (expected, false));
        }
        write("model.int8.onnx");
        let int8 = find(None).expect("the quantized file");
        assert_eq!((int8.precision, int8.is_quantized), (Precision::Int8, true));
        assert!(int8.path.ends_with("model.int8.onnx"));
        assert!(find(Some(Precision::F32)).expect("f32").path.ends_with("model.onnx"));
        std::fs::remove_file(directory.path().join("model.onnx")).expect("remove");
        for (precision, name) in [(Precision::Bf16, "bf16"), (Precision::F32, "f32")] {
            let message = find(Some(precision)).expect_err("no floats").to_string();
            assert!(
                message.contains(&format!("no model.onnx, whose floats {name} needs")),
                "{message}"
            );
        }
    }
}
