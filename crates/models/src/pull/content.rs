//! A check of files whose checksum is unknown.

use std::fs;
use std::path::Path;

use serde::de::IgnoredAny;

use crate::onnx::Graph;
use crate::yaml;

/// Checks that the content of a file fits its name, before its checksum is pinned: a login page with
/// status 200 does not.
///
/// # Errors
/// What the file is instead.
pub(crate) fn check(name: &str, path: &Path) -> Result<(), String> {
    let text = || fs::read_to_string(path).map_err(|error| error.to_string());
    let extension = Path::new(name).extension().and_then(|extension| extension.to_str());
    match extension {
        Some("onnx") => Graph::open(path).map(drop).map_err(|error| error.to_string()),
        Some("json") => serde_json::from_str::<IgnoredAny>(&text()?)
            .map(drop)
            .map_err(|error| format!("not JSON: {error}")),
        Some("yaml") => yaml::parse::<IgnoredAny>(&text()?)
            .map(drop)
            .map_err(|error| format!("not YAML: {error}")),
        Some("mvn") if !text()?.contains("<AddShift>") => {
            Err("not a Kaldi file of mean and variance".into())
        }
        _ => {
            let size = fs::metadata(path).map_err(|error| error.to_string())?.len();
            if size == 0 { Err("empty".into()) } else { Ok(()) }
        }
    }
}
