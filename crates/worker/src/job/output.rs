//! The transcript of one recording in its store, with its renderings.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bytes::Bytes;
use job::{Failure, FailureCode};
use location::Location;
use store::{Capabilities, Condition, ErrorKind, ObjectMeta, PutOptions, Store, Stores};
use transcript::{Format, RenderOptions, Transcript};

use super::{renderings::Previous, subtitle_name};
use crate::{
    Completed,
    failure::{failure, output_failure, store_failure},
};

/// Metadata of a transcript object, which tells whether it is up to date without reading it.
pub(super) const META_FINGERPRINT: &str = "scriptorium-fingerprint";
const META_SOURCE_ETAG: &str = "scriptorium-source-etag";
/// Largest transcript JSON that is read. A larger one was not written by this program.
pub(super) const MAX_TRANSCRIPT_BYTES: u64 = 256 << 20;

/// Location of one transcript and its renderings.
pub(crate) struct Output {
    /// Without the format's extension.
    pub(crate) location: Location,
    pub(crate) store: Arc<dyn Store>,
    /// Key without the format's extension.
    pub(crate) base: String,
    /// URI of the recording, for failures.
    pub(crate) uri: String,
    /// Whether the names of subtitles carry the language.
    pub(crate) language_suffix: bool,
    /// Whether a rendering that exists is somebody else's, unless it is known to be ours.
    pub(crate) guarded: bool,
    /// Whether renderings that somebody has edited are replaced.
    pub(crate) overwrite: bool,
    pub(crate) rendering: RenderOptions,
}

/// What a transcript must be of to be up to date.
pub(crate) struct Wanted<'a> {
    pub(crate) fingerprint: &'a str,
    /// The fingerprint if another program decodes the recording.
    pub(crate) fallback_fingerprint: Option<&'a str>,
    /// ETag of the recording, and the store that can compare it.
    pub(crate) etag: &'a str,
    pub(crate) source: &'a dyn Store,
}

impl Wanted<'_> {
    fn is_fingerprint(&self, found: &str) -> bool {
        found == self.fingerprint || Some(found) == self.fallback_fingerprint
    }

    fn is_recording(&self, found: &str) -> bool {
        self.source.same_content(found, self.etag)
    }
}

/// What exists at the location of the transcript.
pub(crate) enum ExistingOutput {
    Nothing,
    /// With its ETag.
    UpToDate(Box<Transcript>, String),
    /// Nothing, but the up-to-date transcript lies beside it under its other name.
    UnderOtherName(Box<Transcript>),
    /// A transcript of another recording or by another pipeline; its ETag.
    Stale(String),
}

impl ExistingOutput {
    /// Returns the condition under which the transcript may be written, as far as the store honours
    /// conditions.
    pub(crate) fn condition(&self, capabilities: Capabilities) -> Condition {
        match self {
            Self::Nothing | Self::UnderOtherName(_) if capabilities.if_absent => {
                Condition::IfAbsent
            }
            Self::Stale(etag) if capabilities.if_match => Condition::IfMatch(etag.clone()),
            _ => Condition::Always,
        }
    }
}

impl Output {
    /// Returns the key of the transcript, the JSON.
    pub(super) fn key(&self) -> String {
        format!("{}.{}", self.base, Format::Json.extension())
    }

    pub(super) fn rendering_key(&self, format: Format, transcript: &Transcript) -> String {
        let extension = subtitle_name::extension(format, transcript, self.language_suffix);
        self.key_with(&extension)
    }

    /// Returns the key with an extension. There is space for that of the transcript, but perhaps not for
    /// a longer one.
    fn key_with(&self, extension: &str) -> String {
        let extension = format!(".{extension}");
        let shortened = job::shortened_for(&self.location, &extension);
        let key = shortened.as_ref().and_then(|location| location.key().ok());
        format!("{}{extension}", key.unwrap_or(&self.base))
    }

    /// Finds out whether the transcript could be written, before the work that makes it. For stores
    /// whose conditions are probed, that shows it.
    pub(crate) async fn check_writable(&self) -> Result<(), Failure> {
        self.store.check_writable(&self.key()).await.map_err(|error| self.failed(&error))
    }

    /// Returns the prefix below which the store may be probed.
    pub(crate) fn probe_prefix(&self) -> String {
        self.base.rsplit_once('/').map_or_else(String::new, |(parent, _)| format!("{parent}/"))
    }

    pub(crate) fn failed(&self, error: &store::Error) -> Failure {
        output_failure(error, &self.uri)
    }

