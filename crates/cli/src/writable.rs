//! Checks `--out` before the work begins: nobody should wait for hours to learn that there is no place
//! for the transcripts.

use std::error::Error;

use errors::Chain;
use location::Location;
use store::{ErrorKind, Stores};

use crate::UsageError;

/// A name that stands for any transcript.
const TRANSCRIPT: &str = "transcript.json";

/// Finds out whether transcripts can be written below `prefix`, without leaving anything behind.
///
/// # Errors
///
/// [`UsageError`] if somebody has to choose another `--out`, or to change a permission; another error if
/// the store cannot be reached.
pub(crate) async fn check(stores: &Stores, prefix: &Location) -> anyhow::Result<()> {
    let checked = async {
        let (store, key) = stores.open(prefix)?;
        match prefix {
            Location::S3 { .. } => store.probe(&key).await.map(drop),
            Location::File(_) | Location::Http(_) => {
                store.check_writable(&format!("{key}{TRANSCRIPT}")).await
            }
        }
    };
    checked.await.map_err(|error| {
        let causes = error.source().map_or_else(String::new, |cause| format!(": {}", Chain(cause)));
        let message = format!("--out {prefix}: {}{causes}", error.message);
        match error.kind {
            ErrorKind::Unavailable | ErrorKind::Full | ErrorKind::Other => anyhow::anyhow!(message),
            _ => UsageError(message).into(),
        }
    })
}
