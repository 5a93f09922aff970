//! Deserialization of JSON that is stricter than serde's.

use std::{collections::BTreeSet, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer},
};

/// A value that must be a JSON object. Serde alone also accepts an array for a struct.
pub(crate) struct Object<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        object(deserializer).map(Self)
    }
}

/// Deserializes a value that must be an object, see [`Object`]. For `deserialize_with`.
pub(crate) fn object<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    struct ObjectVisitor<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
            T::deserialize(MapAccessDeserializer::new(map))
        }
    }

    deserializer.deserialize_map(ObjectVisitor(PhantomData))
}

/// Deserializes an optional value that must be an object if it is present, see [`Object`]. For
/// `deserialize_with`.
pub(crate) fn some_object<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    object(deserializer).map(Some)
}

/// Deserializes a value that is not `null` if it is present. For `deserialize_with`.
pub(crate) fn given<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    T::deserialize(deserializer).map(Some)
}

/// Deserializes a set and refuses duplicates. For `deserialize_with`.
pub(crate) fn set<'de, T, D>(deserializer: D) -> Result<BTreeSet<T>, D::Error>
where
    T: Deserialize<'de> + Ord + fmt::Display,
    D: Deserializer<'de>,
{
    struct SetVisitor<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de> + Ord + fmt::Display> Visitor<'de> for SetVisitor<T> {
        type Value = BTreeSet<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an array")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<BTreeSet<T>, A::Error> {
            let mut set = BTreeSet::new();
            while let Some(element) = sequence.next_element::<T>()? {
                if set.contains(&element) {
                    return Err(de::Error::custom(format_args!("{element} is named twice")));
                }
                set.insert(element);
            }
            Ok(set)
        }
    }

    deserializer.deserialize_seq(SetVisitor(PhantomData))
}

/// Returns the field `version` of an object and ignores all others. `Ok(None)` if there is none.
pub(crate) fn version(json: &str) -> Result<Option<serde_json::Value>, serde_json::Error> {
    #[derive(Deserialize)]
    struct Versioned {
        version: Option<serde_json::Value>,
    }

    serde_json::from_str::<Object<Versioned>>(json).map(|Object(versioned)| versioned.version)
}
