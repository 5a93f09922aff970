//! Lists the recordings that the paths of a command line stand for.

use std::{
    ffi::{OsStr, OsString},
    pin::Pin,
};

use futures::StreamExt;
use job::{Failure, OutputName};
use location::Location;
use store::{ErrorKind, Stores};
use tokio::sync::mpsc::Sender;
use worker::source_failure;

use crate::{
    ignored::{IgnoredFile, Reason},
    stems::{self, Stem, Stems},
};

/// A recording to transcribe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) source: Location,
    /// Path below the listed path; the transcript gets the same path below `--out`.
    pub(crate) relative: String,
    pub(crate) size: u64,
    /// Whether the transcript may be named without the extension.
    pub(crate) stem: Stem,
}

/// One result of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    Recording(Item),
    /// A file in a folder that is not taken for a recording.
    Ignored(IgnoredFile),
    /// A path that cannot be read. The listing continues with the others.
    Failed(Failure),
}

/// What to list.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) paths: Vec<OsString>,
    /// Take files without the extension of a recording, too.
    pub(crate) all_files: bool,
    /// How transcripts are named: by stem, files beside a recording matter.
    pub(crate) name: OutputName,
}

/// Folder of the batches' records below `--out`, which may be below a listed path.
const RECORDS: &str = ".scriptorium/";

/// Sends everything that the request stands for to `found`; stops when the receiver is gone. Returns
/// whether nothing is missing: a listing may break off.
pub(crate) async fn list(stores: &Stores, mut request: Request, found: &Sender<Found>) -> bool {
    if request.name == OutputName::Stem {
        // Which of two recordings keeps its extension must not depend on the order of the paths.
        request.paths.sort_by_cached_key(|path| Location::from_os_argument(path).ok());
    }
    let mut complete = true;
    for path in &request.paths {
        if let Err(error) = list_one(stores, path, &request, found).await {
            complete &= !error.is_transient();
            if found.send(Found::Failed(source_failure(&error, &text_of(path)))).await.is_err() {
                return false;
            }
        }
    }
    complete
}

/// Returns a path as text: as it was given, or, if that is not UTF-8, as a URI.
pub(crate) fn text_of(path: &OsStr) -> String {
    path.to_str().map_or_else(
        || {
            Location::from_os_argument(path)
                .map_or_else(|_| path.to_string_lossy().into_owned(), |path| path.to_string())
        },
        str::to_owned,
    )
}

/// Returns `false` if the paths stand for at most one file.
pub(crate) fn may_be_several(paths: &[OsString]) -> bool {
    let [path] = paths else { return true };
    Location::from_os_argument(path).is_ok_and(|location| is_folder(&location))
}

/// Returns whether the location is written as a prefix, or is a folder.
fn is_folder(location: &Location) -> bool {
    location.is_prefix() || matches!(location, Location::File(path) if path.is_dir())
}

