use std::{fmt, path::PathBuf, str::FromStr};

use crate::Error;

/// An object or a prefix: `s3://bucket/key`, `file:///absolute/path`, or a path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Location {
    S3 { bucket: String, key: String },
    File(PathBuf),
}

impl FromStr for Location {
    type Err = Error;

    fn from_str(_text: &str) -> Result<Self, Error> {
        unimplemented!()
    }
}

impl fmt::Display for Location {
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        unimplemented!()
    }
}
