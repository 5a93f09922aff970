//! Lists the recordings that the paths of a command line stand for.

mod pattern;

use std::{
    collections::VecDeque,
    ffi::{OsStr, OsString},
    pin::Pin,
    time::SystemTime,
};

use futures::StreamExt;
use job::{Cursor, Failure, OutputName, Place};
use location::Location;
use store::{ErrorKind, ObjectMeta, Stores};
use tokio::sync::mpsc::Sender;
use worker::source_failure;

use self::pattern::Pattern;
use crate::{
    filter::Filter,
    ignored::{IgnoredFile, Reason},
    stems::{self, Stem, Stems},
};

/// A recording to transcribe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) source: Location,
    /// Path below the listed path; the transcript gets the same path below `--out`.
    pub(crate) relative: String,
    /// In bytes; 0 for the row of a manifest and a URL, which are not looked up.
    pub(crate) size: u64,
    pub(crate) modified: Option<SystemTime>,
    /// Whether the transcript may be named without the extension.
    pub(crate) stem: Stem,
    /// The row of the manifest that names the recording.
    pub(crate) row: Option<Box<ManifestRow>>,
}

/// A row of a manifest with its line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ManifestRow {
    pub(crate) line: u64,
    pub(crate) row: job::Row,
}

/// One result of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    Recording(Item),
    /// A file in a folder that is not taken for a recording.
    Ignored(IgnoredFile),
    /// A path that cannot be read. The listing continues with the others.
    Failed(Failure),
    /// The listing of a path broke off; it can go on from the next place.
    Broken(Failure),
    /// Everything up to here was sent.
    Reached(Cursor),
}

/// What to list.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) paths: Vec<OsString>,
    /// Which files are taken.
    pub(crate) filter: Filter,
    /// How transcripts are named: by stem, files beside a recording matter.
    pub(crate) name: OutputName,
}

impl Request {
    /// Sorts the paths if the result depends on their order.
    pub(crate) fn sort(&mut self) {
        if self.name == OutputName::Stem {
            // Which of two recordings keeps its extension must not depend on the order of the paths.
            self.paths.sort_by_cached_key(|path| Location::from_os_argument(path).ok());
        }
    }
}

/// Folder of the batches' records below `--out`, which may be below a listed path.
const RECORDS: &str = ".scriptorium/";
/// What follows the keys of that folder in byte order.
const AFTER_RECORDS: &str = ".scriptorium0";
/// Entries after which the place of the listing is sent.
const ENTRIES_PER_PLACE: u32 = 1000;

/// Sends everything behind `from` that the request stands for to `found`, and from time to time how far
/// it has come; stops when the receiver is gone. Returns whether nothing is missing: the listing of a
/// path may break off.
pub(crate) async fn list(
    stores: &Stores,
    request: &Request,
    from: Cursor,
    found: &Sender<Found>,
) -> bool {
    let Cursor::Listed { mut at, broken } = from else { return false };
    let lister = Lister { stores, request, found };
    // Those first that broke off.
    let mut waiting = VecDeque::from(broken);
    let mut broken = Vec::new();
    while let Some(mut place) = waiting.pop_front() {
        let (next, others) = (at.clone(), [broken.clone(), waiting.clone().into()].concat());
        let cursor = |place: &Place| Cursor::Listed {
            at: next.clone(),
            broken: [std::slice::from_ref(place), &others[..]].concat(),
        };
        match lister.path(&mut place, &cursor).await {
            Ended::Listed => {}
            Ended::BrokeOff => broken.push(place),
            Ended::Closed => return false,
        }
        let rest = [broken.clone(), waiting.clone().into()].concat();
        if !lister.send(Found::Reached(Cursor::Listed { at: at.clone(), broken: rest })).await {
            return false;
        }
    }
    while at.path < request.paths.len() {
        let others = broken.clone();
        let cursor = |place: &Place| Cursor::Listed { at: place.clone(), broken: others.clone() };
        let next = at.path + 1;
        match lister.path(&mut at, &cursor).await {
            Ended::Listed => {}
            Ended::BrokeOff => broken.push(at),
            Ended::Closed => return false,
        }
        at = Place { path: next, ..Place::default() };
        let reached = Cursor::Listed { at: at.clone(), broken: broken.clone() };
        if !lister.send(Found::Reached(reached)).await {
            return false;
        }
    }
    broken.is_empty()
}

/// How the listing of one path ended.
enum Ended {
    /// At its end, or with a failure that will stay.
    Listed,
    /// Its store does not answer: it may go on later.
    BrokeOff,
    /// The receiver is gone.
    Closed,
}

/// Returns a path as text: as it was given, without what may be secret in a URL, or, if that is not UTF-8, as a
/// URI.
pub(crate) fn text_of(path: &OsStr) -> String {
    path.to_str().map_or_else(
        || {
            Location::from_os_argument(path)
                .map_or_else(|_| path.to_string_lossy().into_owned(), |path| path.to_string())
        },
        |text| location::shown(text).into_owned(),
    )
}