async fn list_one(
    stores: &Stores,
    path: &OsStr,
    request: &Request,
    found: &Sender<Found>,
) -> Result<(), store::Error> {
    let location = Location::from_os_argument(path)?;
    if is_folder(&location) {
        return list_below(stores, &location.as_prefix(), request, found).await.map(drop);
    }
    let (store, key) = stores.open(&location)?;
    match store.head(&key).await {
        Ok(meta) => {
            let relative = location.file_name().into_owned();
            let stem = match request.name {
                OutputName::Stem => with_uri(stems::of_file(&*store, &key).await, &location),
                OutputName::Full => Stem::None,
            };
            let item = Item { source: location, relative, size: meta.size, stem };
            let _ = found.send(Found::Recording(item)).await;
            Ok(())
        }
        Err(error) if error.kind == ErrorKind::NotFound => {
            // Perhaps a prefix without its slash, as in `s3://bucket/folder`.
            match list_below(stores, &location.as_prefix(), request, found).await {
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
    request: &Request,
    found: &Sender<Found>,
) -> Result<u64, store::Error> {
    let (store, key) = stores.open(prefix)?;
    let mut objects = store.list(&key).peekable();
    let mut stems = Stems::default();
    let mut count = 0;
    while let Some(object) = objects.next().await {
        let entry = match object {
            Ok(object) => {
                let source = location_of(prefix, &object.key)?;
                let relative = source.relative_to(prefix).unwrap_or(&object.key).to_owned();
                if relative.is_empty() || relative.ends_with('/') || is_record(&relative) {
                    continue;
                }
                count += 1;
                let stem = with_uri(stems.next(&object.key), prefix);
                match Reason::of(&relative, request.all_files) {
                    Some(reason) => {
                        Found::Ignored(IgnoredFile { source: source.to_string(), reason })
                    }
                    None => Found::Recording(Item { source, relative, size: object.size, stem }),
                }
            }
            Err(error) => match (left_out(prefix, &error), Pin::new(&mut objects).peek().await) {
                (Some(reason), _) => {
                    count += 1;
                    Found::Ignored(IgnoredFile { source: error.uri, reason })
                }
                (None, Some(_)) => Found::Failed(source_failure(&error, &error.uri)),
                (None, None) => return Err(error),
            },
        };
        if found.send(entry).await.is_err() {
            break;
        }
    }
    Ok(count)
}

fn location_of(prefix: &Location, key: &str) -> Result<Location, location::Error> {
    match prefix {
        Location::S3 { bucket, .. } => Location::s3(bucket, key),
        Location::File(_) => Ok(Location::File(format!("/{key}").into())),
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

fn is_record(relative: &str) -> bool {
    relative.starts_with(RECORDS) || relative.contains(&format!("/{RECORDS}"))
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::{ffi::OsStrExt, fs::symlink},
    };

    use job::FailureCode;
    use tokio::sync::mpsc;

    use super::*;

    /// Last part of the URI, and reason.
    fn ignored(found: &[Found]) -> Vec<(&str, Reason)> {
        found
            .iter()
            .filter_map(|found| match found {
                Found::Ignored(file) => {
                    let source = file.source.trim_end_matches('/');
                    Some((&source[source.rfind('/')? + 1..], file.reason))
                }
                _ => None,
            })
            .collect()
    }

    async fn listed<P: AsRef<OsStr>>(paths: &[P], all_files: bool) -> Vec<Found> {
        let paths = paths.iter().map(|path| path.as_ref().to_owned()).collect();
        listed_for(Request { paths, all_files, name: OutputName::Full }).await
    }

    async fn listed_for(request: Request) -> Vec<Found> {
        let stores = Stores::new(store::StoreConfig::default()).unwrap();
        let (sender, mut receiver) = mpsc::channel(100);
        list(&stores, request, &sender).await;
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
        let paths = [root.path()];
        let found = listed(&paths, false).await;
        assert_eq!(relatives(&found), ["a.WAV", "b/c.mp3"]);
        assert_eq!(ignored(&found), [("d", Reason::Extension), ("notes.txt", Reason::Extension)]);
        let found = listed(&paths, true).await;
        assert_eq!(relatives(&found), ["a.WAV", "b/c.mp3", "b/d", "b/notes.txt"]);
    }

    #[tokio::test]
    async fn lists_explicit_files_with_any_name_and_reports_missing_ones() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("odd name.xyz");
        std::fs::write(&path, b"abc").unwrap();
        let missing = root.path().join("missing.wav").to_str().unwrap().to_owned();
        let found = listed(&[path.to_str().unwrap(), &missing], false).await;
        assert_eq!(relatives(&found), ["odd name.xyz"]);
        let Some(Found::Failed(failure)) = found.last() else { panic!("{found:?}") };
        assert_eq!((failure.code, &failure.source), (FailureCode::SourceMissing, &missing));
    }

    #[tokio::test]
    async fn what_systems_leave_in_folders_is_named_and_not_taken() {
        let root = tempfile::tempdir().unwrap();
        for name in [
            "call.mkv",
            "._call.mkv",
            ".Trashes/501/deleted.mkv",
            "tape.mp2",
            "memo.3g2",
            "voice.amr",
            "real/a.wav",
        ] {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, b"x").unwrap();
        }
        symlink(root.path().join("real"), root.path().join("linked")).unwrap();
        symlink("nowhere.wav", root.path().join("broken.wav")).unwrap();
        for all_files in [false, true] {
            let found = listed(&[root.path()], all_files).await;
            let recordings = ["call.mkv", "memo.3g2", "real/a.wav", "tape.mp2", "voice.amr"];
            assert_eq!(relatives(&found), recordings);
            let expected = [
                ("deleted.mkv", Reason::SystemFolder),
                ("._call.mkv", Reason::AppleDouble),
                ("broken.wav", Reason::BrokenLink),
                ("linked", Reason::LinkedFolder),
            ];
            assert_eq!(ignored(&found), expected);
        }
        // Whoever names them wants them.
        let found =
            listed(&["linked", "._call.mkv"].map(|name| root.path().join(name)), false).await;
        assert_eq!(relatives(&found), ["._call.mkv", "a.wav"]);
    }

    #[tokio::test]
    async fn a_path_that_is_not_utf8_is_one_failure() {
        let root = tempfile::tempdir().unwrap();
        let [good, odd] = [&b"good.wav"[..], b"m\xff.wav"].map(|name| {
            let path = root.path().join(OsStr::from_bytes(name));
            fs::write(&path, b"x").unwrap();
            path
        });
        let found = listed(&[odd, good], false).await;
        assert_eq!(relatives(&found), ["good.wav"]);
        let Some(Found::Failed(failure)) = found.first() else { panic!("{found:?}") };
        assert_eq!(failure.code, FailureCode::SourceInvalid);
        assert!(failure.source.ends_with("/m%FF.wav"), "{failure:?}");
        assert!(failure.message.contains("rename it"), "{failure:?}");
    }

    #[tokio::test]
    async fn stems_are_the_same_whatever_is_listed_in_which_order() {
        let root = tempfile::tempdir().unwrap();
        for name in ["talk.mp4", "talk.wav", "talk.txt", "other.wav"] {
            fs::write(root.path().join(name), b"x").unwrap();
        }
        let path = |name: &str| root.path().join(name).into_os_string();
        let by_name = |found: Vec<Found>| {
            let mut stems: Vec<_> = found
                .into_iter()
                .filter_map(|found| match found {
                    Found::Recording(item) => Some((item.relative, item.stem)),
                    _ => None,
                })
                .collect();
            stems.sort_by(|a, b| a.0.cmp(&b.0));
            stems
        };
        let request = |paths| Request { paths, all_files: false, name: OutputName::Stem };
        let folder = by_name(listed_for(request(vec![path("")])).await);
        let expected = Location::from_path(path("talk.mp4")).unwrap().to_string();
        assert_eq!(
            folder,
            [
                ("other.wav".to_owned(), Stem::Free),
                ("talk.mp4".to_owned(), Stem::Free),
                ("talk.wav".to_owned(), Stem::TakenBy(expected)),
            ]
        );
        let files = ["talk.wav", "other.wav", "talk.mp4"].map(path).to_vec();
        assert_eq!(by_name(listed_for(request(files)).await), folder);
        assert_eq!(by_name(listed_for(request(vec![path("talk.wav")])).await), folder[2..]);
    }
}
