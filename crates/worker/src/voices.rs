//! Reads the voice prints that a job names.

use errors::Chain;
use job::{Failure, FailureCode};
use location::Location;
use speech::{
    pipeline::Pipeline,
    speakers::voices::{self, MAX_FILE_BYTES, VoicePrints},
};
use store::{ErrorKind, Stores};

use crate::failure::{failure, source_failure};

/// Why voice prints cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VoicesError {
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error(transparent)]
    Prints(#[from] voices::Error),
}

/// Reads a file of voice prints.
///
/// # Errors
/// [`VoicesError::Store`] if it cannot be read, [`VoicesError::Prints`] if it is no such file.
pub async fn read_voices(stores: &Stores, location: &Location) -> Result<VoicePrints, VoicesError> {
    let (store, key) = stores.open(location)?;
    let (_, bytes) = store.get(&key, MAX_FILE_BYTES as u64).await?;
    Ok(VoicePrints::from_json(&bytes)?)
}

/// Reads voice prints that are for the speaker model of a pipeline.
pub(crate) async fn read_for(
    pipeline: &Pipeline,
    stores: &Stores,
    location: &Location,
) -> Result<VoicePrints, VoicesError> {
    let prints = read_voices(stores, location).await?;
    pipeline.check_voices(&prints)?;
    Ok(prints)
}

impl VoicesError {
    /// Returns the failure of the job whose recording is `source`: permanent, unless the store may answer
    /// another time.
    pub(crate) fn failure(
        &self,
        location: &Location,
        source: &(impl ToString + ?Sized),
    ) -> Failure {
        let code = match self {
            Self::Prints(_) => FailureCode::VoicesUnusable,
            Self::Store(error) => match error.kind {
                ErrorKind::NotFound
                | ErrorKind::Denied
                | ErrorKind::NotAllowed
                | ErrorKind::Expired
                | ErrorKind::TooLarge
                | ErrorKind::Archived
                | ErrorKind::Invalid => FailureCode::VoicesUnusable,
                _ => source_failure(error, source).code,
            },
        };
        failure(code, source, format!("voice prints {location}: {}", Chain(self)))
    }
}
