//! Finds transcripts: those that are named, and those in folders and prefixes.

use std::{
    ffi::{OsStr, OsString},
    pin::Pin,
    sync::Arc,
};

use futures::{Stream, StreamExt, stream};
use job::Failure;
use location::Location;
use store::{ErrorKind, Store, Stores};
use transcript::Format;
use worker::source_failure;

use crate::{
    documents::STDIN,
    sources::{behind_records, is_folder, location_of, records_in, text_of},
};

/// Ends of the names of records of failures.
const ERROR_RECORD: &str = ".error.json";
const TRANSCRIPT: &str = ".json";

/// A file that may be a transcript.
pub(super) enum Source {
    Stdin,
    Object {
        location: Location,
        store: Arc<dyn Store>,
        key: String,
        /// Path below the listed path.
        relative: String,
        /// Whether it was named; a file in a folder may be something else than a transcript.
        is_named: bool,
    },
}

/// Returns the files that the paths stand for, or why one cannot be found, in order.
pub(super) fn list<'a>(
    stores: &'a Stores,
    paths: &'a [OsString],
) -> impl Stream<Item = Result<Source, Failure>> + 'a {
    stream::iter(paths).then(|path| of_path(stores, path)).flatten()
}

type Found<'a> = Pin<Box<dyn Stream<Item = Result<Source, Failure>> + Send + 'a>>;

async fn of_path<'a>(stores: &'a Stores, path: &'a OsStr) -> Found<'a> {
    if path == STDIN {
        return stream::iter([Ok(Source::Stdin)]).boxed();
    }
    match find(stores, path).await {
        Ok(found) => found,
        Err(error) => stream::iter([Err(source_failure(&error, &text_of(path)))]).boxed(),
    }
}

async fn find<'a>(stores: &'a Stores, path: &OsStr) -> Result<Found<'a>, store::Error> {
    let location = Location::from_os_argument(path)?;
    if is_folder(&location) {
        return below(stores, location.as_prefix()).await;
    }
    let (store, key) = stores.open(&location)?;
    match store.head(&key).await {
        Ok(_) => {
            let relative = location.file_name().into_owned();
            let source = Source::Object { location, store, key, relative, is_named: true };
            Ok(stream::iter([Ok(source)]).boxed())
        }
        // Perhaps a prefix without its slash.
        Err(error) if error.kind == ErrorKind::NotFound => {
            let mut listed = below(stores, location.as_prefix()).await?.peekable();
            match Pin::new(&mut listed).peek().await {
                Some(Ok(_)) => Ok(listed.boxed()),
                _ => Err(error),
            }
        }
        Err(error) => Err(error),
    }
}

async fn below(stores: &Stores, prefix: Location) -> Result<Found<'_>, store::Error> {
    let (store, key) = stores.open(&prefix)?;
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    // The listing borrows the store, which the stream keeps alive in a task of its own.
    tokio::spawn(async move {
        let mut objects = store.list(&key);
        while let Some(object) = objects.next().await {
            if let Ok(object) = &object
                && let Some(after) = behind_records(&key, &object.key)
            {
                objects = store.list_after(&key, &after);
                continue;
            }
            let found = match object {
                Ok(object) => match source(&prefix, &store, object.key) {
                    Some(source) => Ok(source),
                    None => continue,
                },
                // Links and special files are no transcripts.
                Err(error) if matches!(error.kind, ErrorKind::NotListed(_)) => continue,
                Err(error) => Err(source_failure(&error, &error.uri)),
            };
            if sender.send(found).await.is_err() {
                return;
            }
        }
    });
    Ok(tokio_stream::wrappers::ReceiverStream::new(receiver).boxed())
}

/// Returns an object below a prefix if it has the name of a transcript.
fn source(prefix: &Location, store: &Arc<dyn Store>, key: String) -> Option<Source> {
    let location = location_of(prefix, &key).ok()?;
    let relative = location.relative_to(prefix)?.to_owned();
    is_transcript(&relative).then(|| Source::Object {
        location,
        store: Arc::clone(store),
        key,
        relative,
        is_named: false,
    })
}

fn is_transcript(relative: &str) -> bool {
    let is_rendering = |format: Format| {
        format != Format::Json && relative.ends_with(&format!(".{}", format.extension()))
    };
    relative.ends_with(TRANSCRIPT)
        && !relative.ends_with(ERROR_RECORD)
        && !Format::ALL.into_iter().any(is_rendering)
        && records_in(relative).is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renderings_and_records_are_no_transcripts() {
        for name in ["a.wav.json", "b/talk.json", "x.json.json"] {
            assert!(is_transcript(name), "{name}");
        }
        for name in [
            "a.wav.error.json",
            "a.wav.aws.json",
            "a.wav.whisper.json",
            "a.wav.verbose.json",
            "a.wav.srt",
            ".scriptorium/1/done/2.json",
            "b/.scriptorium/1/batch.json",
        ] {
            assert!(!is_transcript(name), "{name}");
        }
    }
}
