//! The text of a model's licence, which is kept beside the model.

use crate::Entry;

/// Name of the file in a model's directory.
pub(crate) const FILE: &str = "LICENSE";

const APACHE: &str = include_str!("../../../LICENSE");
const MIT: &str = include_str!("licences/MIT.txt");
/// The licence asks for the notice and the address, not for its text.
const CC_BY: &str = "Creative Commons Attribution 4.0 International (CC BY 4.0):\n\
                     https://creativecommons.org/licenses/by/4.0/legalcode\n";

/// Returns the text of an entry's licence with its copyright notice, if the entry has one.
///
/// # Errors
/// The text of the licence is not known.
pub(crate) fn text(entry: &Entry) -> Result<Option<String>, String> {
    let Some(copyright) = &entry.copyright else { return Ok(None) };
    match entry.licence.as_str() {
        "MIT" => Ok(Some(format!("MIT License\n\n{copyright}\n\n{MIT}"))),
        "Apache-2.0" => Ok(Some(format!("{copyright}\n\n{APACHE}"))),
        "CC-BY-4.0" => Ok(Some(format!("{copyright}\n\n{CC_BY}"))),
        licence => {
            Err(format!("the text of the licence {licence} is not known, to go with `copyright`"))
        }
    }
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;
    use crate::Catalogue;

    #[test]
    fn the_licence_of_the_segmentation_is_that_of_its_publisher() {
        let catalogue = Catalogue::builtin();
        let text = text(catalogue.get("pyannote-segmentation-3.0").unwrap()).unwrap().unwrap();
        // The checksum of LICENSE in pyannote/segmentation-3.0.
        assert_eq!(
            hex::encode(Sha256::digest(text)),
            "63a777ad4b3c7aed4b260b084d8fb49ec781c46c70c6b599ca5d2402ef7ebe50"
        );
    }

    #[test]
    fn licences_name_their_authors() {
        let mut entry = Catalogue::builtin().get("campplus").unwrap().clone();
        let apache = text(&entry).unwrap().unwrap();
        assert!(apache.starts_with("Copyright") && apache.contains("Apache License"), "{apache}");
        let parakeet = Catalogue::builtin().get("parakeet-tdt-0.6b-v3").unwrap().clone();
        let attribution = text(&parakeet).unwrap().unwrap();
        assert!(
            attribution.contains("NVIDIA") && attribution.contains("CC BY 4.0"),
            "{attribution}"
        );
        entry.licence = "unknown".to_owned();
        assert!(text(&entry).unwrap_err().contains("unknown"));
        entry.copyright = None;
        assert_eq!(text(&entry), Ok(None));
    }
}