    /// Looks for something in the place of the transcript.
    pub(crate) async fn find(&self) -> Result<Option<ObjectMeta>, Failure> {
        match self.store.head(&self.key()).await {
            Ok(meta) => Ok(Some(meta)),
            Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.failed(&error)),
        }
    }

    /// Looks at what was found in the place of the transcript. Its metadata mostly suffices to find it
    /// stale; the JSON is read if the store keeps no metadata, or to return the transcript.
    pub(crate) async fn existing(
        &self,
        meta: ObjectMeta,
        wanted: &Wanted<'_>,
    ) -> Result<ExistingOutput, Failure> {
        let key = self.key();
        let ours = meta.metadata.contains_key(META_FINGERPRINT);
        let field = |name: &str| meta.metadata.get(name).map(String::as_str);
        if field(META_FINGERPRINT).is_some_and(|found| !wanted.is_fingerprint(found))
            || field(META_SOURCE_ETAG).is_some_and(|found| !wanted.is_recording(found))
        {
            return Ok(ExistingOutput::Stale(meta.etag));
        }
        let (meta, body) = match self.store.get(&key, MAX_TRANSCRIPT_BYTES).await {
            Ok(found) => found,
            Err(error) => {
                return match error.kind {
                    ErrorKind::NotFound => Ok(ExistingOutput::Nothing),
                    ErrorKind::TooLarge if ours => Ok(ExistingOutput::Stale(meta.etag)),
                    ErrorKind::TooLarge => Err(self.occupied()),
                    _ => Err(self.failed(&error)),
                };
            }
        };
        match Transcript::from_json(&body) {
            Ok(transcript)
                if wanted.is_fingerprint(&transcript.pipeline.fingerprint)
                    && wanted.is_recording(&transcript.source.etag) =>
            {
                Ok(ExistingOutput::UpToDate(Box::new(transcript), meta.etag))
            }
            Ok(_) => Ok(ExistingOutput::Stale(meta.etag)),
            // Another version may have written it, or a crash may have damaged it.
            Err(_) if ours || Transcript::is_of_any_version(&body) => {
                Ok(ExistingOutput::Stale(meta.etag))
            }
            Err(_) => Err(self.occupied()),
        }
    }

    /// The failure for a JSON file that is not a transcript: it is not ours to replace.
    fn occupied(&self) -> Failure {
        let name = self.key();
        let message = format!("{name} exists and is not a transcript");
        failure(FailureCode::OutputOccupied, &self.uri, message)
    }

    /// Refuses, before the work, to replace renderings by others. Those whose names depend on the
    /// language are looked at when they are written.
    pub(crate) async fn check_renderings(&self, formats: &BTreeSet<Format>) -> Result<(), Failure> {
        if !self.guarded {
            return Ok(());
        }
        for &format in formats.iter().filter(|&&format| format != Format::Json) {
            if self.language_suffix && format.is_subtitle() {
                continue;
            }
            let key = self.key_with(format.extension());
            match self.store.head(&key).await {
                Ok(meta) if meta.metadata.contains_key(META_FINGERPRINT) => {}
                Ok(_) => return Err(self.not_ours(&key)),
                Err(error) if error.kind == ErrorKind::NotFound => {}
                Err(error) => return Err(self.failed(&error)),
            }
        }
        Ok(())
    }

    pub(super) fn not_ours(&self, key: &str) -> Failure {
        let message = format!("{key} exists without a transcript that it belongs to");
        failure(FailureCode::OutputOccupied, &self.uri, message)
    }

    /// Returns the URI of an object beside the transcript.
    pub(super) fn uri_of(&self, key: &str) -> String {
        let location = self.location.parent().and_then(|parent| {
            let name = key.rsplit('/').next().unwrap_or(key);
            parent.join(name).ok()
        });
        location.map_or_else(|| key.to_owned(), |location| location.to_string())
    }

    /// Writes the renderings of an up-to-date transcript that are missing or differ: they may not have been
    /// requested when it was written, or be those of an earlier one. Returns the URIs of those that were
    /// edited and are kept.
    pub(crate) async fn update_renderings(
        &self,
        transcript: &mut Transcript,
        formats: &BTreeSet<Format>,
    ) -> Result<Vec<String>, Failure> {
        self.write_renderings(transcript, formats, Previous::Unread).await
    }

    /// Writes an up-to-date transcript again, which has got other renderings.
    pub(crate) async fn rewrite_json(
        &self,
        transcript: &Transcript,
        condition: Condition,
    ) -> Result<(), Failure> {
        match self.put_json(transcript, condition).await {
            Ok(()) => Ok(()),
            // Somebody else has written the transcript: theirs counts.
            Err(error) if error.kind == ErrorKind::Precondition => Ok(()),
            Err(error) => Err(self.failed(&error)),
        }
    }

    /// Writes the renderings, then the JSON, whose existence means that the job is done. Returns the URIs
    /// of the renderings that were edited and are kept.
    pub(crate) async fn write(
        &self,
        transcript: &mut Transcript,
        formats: &BTreeSet<Format>,
        replaces: bool,
        condition: Condition,
        source: &dyn Store,
    ) -> Result<(Completed, Vec<String>), Failure> {
        let previous = if replaces { Previous::Unread } else { Previous::Nothing };
        let kept = self.write_renderings(transcript, formats, previous).await?;
        let completed = self.write_json(transcript, condition, source).await?;
        Ok((completed, kept))
    }

    async fn write_json(
        &self,
        transcript: &Transcript,
        condition: Condition,
        source: &dyn Store,
    ) -> Result<Completed, Failure> {
        match self.put_json(transcript, condition).await {
            Ok(()) => Ok(Completed::Transcribed),
            Err(error) if error.kind == ErrorKind::Precondition => {
                // Somebody else wrote meanwhile; that is fine if the transcript is the same.
                let wanted = Wanted {
                    fingerprint: &transcript.pipeline.fingerprint,
                    fallback_fingerprint: None,
                    etag: &transcript.source.etag,
                    source,
                };
                let existing = match self.find().await? {
                    Some(meta) => self.existing(meta, &wanted).await?,
                    None => ExistingOutput::Nothing,
                };
                match existing {
                    ExistingOutput::UpToDate(..) => Ok(Completed::UpToDate),
                    // Another batch, with other options: the last one counts.
                    ExistingOutput::Stale(etag) => {
                        let replace = Condition::IfMatch(etag);
                        let written = self.put_json(transcript, replace).await;
                        written.map_err(|error| self.failed(&error))?;
                        Ok(Completed::Transcribed)
                    }
                    _ => Err(store_failure(FailureCode::OutputUnavailable, &self.uri, &error)),
                }
            }
            Err(error) => Err(self.failed(&error)),
        }
    }

    async fn put_json(
        &self,
        transcript: &Transcript,
        condition: Condition,
    ) -> Result<(), store::Error> {
        let body = Bytes::from(transcript.render(Format::Json));
        self.put(transcript, Format::Json, body, condition).await
    }

    /// Writes the transcript, or a rendering of it.
    pub(super) async fn put(
        &self,
        transcript: &Transcript,
        format: Format,
        body: Bytes,
        condition: Condition,
    ) -> Result<(), store::Error> {
        put(
            &*self.store,
            &self.rendering_key(format, transcript),
            (format, transcript, body),
            condition,
        )
        .await
    }
}

