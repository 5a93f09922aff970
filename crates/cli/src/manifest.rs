//! Reads the manifest that `submit` is given: a file, an object, standard input or a pipe.

use std::{
    ffi::OsStr,
    fs::File,
    io::{BufReader, Read},
    path::Path,
};

use anyhow::Context;
use job::{
    Cursor, Entry, Failure, FailureCode, Input, ManifestError, ManifestFormat, ManifestReader, Row,
};
use location::Location;
use store::{Reader, Stores};
use tokio::{runtime::Handle, sync::mpsc::Sender};

use crate::{
    UsageError,
    extensions::is_name_of_recording,
    filter::Filter,
    ignored::IgnoredFile,
    sources::{Found, Item, ManifestRow},
    stems::Stem,
};

/// Rows after which the place in the manifest is sent.
const ROWS_PER_PLACE: u64 = 100;

/// A manifest that was opened, with the header of CSV read.
pub(crate) struct Manifest {
    reader: ManifestReader<BufReader<Box<dyn Read + Send>>>,
    /// For the record of the submission.
    pub(crate) input: Input,
    /// Name for messages.
    name: String,
}

impl Manifest {
    /// Opens the manifest at `path`; `-` is standard input.
    ///
    /// # Errors
    ///
    /// [`UsageError`] if its format is unknown, or its header or encoding is wrong; another error if it
    /// cannot be read.
    pub(crate) async fn open(
        stores: &Stores,
        path: &OsStr,
        format: Option<ManifestFormat>,
    ) -> anyhow::Result<Self> {
        let name = if path == "-" { "standard input".into() } else { path.to_string_lossy() };
        let format = match format.or_else(|| ManifestFormat::of_name(&name)) {
            Some(format) => format,
            None if path == "-" => ManifestFormat::JsonLines,
            None => {
                let message = format!(
                    "{name}: the extension does not tell the format of the manifest: give it with \
                     --manifest-format jsonl or csv"
                );
                return Err(UsageError(message).into());
            }
        };
        let (bytes, location, etag): (Box<dyn Read + Send>, _, _) = if path == "-" {
            (Box::new(std::io::stdin()), None, None)
        } else if is_pipe(path) {
            let pipe = File::open(path).with_context(|| format!("cannot open {name}"))?;
            (Box::new(pipe), None, None)
        } else {
            let location = Location::from_os_argument(path)
                .map_err(|error| UsageError(format!("--manifest: {error}")))?;
            let (store, key) = stores.open(&location)?;
            let meta = store.head(&key).await.context("cannot read the manifest")?;
            let etag = meta.etag.clone();
            let reader = Reader::new(store, meta, Handle::current());
            (Box::new(reader), Some(location.to_string()), Some(etag))
        };
        let input = Input::Manifest { location, format, etag };
        let opened = tokio::task::spawn_blocking(move || {
            ManifestReader::new(BufReader::with_capacity(64 << 10, bytes), format)
        });
        let reader = opened.await?.map_err(|error| match error {
            ManifestError::Unusable(reason) => UsageError(format!("{name}: {reason}")).into(),
            error => anyhow::Error::new(error).context(name.clone().into_owned()),
        })?;
        Ok(Self { reader, input, name: name.into_owned() })
    }

    /// Sends every row behind the first `read` ones, and from time to time how many were read; stops
    /// when the receiver is gone. Returns whether nothing is missing.
    pub(crate) async fn list(
        self,
        read: u64,
        filter: Filter,
        found: Sender<Found>,
    ) -> anyhow::Result<bool> {
        let name = self.name.clone();
        let listing = tokio::task::spawn_blocking(move || self.send_rows(read, &filter, &found));
        listing.await?.with_context(|| format!("cannot read {name}"))
    }

    fn send_rows(
        mut self,
        read: u64,
        filter: &Filter,
        found: &Sender<Found>,
    ) -> std::io::Result<bool> {
        let mut rows = 0;
        while let Some(Entry { line, row }) = self.reader.next_row()? {
            rows += 1;
            if rows <= read {
                continue;
            }
            let entry = match row.map_err(|error| error.to_string()).and_then(|row| item(line, row))
            {
                Ok(item) => match filter.reason(&item.relative, None) {
                    Some(reason) => {
                        Found::Ignored(IgnoredFile { source: item.source.to_string(), reason })
                    }
                    None => Found::Recording(item),
                },
                Err(message) => Found::Failed(Failure {
                    code: FailureCode::JobInvalid,
                    source: format!("{}, line {line}", self.name),
                    message,
                }),
            };
            let is_place = rows.is_multiple_of(ROWS_PER_PLACE);
            if found.blocking_send(entry).is_err()
                || is_place && found.blocking_send(Found::Reached(Cursor::Rows(rows))).is_err()
            {
                return Ok(false);
            }
        }
        if rows < read {
            let message = format!(
                "it has {rows} rows, but {read} were submitted before: give the same manifest again"
            );
            return Err(std::io::Error::new(std::io::ErrorKind::UnexpectedEof, message));
        }
        Ok(found.blocking_send(Found::Reached(Cursor::Rows(rows))).is_ok())
    }
}

