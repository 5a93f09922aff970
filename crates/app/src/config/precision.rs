//! Serialization of an optional precision: `None` is spelled `auto`.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use speech::recognizer::Precision;

/// The values of the key. Errors call the type by the name given here.
#[derive(Serialize, Deserialize)]
#[serde(rename = "Precision", rename_all = "lowercase")]
enum Spelling {
    Auto,
    Int8,
    Bf16,
    F32,
}

/// Reads `auto`, `int8`, `bf16` or `f32`.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Precision>, D::Error> {
    Ok(match Spelling::deserialize(deserializer)? {
        Spelling::Auto => None,
        Spelling::Int8 => Some(Precision::Int8),
        Spelling::Bf16 => Some(Precision::Bf16),
        Spelling::F32 => Some(Precision::F32),
    })
}

/// Writes `auto`, `int8`, `bf16` or `f32`.
pub(super) fn serialize<S: Serializer>(
    precision: &Option<Precision>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let spelling = match precision {
        None => Spelling::Auto,
        Some(Precision::Int8) => Spelling::Int8,
        Some(Precision::Bf16) => Spelling::Bf16,
        Some(Precision::F32) => Spelling::F32,
    };
    spelling.serialize(serializer)
}
