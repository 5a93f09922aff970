//! The file of voice prints: JSON, versioned.

use serde::{Deserialize, Serialize};

use super::{Encoder, Error, MAX_VOICES, Voice, VoicePrints};

/// Limit in bytes for a file of voice prints. 1000 voices of 192 values have 1.7 MB.
pub const MAX_FILE_BYTES: usize = 8 << 20;
/// Version of the format.
pub(super) const VERSION: u32 = 1;

/// The content of the file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// [`VERSION`].
    voice_prints_version: u32,
    /// The speaker encoder that made the prints.
    encoder: Encoder,
    voices: Vec<Voice>,
}

/// What is read first, whatever else the file contains.
#[derive(Deserialize)]
struct Version {
    voice_prints_version: serde_json::Number,
}

impl VoicePrints {
    /// Reads a file of voice prints. All of it is checked, because it may come from anybody.
    ///
    /// # Errors
    /// [`Error`], except [`Error::OtherEncoder`].
    pub fn from_json(bytes: &[u8]) -> Result<Self, Error> {
        if bytes.len() > MAX_FILE_BYTES {
            return Err(Error::TooLarge { bytes: bytes.len() });
        }
        let Version { voice_prints_version: version } = serde_json::from_slice(bytes)?;
        if version.as_u64() != Some(u64::from(VERSION)) {
            let found = version.to_string().chars().take(40).collect();
            return Err(Error::UnknownVersion { found });
        }
        let File { encoder, voices, .. } = serde_json::from_slice(bytes)?;
        if voices.len() > MAX_VOICES {
            return Err(Error::TooMany(voices.len()));
        }
        let mut prints = Self::new(encoder);
        for voice in voices {
            let name = voice.name.clone();
            if prints.insert(voice)? {
                let reason = "is there twice".to_owned();
                return Err(Error::Name { name, reason });
            }
        }
        Ok(prints)
    }

    /// Returns the content of the file, with a line feed at its end.
    pub fn to_json(&self) -> Vec<u8> {
        let file = File {
            voice_prints_version: VERSION,
            encoder: self.encoder.clone(),
            voices: self.voices.clone(),
        };
        // Text, numbers that are finite, and lists of them can be written.
        let mut json = serde_json::to_vec_pretty(&file).unwrap_or_default();
        json.push(b'\n');
        json
    }
}