/// Returns the recording that a row names. Its transcript is named after its path in the bucket or the
/// file system.
fn item(line: u64, row: Row) -> Result<Item, String> {
    // A relative path would mean another file where the submission is continued elsewhere.
    let source = if Path::new(&row.source).is_absolute() {
        Location::from_path(&row.source)
    } else {
        Location::parse_object(&row.source, 0)
    };
    let source = source.map_err(|error| {
        format!("source {error} (a row names an object or file by its URI or its absolute path)")
    })?;
    let relative = source.key().map_err(|error| format!("source {error}"))?.to_owned();
    let stem = if is_name_of_recording(&relative) { Stem::Free } else { Stem::None };
    let row = Some(Box::new(ManifestRow { line, row }));
    Ok(Item { source, relative, size: 0, modified: None, stem, row })
}

/// Returns whether the path is something other than a file, such as the output of another process.
fn is_pipe(path: &OsStr) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| !metadata.is_file() && !metadata.is_dir())
}

#[cfg(test)]
mod tests {
    use job::Selected;
    use store::StoreConfig;
    use tokio::sync::mpsc;

    use super::*;

    async fn listed(path: &Path, read: u64, filter: Filter) -> Vec<Found> {
        let stores = Stores::new(StoreConfig::default()).unwrap();
        let manifest = Manifest::open(&stores, path.as_os_str(), None).await.unwrap();
        let (sender, mut receiver) = mpsc::channel(10_000);
        assert!(manifest.list(read, filter, sender).await.unwrap());
        let mut found = Vec::new();
        while let Some(entry) = receiver.recv().await {
            found.push(entry);
        }
        found
    }

    fn sources(found: &[Found]) -> Vec<String> {
        let source = |found: &Found| match found {
            Found::Recording(item) => Some(item.relative.clone()),
            _ => None,
        };
        found.iter().filter_map(source).collect()
    }

    #[tokio::test]
    async fn rows_are_recordings_and_bad_ones_are_failures() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("list.CSV");
        std::fs::write(
            &path,
            "source\ns3://b/2024/a.wav\n/srv/b.wav\nrelative.wav\ns3://b/folder/\n\
             s3://b/2023/c.wav\nftp://x/y\n",
        )
        .unwrap();
        let selected = Selected { exclude: vec!["2023/".to_owned()], ..Selected::default() };
        let found = listed(&path, 0, Filter::new(&selected).unwrap()).await;
        assert_eq!(sources(&found), ["2024/a.wav", "srv/b.wav"]);
        let failures: Vec<_> = found
            .iter()
            .filter_map(|found| match found {
                Found::Failed(failure) => failure.source.rsplit(' ').next(),
                _ => None,
            })
            .collect();
        assert_eq!(failures, ["4", "5", "7"]);
        assert_eq!(found.iter().filter(|found| matches!(found, Found::Ignored(_))).count(), 1);
        assert_eq!(found.last(), Some(&Found::Reached(Cursor::Rows(6))));
    }

    #[tokio::test]
    async fn a_manifest_goes_on_behind_any_row() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("list.jsonl");
        let rows: String =
            (0..250).map(|row| format!("{{\"source\": \"s3://b/{row}.wav\"}}\n\n")).collect();
        std::fs::write(&path, rows).unwrap();
        for read in [0, 100, 249, 250] {
            let found = listed(&path, read, Filter::default()).await;
            let expected: Vec<_> = (read..250).map(|row| format!("{row}.wav")).collect();
            assert_eq!(sources(&found), expected);
            assert_eq!(found.last(), Some(&Found::Reached(Cursor::Rows(250))));
        }
        let stores = Stores::new(StoreConfig::default()).unwrap();
        let manifest = Manifest::open(&stores, path.as_os_str(), None).await.unwrap();
        let (sender, _found) = mpsc::channel(10);
        let error = manifest.list(251, Filter::default(), sender).await.unwrap_err();
        assert!(format!("{error:#}").contains("give the same manifest again"), "{error:#}");
    }

    #[tokio::test]
    async fn a_manifest_that_cannot_be_used_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let stores = Stores::new(StoreConfig::default()).unwrap();
        for (name, content, usage) in [
            ("a.csv", "source,lang\n", true),
            ("a.list", "{}", true),
            ("a.tsv", "", true),
            ("missing.csv", "", false),
        ] {
            let path = directory.path().join(name);
            if name != "missing.csv" {
                std::fs::write(&path, content).unwrap();
            }
            let error = Manifest::open(&stores, path.as_os_str(), None).await.err().unwrap();
            assert_eq!(error.is::<UsageError>(), usage, "{error:#}");
            assert!(format!("{error:#}").contains(name), "{error:#}");
        }
    }
}
