//! The records of who was told that a batch is over.

use futures::TryStreamExt;
use job::Notification;
use store::Condition;

use crate::{BatchLedger, Error, records};

/// Notifications that are read: a batch has one for each of its submissions, which are few.
const MAX_NOTIFICATIONS: usize = 100;

impl BatchLedger {
    /// Reads the record of a submission; `None` if nobody was to be told yet.
    ///
    /// # Errors
    ///
    /// [`Error::Store`] and [`Error::Invalid`].
    pub async fn notification(&self, submission: &str) -> Result<Option<Notification>, Error> {
        let uri = self.names().notification(submission);
        let found = records::get(self.stores(), &uri).await?;
        found.map(|(body, _)| records::parse(&uri, &body)).transpose()
    }

    /// Writes the first record of a submission, unless there is one. Returns the one that there is.
    ///
    /// # Errors
    ///
    /// As [`Self::notification`].
    pub async fn begin_notification(&self, record: Notification) -> Result<Notification, Error> {
        let uri = self.names().notification(&record.submission);
        let written = records::put(self.stores(), &uri, &record, Condition::IfAbsent).await?;
        if written.is_some() {
            return Ok(record);
        }
        Ok(self.notification(&record.submission).await?.unwrap_or(record))
    }

    /// Replaces the record of a submission.
    ///
    /// # Errors
    ///
    /// [`Error::Store`].
    pub async fn write_notification(&self, record: &Notification) -> Result<(), Error> {
        let uri = self.names().notification(&record.submission);
        records::put(self.stores(), &uri, record, Condition::Always).await.map(drop)
    }

    /// Reads the records of the first submissions, in the order of these.
    ///
    /// # Errors
    ///
    /// As [`Self::notification`].
    pub async fn notifications(&self) -> Result<Vec<Notification>, Error> {
        let (store, prefix) = self.stores().open(&self.names().notifications().parse()?)?;
        let mut objects = store.list(&prefix);
        let mut found = Vec::new();
        while let Some(object) = objects.try_next().await?
            && found.len() < MAX_NOTIFICATIONS
        {
            let name = object.key.strip_prefix(&prefix).and_then(|name| name.strip_suffix(".json"));
            if let Some(submission) = name {
                found.extend(self.notification(submission).await?);
            }
        }
        Ok(found)
    }
}
