//! Lists the recordings that the paths of a command line stand for.

use std::pin::Pin;

use futures::StreamExt;
use job::{Failure, FailureCode};
use location::Location;
use store::{ErrorKind, Stores};
use tokio::sync::mpsc::Sender;

/// A recording to transcribe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) source: Location,
    /// Path below the listed path; the transcript gets the same path below `--out`.
    pub(crate) relative: String,
    pub(crate) size: u64,
}

/// One result of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    Recording(Item),
    /// A file in a folder without the extension of a recording.
    Ignored,
    /// A path that cannot be read. The listing continues with the others.
    Failed(Failure),
}

/// Extensions of the files that are listed in folders. A file that is named explicitly may have any
/// extension: its content decides what it is.
const EXTENSIONS: &[&str] = &[
    "3gp", "aac", "aif", "aifc", "aiff", "caf", "flac", "m4a", "m4b", "m4v", "mka", "mkv", "mov",
    "mp3", "mp4", "mpga", "oga", "ogg", "ogv", "opus", "wav", "wave", "webm", "weba",
];

/// Folder of the batches' records below `--out`, which may be below a listed path.
const RECORDS: &str = ".scriptorium/";

/// Sends everything that `paths` stand for to `found`; stops when the receiver is gone. Returns whether
/// nothing is missing: a listing may break off.
pub(crate) async fn list(
    stores: &Stores,
    paths: &[String],
    all_files: bool,
    found: &Sender<Found>,
) -> bool {
    let mut complete = true;
    for path in paths {
        if let Err(error) = list_one(stores, path, all_files, found).await {
            complete &= !error.is_transient();
            if found.send(failed(path.clone(), &error)).await.is_err() {
                return false;
            }
        }
    }
    complete
}

/// The failure for a path or an entry that cannot be listed.
fn failed(source: String, error: &store::Error) -> Found {
    let code = match error.kind {
        ErrorKind::NotFound => FailureCode::SourceMissing,
        ErrorKind::Denied => FailureCode::SourceDenied,
        ErrorKind::Misconfigured => FailureCode::StoreMisconfigured,
        ErrorKind::Invalid => FailureCode::JobInvalid,
        _ => FailureCode::SourceUnavailable,
    };
    Found::Failed(Failure { code, source, message: format!("{error:#}") })
}

/// Returns `false` if the paths stand for at most one file.
pub(crate) fn may_be_several(paths: &[String]) -> bool {
    let [path] = paths else { return true };
    Location::from_argument(path).is_ok_and(|location| is_folder(&location))
}

/// Returns whether the location is written as a prefix, or is a folder.
fn is_folder(location: &Location) -> bool {
    location.is_prefix() || matches!(location, Location::File(path) if path.is_dir())
}

async fn list_one(
    stores: &Stores,
    path: &str,
    all_files: bool,
    found: &Sender<Found>,
) -> Result<(), store::Error> {
    let location = Location::from_argument(path)?;
    if is_folder(&location) {
        return list_below(stores, &location.as_prefix(), all_files, found).await.map(drop);
    }
    let (store, key) = stores.open(&location)?;
    match store.head(&key).await {
        Ok(meta) => {
            let relative = location.file_name().into_owned();
            let item = Item { source: location, relative, size: meta.size };
            let _ = found.send(Found::Recording(item)).await;
            Ok(())
        }
        Err(error) if error.kind == ErrorKind::NotFound => {
            // Perhaps a prefix without its slash, as in `s3://bucket/folder`.
            match list_below(stores, &location.as_prefix(), all_files, found).await {
                Ok(0) | Err(_) => Err(error),
                Ok(_) => Ok(()),
            }
        }
        Err(error) => Err(error),
    }
}

/// Lists everything below `prefix`; returns the number of objects. An entry that cannot be listed
/// is sent as a failure; an error ends the listing.
async fn list_below(
    stores: &Stores,
    prefix: &Location,
    all_files: bool,
    found: &Sender<Found>,
) -> Result<u64, store::Error> {
    let (store, key) = stores.open(prefix)?;
    let mut objects = store.list(&key).peekable();
    let mut count = 0;
    while let Some(object) = objects.next().await {
        let object = match object {
            Ok(object) => object,
            Err(error) if Pin::new(&mut objects).peek().await.is_none() => return Err(error),
            Err(error) => {
                let _ = found.send(failed(error.uri.clone(), &error)).await;
                continue;
            }
        };
        let source = match prefix {
            Location::S3 { bucket, .. } => Location::s3(bucket, &object.key)?,
            Location::File(_) => Location::File(format!("/{}", object.key).into()),
        };
        let relative = source.relative_to(prefix).unwrap_or(&object.key).to_owned();
        if relative.is_empty() || relative.ends_with('/') || is_record(&relative) {
            continue;
        }
        count += 1;
        let item = if all_files || has_extension_of_recording(&relative) {
            Found::Recording(Item { source, relative, size: object.size })
        } else {
            Found::Ignored
        };
        if found.send(item).await.is_err() {
            break;
        }
    }
    Ok(count)
}

fn is_record(relative: &str) -> bool {
    relative.starts_with(RECORDS) || relative.contains(&format!("/{RECORDS}"))
}

fn has_extension_of_recording(name: &str) -> bool {
    let extension = name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
    extension.is_some_and(|extension| EXTENSIONS.contains(&extension.as_str()))
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;

    async fn listed(paths: &[String], all_files: bool) -> Vec<Found> {
        let stores = Stores::new(store::StoreConfig::default()).unwrap();
        let (sender, mut receiver) = mpsc::channel(100);
        list(&stores, paths, all_files, &sender).await;
        drop(sender);
        let mut found = Vec::new();
        while let Some(item) = receiver.recv().await {
            found.push(item);
        }
        found
    }

    fn relatives(found: &[Found]) -> Vec<&str> {
        let recording = |f: &'_ Found| matches!(f, Found::Recording(_));
        let mut names: Vec<_> = found
            .iter()
            .filter(|f| recording(f))
            .map(|f| match f {
                Found::Recording(item) => item.relative.as_str(),
                _ => "",
            })
            .collect();
        names.sort_unstable();
        names
    }

    #[tokio::test]
    async fn lists_recordings_in_folders_and_ignores_other_files() {
        let root = tempfile::tempdir().unwrap();
        let write = |name: &str| {
            let path = root.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, b"x").unwrap();
        };
        for name in ["a.WAV", "b/c.mp3", "b/notes.txt", "b/d", ".scriptorium/x/y.wav"] {
            write(name);
        }
        let paths = [root.path().to_str().unwrap().to_owned()];
        let found = listed(&paths, false).await;
        assert_eq!(relatives(&found), ["a.WAV", "b/c.mp3"]);
        assert_eq!(found.iter().filter(|f| **f == Found::Ignored).count(), 2);
        let found = listed(&paths, true).await;
        assert_eq!(relatives(&found), ["a.WAV", "b/c.mp3", "b/d", "b/notes.txt"]);
    }

    #[tokio::test]
    async fn lists_explicit_files_with_any_name_and_reports_missing_ones() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("odd name.xyz");
        std::fs::write(&path, b"abc").unwrap();
        let missing = root.path().join("missing.wav").to_str().unwrap().to_owned();
        let found = listed(&[path.to_str().unwrap().to_owned(), missing.clone()], false).await;
        assert_eq!(relatives(&found), ["odd name.xyz"]);
        let Some(Found::Failed(failure)) = found.last() else { panic!("{found:?}") };
        assert_eq!((failure.code, &failure.source), (FailureCode::SourceMissing, &missing));
    }
}
