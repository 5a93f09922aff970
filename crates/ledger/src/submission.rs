//! The records of one submission: what it submits, the parts of its manifest, and how far it has
//! published. `submit` writes them in this order: the record, then a part, then the messages of the
//! part's jobs, then its progress. So wherever a submission ends, every message has its line, every line
//! is listed behind the cursor of the part before, and what is not known to be published is bounded.

use std::sync::Arc;

use futures::TryStreamExt;
use job::{ManifestJob, PartEnd, Published, Submission};
use store::{Condition, Stores};

use crate::{
    Error,
    manifest::{self, MAX_PART_BYTES, Part},
    names::Names,
    records,
};

/// Writes and reads the records of one submission.
#[derive(Debug, Clone)]
pub struct SubmissionLedger {
    stores: Arc<Stores>,
    names: Names,
    id: String,
}

impl SubmissionLedger {
    pub(crate) fn new(stores: Arc<Stores>, names: Names, id: &str) -> Self {
        Self { stores, names, id: id.to_owned() }
    }

    /// Writes the record of the submission.
    ///
    /// # Errors
    ///
    /// [`Error::Store`].
    pub async fn begin(&self, submission: &Submission) -> Result<(), Error> {
        let (uri, body) = (self.names.submission(&self.id), submission.to_vec().into());
        records::put_bytes(&self.stores, &uri, body, Condition::Always).await?;
        Ok(())
    }

    /// Returns the number of parts of the manifest.
    ///
    /// # Errors
    ///
    /// [`Error::Store`].
    pub async fn parts(&self) -> Result<u32, Error> {
        // The name of all parts up to their number.
        let uri = self.names.manifest_prefix(&self.id);
        let (store, prefix) = self.stores.open(&uri.parse()?)?;
        let count = store.list(&prefix).try_fold(0, async |count, _| Ok(count + 1)).await?;
        Ok(count)
    }

    /// Writes part `number` of the manifest.
    ///
    /// # Errors
    ///
    /// [`Error::Store`], and [`Error::Concurrent`] if there is another part of this number: two processes
    /// continue the same submission.
    pub async fn write_part(&self, number: u32, part: Part, end: &PartEnd) -> Result<(), Error> {
        let (uri, body) = (self.names.manifest(&self.id, number), part.finish(end));
        let written =
            records::put_bytes(&self.stores, &uri, body.clone(), Condition::IfAbsent).await?;
        if written.is_some() {
            return Ok(());
        }
        // It may be our own, written by a request whose response was lost.
        let (store, key) = self.stores.open(&uri.parse()?)?;
        let (_, found) = store.get(&key, MAX_PART_BYTES).await?;
        if found == body { Ok(()) } else { Err(Error::Concurrent { uri }) }
    }

    /// Reads part `number` of the manifest: its jobs, and how far the input was listed with it.
    ///
    /// # Errors
    ///
    /// [`Error::Store`] and [`Error::Invalid`].
    pub async fn read_part(&self, number: u32) -> Result<(Vec<ManifestJob>, PartEnd), Error> {
        let uri = self.names.manifest(&self.id, number);
        let (store, key) = self.stores.open(&uri.parse()?)?;
        let (_, body) = store.get(&key, MAX_PART_BYTES).await?;
        match manifest::parse(&uri, &body)? {
            (jobs, Some(end)) => Ok((jobs, end)),
            (_, None) => Err(Error::Invalid { uri, source: "the part has no last line".into() }),
        }
    }

    /// Returns how far the submission has published; the beginning if it has not recorded that yet.
    ///
    /// # Errors
    ///
    /// [`Error::Store`] and [`Error::Invalid`].
    pub async fn published(&self) -> Result<Published, Error> {
        let uri = self.names.progress(&self.id);
        match records::get(&self.stores, &uri).await? {
            Some((body, _)) => records::parse(&uri, &body),
            None => Ok(Published::default()),
        }
    }

    /// Records how far the submission has published.
    ///
    /// # Errors
    ///
    /// [`Error::Store`].
    pub async fn write_published(&self, published: Published) -> Result<(), Error> {
        let uri = self.names.progress(&self.id);
        records::put(&self.stores, &uri, &published, Condition::Always).await?;
        Ok(())
    }
}
