//! Writes the renderings of a transcript, and keeps those that somebody has edited since this program
//! wrote them: a person's corrections cost more than any transcription.
//!
//! The transcript has the digest of each rendering. A rendering that differs from what is to be written is
//! this program's own if it has the digest that the transcript before has for it. Stores that keep metadata
//! tell it without: an editor does not write ours.

use std::{collections::BTreeSet, time::SystemTime};

use bytes::Bytes;
use job::Failure;
use sha2::{Digest, Sha256};
use store::{Condition, ErrorKind, ObjectMeta};
use transcript::{Format, Transcript};

use super::output::{MAX_TRANSCRIPT_BYTES, META_FINGERPRINT, Output};

/// The transcript that the renderings are of so far.
pub(super) enum Previous {
    /// There is none: what has the name of a rendering is replaced, unless the output is guarded.
    Nothing,
    /// There is one, which is read when it is needed.
    Unread,
    Read(Box<PreviousTranscript>),
}

pub(super) struct PreviousTranscript {
    pub(super) transcript: Transcript,
    pub(super) modified: Option<SystemTime>,
}

/// What is in the place of a rendering.
enum Found {
    Nothing,
    /// What is to be written.
    Same,
    /// Something that may be replaced.
    Own,
    /// Something to keep.
    Edited,
}

impl Output {
    /// Writes the renderings that are missing or differ, and notes their digests in the transcript. Returns
    /// the URIs of those that were edited: they are kept, unless edits are to be overwritten.
    pub(super) async fn write_renderings(
        &self,
        transcript: &mut Transcript,
        formats: &BTreeSet<Format>,
        mut previous: Previous,
    ) -> Result<Vec<String>, Failure> {
        let mut kept = Vec::new();
        for &format in formats.iter().filter(|&&format| format != Format::Json) {
            let body = Bytes::from(transcript.render_with(format, &self.rendering));
            let key = self.rendering_key(format, transcript);
            match self.compare(&key, &body, format, &mut previous).await? {
                Found::Same => {}
                Found::Edited => kept.push(self.uri_of(&key)),
                Found::Nothing | Found::Own => {
                    let put = self.put(transcript, format, body.clone(), Condition::Always);
                    put.await.map_err(|error| self.failed(&error))?;
                }
            }
            // Also of one that is kept: it differs, and so it is edited.
            transcript.renderings.insert(format.name().to_owned(), digest(&body));
        }
        Ok(kept)
    }

    async fn compare(
        &self,
        key: &str,
        body: &[u8],
        format: Format,
        previous: &mut Previous,
    ) -> Result<Found, Failure> {
        if matches!(previous, Previous::Nothing) && !self.guarded {
            return Ok(Found::Nothing);
        }
        let (meta, there) = match self.store.get(key, MAX_TRANSCRIPT_BYTES).await {
            Ok(found) => found,
            Err(error) if error.kind == ErrorKind::NotFound => return Ok(Found::Nothing),
            Err(error) if error.kind == ErrorKind::TooLarge && self.guarded => {
                return Err(self.not_ours(key));
            }
            // No editor makes a rendering that large.
            Err(error) if error.kind == ErrorKind::TooLarge => return Ok(Found::Own),
            Err(error) => return Err(self.failed(&error)),
        };
        if there == body {
            return Ok(Found::Same);
        }
        if meta.metadata.contains_key(META_FINGERPRINT) || self.overwrite {
            return Ok(Found::Own);
        }
        if self.guarded {
            return Err(self.not_ours(key));
        }
        if matches!(previous, Previous::Unread) {
            *previous = self.read_previous().await?;
        }
        Ok(match previous {
            Previous::Read(previous) if !previous.wrote(format, &meta, &there) => Found::Edited,
            _ => Found::Own,
        })
    }

    /// Reads the transcript that is to be replaced.
    async fn read_previous(&self) -> Result<Previous, Failure> {
        match self.store.get(&self.key(), MAX_TRANSCRIPT_BYTES).await {
            Ok((meta, body)) => Ok(match Transcript::from_json(&body) {
                Ok(transcript) => {
                    let modified = meta.modified;
                    Previous::Read(Box::new(PreviousTranscript { transcript, modified }))
                }
                // Damaged by a crash, which wrote the renderings before.
                Err(_) => Previous::Nothing,
            }),
            Err(error) if matches!(error.kind, ErrorKind::NotFound | ErrorKind::TooLarge) => {
                Ok(Previous::Nothing)
            }
            Err(error) => Err(self.failed(&error)),
        }
    }
}

impl PreviousTranscript {
    /// Returns whether a rendering is as this program wrote it.
    fn wrote(&self, format: Format, meta: &ObjectMeta, there: &[u8]) -> bool {
        if let Some(known) = self.transcript.renderings.get(format.name()) {
            return *known == digest(there);
        }
        // Transcripts of version 1 have no digests. Their renderings were written first.
        let is_older = match (meta.modified, self.modified) {
            (Some(rendering), Some(transcript)) => rendering <= transcript,
            _ => false,
        };
        is_older || self.transcript.render(format) == there
    }
}

/// Returns the digest of a rendering, as transcripts have it.
fn digest(body: &[u8]) -> String {
    format!("{:x}", Sha256::digest(body))
}