/// Returns `false` if the paths stand for at most one file.
pub(crate) fn may_be_several(paths: &[OsString]) -> bool {
    let [path] = paths else { return true };
    Location::from_os_argument(path)
        .is_ok_and(|location| is_folder(&location) || Pattern::of(&location).is_some())
}

/// Returns whether the location is written as a prefix, or is a folder.
pub(crate) fn is_folder(location: &Location) -> bool {
    location.is_prefix() || matches!(location, Location::File(path) if path.is_dir())
}

struct Lister<'a> {
    stores: &'a Stores,
    request: &'a Request,
    found: &'a Sender<Found>,
}

/// Returns the cursor of a listing that is at a place.
type CursorAt<'a> = &'a (dyn Fn(&Place) -> Cursor + Sync);

impl Lister<'_> {
    /// Sends what was found; returns whether somebody receives it.
    async fn send(&self, found: Found) -> bool {
        self.found.send(found).await.is_ok()
    }

    /// Lists one path from `place` on, which is kept up to date.
    async fn path(&self, place: &mut Place, cursor: CursorAt<'_>) -> Ended {
        let Some(path) = self.request.paths.get(place.path) else { return Ended::Listed };
        let Err(error) = self.list(path, place, cursor).await else {
            return if self.found.is_closed() { Ended::Closed } else { Ended::Listed };
        };
        let failure = source_failure(&error, &text_of(path));
        let (found, ended) = if error.is_transient() {
            (Found::Broken(failure), Ended::BrokeOff)
        } else {
            (Found::Failed(failure), Ended::Listed)
        };
        if self.send(found).await { ended } else { Ended::Closed }
    }

    async fn list(
        &self,
        path: &OsStr,
        place: &mut Place,
        cursor: CursorAt<'_>,
    ) -> Result<(), store::Error> {
        let location = Location::from_os_argument(path)?;
        if matches!(location, Location::Http(_)) {
            self.send(self.url(location)).await;
            return Ok(());
        }
        let pattern = Pattern::of(&location);
        // A listing that goes on knows by its place what the path stood for.
        let prefix = location.as_prefix();
        let is_below = || prefix.key().is_ok_and(|key| place.after.starts_with(key));
        if is_folder(&location) || (!place.after.is_empty() && (pattern.is_none() || is_below())) {
            return self.list_below(&prefix, None, place, cursor).await.map(drop);
        }
        if let Some(pattern) = pattern.as_ref().filter(|_| !place.after.is_empty()) {
            return self.list_below(&pattern.prefix, Some(pattern), place, cursor).await.map(drop);
        }
        let (store, key) = self.stores.open(&location)?;
        match store.head(&key).await {
            Ok(meta) => {
                let relative = location.file_name().into_owned();
                if let Some(reason) = self.request.filter.reason(&relative, meta.modified) {
                    let file = IgnoredFile { source: location.to_string(), reason };
                    self.send(Found::Ignored(file)).await;
                    return Ok(());
                }
                let stem = match self.request.name {
                    OutputName::Stem => with_uri(stems::of_file(&*store, &key).await, &location),
                    OutputName::Full => Stem::None,
                };
                let ObjectMeta { size, modified, .. } = meta;
                let item = Item { source: location, relative, size, modified, stem, row: None };
                self.send(Found::Recording(item)).await;
                Ok(())
            }
            Err(error) if error.kind == ErrorKind::NotFound => {
                // Perhaps a prefix without its slash, as in `s3://bucket/folder`, or else a pattern.
                let mut listed = self.list_below(&prefix, None, place, cursor).await;
                if let Some(pattern) = &pattern
                    && matches!(listed, Ok(0) | Err(_))
                    && place.after.is_empty()
                {
                    listed = self.list_below(&pattern.prefix, Some(pattern), place, cursor).await;
                    if matches!(listed, Ok(0)) && place.after.is_empty() {
                        let uri = location.to_string();
                        let message = "no recording matches this pattern";
                        return Err(store::Error::new(ErrorKind::NotFound, "list", uri, message));
                    }
                }
                match listed {
                    Ok(0) | Err(_) if place.after.is_empty() => Err(error),
                    Ok(_) => Ok(()),
                    Err(error) => Err(error),
                }
            }
            Err(error) => Err(error),
        }
    }

    /// Returns the recording at a URL, which is one, whatever its path ends with. It is not looked up: a server
    /// may send the whole of it.
    fn url(&self, source: Location) -> Found {
        let relative = source.file_name().into_owned();
        if let Some(reason) = self.request.filter.reason(&relative, None) {
            return Found::Ignored(IgnoredFile { source: source.to_string(), reason });
        }
        let stem = match self.request.name {
            OutputName::Stem => Stem::Free,
            OutputName::Full => Stem::None,
        };
        Found::Recording(Item { source, relative, size: 0, modified: None, stem, row: None })
    }

    /// Lists everything below `prefix` that the pattern matches; returns the number of objects. An entry that cannot be listed
    /// is sent as a failure; an error ends the listing.
    async fn list_below(
        &self,
        prefix: &Location,
        pattern: Option<&Pattern>,
        place: &mut Place,
        cursor: CursorAt<'_>,
    ) -> Result<u64, store::Error> {
        let (store, key) = self.stores.open(prefix)?;
        let mut objects = store.list_after(&key, &place.after).peekable();
        let mut stems = Stems::restore(std::mem::take(&mut place.stems));
        let (mut count, mut entries) = (0, 0);
        while let Some(object) = objects.next().await {
            let entry = match object {
                Ok(object) => {
                    let source = location_of(prefix, &object.key)?;
                    let relative = source.relative_to(prefix).unwrap_or(&object.key).to_owned();
                    if let Some(after) = behind_records(&key, &object.key) {
                        objects = store.list_after(&key, &after).peekable();
                        continue;
                    }
                    if relative.is_empty() || relative.ends_with('/') {
                        continue;
                    }
                    if pattern.is_some_and(|pattern| !pattern.matches(&relative)) {
                        continue;
                    }
                    count += 1;
                    let stem = match self.request.name {
                        OutputName::Stem => with_uri(stems.next(&object.key), prefix),
                        OutputName::Full => Stem::None,
                    };
                    let ObjectMeta { key, size, modified, .. } = object;
                    place.after = key;
                    match self.request.filter.reason_in_folder(&relative, modified) {
                        Some(reason) => {
                            Found::Ignored(IgnoredFile { source: source.to_string(), reason })
                        }
                        None => Found::Recording(Item {
                            source,
                            relative,
                            size,
                            modified,
                            stem,
                            row: None,
                        }),
                    }
                }
                Err(error) => {
                    match (left_out(prefix, &error), Pin::new(&mut objects).peek().await) {
                        (Some(reason), _) => {
                            count += 1;
                            Found::Ignored(IgnoredFile { source: error.uri, reason })
                        }
                        (None, Some(_)) => Found::Failed(source_failure(&error, &error.uri)),
                        (None, None) => {
                            place.stems = stems.taken().to_vec();
                            return Err(error);
                        }
                    }
                }
            };
            if !self.send(entry).await {
                break;
            }
            entries += 1;
            if entries == ENTRIES_PER_PLACE {
                entries = 0;
                place.stems = stems.taken().to_vec();
                if !self.send(Found::Reached(cursor(place))).await {
                    break;
                }
            }
        }
        place.stems = stems.taken().to_vec();
        Ok(count)
    }
}