/// A transcript in a format, rendered.
type Rendered<'a> = (Format, &'a Transcript, Bytes);

async fn put(
    store: &dyn Store,
    key: &str,
    (format, transcript, body): Rendered<'_>,
    condition: Condition,
) -> Result<(), store::Error> {
    let metadata = BTreeMap::from([
        (META_FINGERPRINT.to_owned(), transcript.pipeline.fingerprint.clone()),
        (META_SOURCE_ETAG.to_owned(), transcript.source.etag.clone()),
    ]);
    let options = PutOptions { condition, content_type: Some(format.media_type()), metadata };
    store.put(key, body, options).await.map(drop)
}

/// Writes a rendering where the job of the transcript would write it. `output`: without the extension of
/// the format; `language_suffix`: whether the names of subtitles carry the language.
///
/// # Errors
/// Those of the store.
pub async fn write_rendering(
    stores: &Stores,
    output: &Location,
    language_suffix: bool,
    rendered: Rendered<'_>,
) -> Result<(), store::Error> {
    let (store, base) = stores.open(output)?;
    let (location, uri) = (output.clone(), String::new());
    let output = Output {
        location,
        store,
        base,
        uri,
        language_suffix,
        guarded: false,
        overwrite: true,
        rendering: RenderOptions::default(),
    };
    let key = output.rendering_key(rendered.0, rendered.1);
    put(&*output.store, &key, rendered, Condition::Always).await
}

/// Writes a rendering to a file or object, with the metadata that a job would give it.
///
/// # Errors
/// Those of the store.
pub async fn write_file(
    stores: &Stores,
    file: &Location,
    rendered: Rendered<'_>,
) -> Result<(), store::Error> {
    let (store, key) = stores.open(file)?;
    put(&*store, &key, rendered, Condition::Always).await
}
