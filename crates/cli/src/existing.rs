//! The transcripts that are there already, for `--skip-existing`.

use std::{
    hash::{BuildHasher, RandomState},
    time::{Duration, SystemTime},
};

use futures::StreamExt;
use job::Job;
use location::Location;
use store::{ErrorKind, Stores};

/// What the name of a transcript ends with.
const TRANSCRIPT: &str = ".json";
/// The folder of the batches' records below the output, and what follows its keys in byte order.
const RECORDS: &str = ".scriptorium/";
const AFTER_RECORDS: &str = ".scriptorium0";

/// When each transcript below a prefix was written. 16 bytes for each: of names only hashes are kept.
/// The probability that any of a million recordings is taken for one of a million others is 5e-8.
#[derive(Debug)]
pub(crate) struct Existing {
    hashes: RandomState,
    /// Hash of the output, and time in milliseconds since 1970. Sorted.
    transcripts: Vec<(u64, i64)>,
}

impl Existing {
    /// Lists the transcripts below `prefix`.
    pub(crate) async fn list(stores: &Stores, prefix: &Location) -> Result<Self, store::Error> {
        let (store, key) = stores.open(prefix)?;
        let hashes = RandomState::new();
        let mut transcripts = Vec::new();
        let records = format!("{key}{RECORDS}");
        let mut objects = store.list(&key);
        while let Some(object) = objects.next().await {
            let object = match object {
                Ok(object) => object,
                // Neither is a transcript.
                Err(error)
                    if matches!(error.kind, ErrorKind::NotListed(_) | ErrorKind::Invalid) =>
                {
                    continue;
                }
                Err(error) => return Err(error),
            };
            if object.key.starts_with(&records) {
                // There may be more of them than of transcripts.
                objects = store.list_after(&key, &format!("{key}{AFTER_RECORDS}"));
            } else if let Some(output) = object.key.strip_suffix(TRANSCRIPT)
                && let Some(modified) = object.modified
            {
                transcripts.push((hashes.hash_one(output), milliseconds(modified)));
            }
        }
        transcripts.sort_unstable();
        Ok(Self { hashes, transcripts })
    }

    /// Returns whether there is neither a transcript, under either of its names, nor the record of a
    /// failure in the place of the job's transcript.
    pub(crate) fn has_nothing_of(&self, job: &Job) -> bool {
        let has = |output: &Location| {
            let Ok(key) = output.key() else { return true };
            self.find(key).is_some()
        };
        let (Ok(source), Ok(output)) = (job.source.location(), job.output.parse()) else {
            return false;
        };
        let error = job.error_record();
        let error = error.strip_suffix(TRANSCRIPT).and_then(|error| error.parse().ok());
        let other = worker::other_name(&output, &source);
        !has(&output) && !error.as_ref().is_none_or(has) && !other.as_ref().is_some_and(has)
    }

    /// Returns whether there is a transcript of this output that is not older than the recording. If the
    /// time of the recording is not known, any transcript will do.
    pub(crate) fn is_up_to_date(&self, output: &Location, modified: Option<SystemTime>) -> bool {
        let Ok(key) = output.key() else { return false };
        self.find(key).is_some_and(|written| {
            modified.is_none_or(|modified| milliseconds(modified) <= written)
        })
    }

    /// Returns when what lies at `key`, with the extension of a transcript, was written.
    fn find(&self, key: &str) -> Option<i64> {
        let hash = self.hashes.hash_one(key);
        let found = self.transcripts.binary_search_by_key(&hash, |(hash, _)| *hash);
        found.ok().map(|index| self.transcripts[index].1)
    }
}

fn milliseconds(time: SystemTime) -> i64 {
    let clamp = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => clamp(since),
        Err(before) => -clamp(before.duration()),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use job::{BatchId, JobOptions};
    use store::StoreConfig;

    use super::*;

    fn write(root: &Path, name: &str, seconds: u64) {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let file = fs::File::create(path).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
    }

    #[tokio::test]
    async fn transcripts_are_compared_with_their_recordings() {
        let root = tempfile::tempdir().unwrap();
        for (name, seconds) in [
            ("a.wav.json", 100),
            ("b/c.wav.json", 200),
            ("b/c.wav.srt", 300),
            (".scriptorium/x/batch.json", 100),
            ("-first.wav.json", 100),
            ("broken.wav.error.json", 100),
        ] {
            write(root.path(), name, seconds);
        }
        std::os::unix::fs::symlink("nowhere", root.path().join("z.wav.json")).unwrap();
        let prefix = Location::from_path(root.path()).unwrap().as_prefix();
        let stores = Stores::new(StoreConfig::default()).unwrap();
        let existing = Existing::list(&stores, &prefix).await.unwrap();
        assert_eq!(existing.transcripts.len(), 4);
        let is_up_to_date = |name: &str, seconds: u64| {
            let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
            existing.is_up_to_date(&prefix.join(name).unwrap(), Some(modified))
        };
        assert!(is_up_to_date("a.wav", 99) && is_up_to_date("a.wav", 100));
        assert!(!is_up_to_date("a.wav", 101), "the recording was replaced");
        assert!(is_up_to_date("b/c.wav", 150) && is_up_to_date("-first.wav", 1));
        assert!(!is_up_to_date("c.wav", 1) && !is_up_to_date("z.wav", 1));
        assert!(!is_up_to_date(".scriptorium/x/batch", 1), "a record is no transcript");
        assert!(existing.is_up_to_date(&prefix.join("a.wav").unwrap(), None));

        let job = |output: &str, source: &str| {
            let output = prefix.join(output).unwrap().to_string();
            Job::new(
                BatchId::generate(),
                source.to_owned(),
                output,
                String::new(),
                JobOptions::default(),
            )
        };
        for (output, has_nothing) in
            [("a.wav", false), ("b/c.wav", false), ("broken.wav", false), ("new.wav", true)]
        {
            let job = job(output, "s3://calls/x.wav");
            assert_eq!(existing.has_nothing_of(&job), has_nothing, "{output}");
        }
        assert!(!existing.has_nothing_of(&job("a", "s3://calls/a.wav")), "it has another name");
    }
}