pub(crate) fn location_of(prefix: &Location, key: &str) -> Result<Location, location::Error> {
    match prefix {
        Location::S3 { bucket, .. } => Location::s3(bucket, key),
        Location::File(_) => Ok(Location::File(format!("/{key}").into())),
        // It has nothing below it.
        Location::Http(_) => prefix.join(key),
    }
}

/// Names the file that has a stem by its URI, as a person would look for it.
fn with_uri(stem: Stem, location: &Location) -> Stem {
    match stem {
        Stem::TakenBy(key) => {
            Stem::TakenBy(location_of(location, &key).map_or(key, |location| location.to_string()))
        }
        stem => stem,
    }
}

/// Returns why an entry with this error is no recording, whatever the error: a link that is not
/// followed, or a trash folder that may not be read.
fn left_out(prefix: &Location, error: &store::Error) -> Option<Reason> {
    if let ErrorKind::NotListed(reason) = error.kind {
        return Some(reason.into());
    }
    let (Location::File(folder), Ok(Location::File(path))) = (prefix, error.uri.parse()) else {
        return None;
    };
    let relative = path.strip_prefix(folder).ok()?.to_string_lossy();
    // A folder's URI ends in a slash, which its path does not keep.
    let slash = if error.uri.ends_with('/') { "/" } else { "" };
    Reason::of(&format!("{relative}{slash}"), true)
}

/// Returns the key behind which a listing of `prefix` goes on if this key is that of a batch's record: there may
/// be millions of them.
pub(crate) fn behind_records(prefix: &str, key: &str) -> Option<String> {
    let relative = key.strip_prefix(prefix).unwrap_or(key);
    let folder = key.len() - relative.len() + records_in(relative)?;
    Some(format!("{}{AFTER_RECORDS}", &key[..folder]))
}

/// Returns where the folder of records begins that a file is in.
pub(crate) fn records_in(relative: &str) -> Option<usize> {
    let is_folder = |at: &usize| *at == 0 || relative.as_bytes()[at - 1] == b'/';
    relative.match_indices(RECORDS).map(|(at, _)| at).find(is_folder)
}

#[cfg(test)]
mod tests;
