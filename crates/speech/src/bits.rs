//! Serializes floating-point numbers as their bits, so that they come back exactly: JSON has neither
//! NaN nor infinity, and reading a decimal may change its last bit.

/// For `#[serde(with = "bits::of_f64")]`.
pub(crate) mod of_f64 {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(value.to_bits())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        u64::deserialize(deserializer).map(f64::from_bits)
    }
}

/// For `#[serde(with = "bits::of_f32")]`.
pub(crate) mod of_f32 {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(value: &f32, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(value.to_bits())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f32, D::Error> {
        u32::deserialize(deserializer).map(f32::from_bits)
    }
}

/// For `#[serde(default, with = "bits::of_optional_f32")]`.
pub(crate) mod of_optional_f32 {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(crate) fn serialize<S: Serializer>(
        value: &Option<f32>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        value.map(f32::to_bits).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<f32>, D::Error> {
        Ok(Option::<u32>::deserialize(deserializer)?.map(f32::from_bits))
    }
}

/// For `#[serde(with = "bits::of_bytes")]`: two hexadecimal digits for each byte.
pub(crate) mod of_bytes {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(bytes))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<u8>, D::Error> {
        hex::decode(String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// For `#[serde(with = "bits::of_halves")]`: four hexadecimal digits for each number.
pub(crate) mod of_halves {
    use half::f16;
    use serde::{Deserializer, Serializer};

    use super::{of_bytes, read_numbers};

    pub(crate) fn serialize<S: Serializer>(
        values: &[f16],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        of_bytes::serialize(&bytes, serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<f16>, D::Error> {
        read_numbers(deserializer, f16::from_le_bytes)
    }
}

/// For `#[serde(with = "bits::of_vector")]`: eight hexadecimal digits for each number.
pub(crate) mod of_vector {
    use serde::{Deserializer, Serializer};

    use super::{of_bytes, read_numbers};

    pub(crate) fn serialize<S: Serializer>(
        values: &[f32],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        of_bytes::serialize(&bytes, serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<f32>, D::Error> {
        read_numbers(deserializer, f32::from_le_bytes)
    }
}

/// Reads numbers of `N` bytes each.
fn read_numbers<'de, D: serde::Deserializer<'de>, T, const N: usize>(
    deserializer: D,
    from_bytes: fn([u8; N]) -> T,
) -> Result<Vec<T>, D::Error> {
    let bytes = of_bytes::deserialize(deserializer)?;
    let (numbers, rest) = bytes.as_chunks::<N>();
    if !rest.is_empty() {
        return Err(serde::de::Error::custom("the vector ends within a number"));
    }
    Ok(numbers.iter().map(|&bytes| from_bytes(bytes)).collect())
}
