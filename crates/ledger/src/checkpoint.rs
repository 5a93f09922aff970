//! Checkpoints of a job: what its runs have computed so far, for whoever gets the job next.
//!
//! A checkpoint is an object with the windows that a run has computed since the one before; it never
//! changes. It is JSON lines: a header, then one line per window, whose contents the writer defines.
//! Each run has a name of its own, so that two holders of the same job never replace each other's
//! checkpoints; whoever resumes the job reads those of all. When the job ends, all are deleted.

use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use job::Job;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use store::{Condition, ErrorKind, ObjectMeta, Stores};

use crate::{Error, Ledger, names::Names, records};

/// Version of the checkpoints that this program writes, and the only one that it reads: an older one is
/// computed again.
const VERSION: u32 = 1;
/// Largest checkpoint that is read.
pub const MAX_CHECKPOINT_BYTES: u64 = 16 << 20;
/// Limits for all checkpoints of a job that are read: the results for ten hours of speech with speakers have
/// some 60 MB.
const MAX_BYTES: u64 = 128 << 20;
const MAX_CHECKPOINTS: usize = 10_000;
const CONCURRENT_REQUESTS: usize = 8;

/// What all windows of a checkpoint depend on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointInput {
    /// ETag of the recording.
    pub etag: String,
    /// Fingerprint of the pipeline.
    pub fingerprint: String,
}

/// First line of a checkpoint.
#[derive(Debug, Serialize, Deserialize)]
struct Header {
    version: u32,
    #[serde(flatten)]
    input: CheckpointInput,
    /// Number of lines that follow, and their digest.
    windows: usize,
    sha256: String,
}

/// The checkpoints of a job, in the name of one of its runs.
#[derive(Debug)]
pub struct Checkpoints {
    stores: Arc<Stores>,
    names: Names,
    job: String,
    /// Name of the run.
    writer: String,
    /// Number of the next checkpoint.
    sequence: u32,
}

/// What earlier runs have written.
#[derive(Debug, Default)]
pub struct Loaded {
    /// One line for each window, without the line break.
    pub windows: Vec<Bytes>,
    /// Number of checkpoints that they are from.
    pub checkpoints: usize,
    /// Checkpoints that were not used, and why.
    pub ignored: Vec<(String, String)>,
}

impl Ledger {
    /// Returns the checkpoints of a job, for a new run of it.
    pub fn checkpoints(&self, job: &Job) -> Checkpoints {
        Checkpoints {
            stores: Arc::clone(&self.stores),
            names: Names::of(job),
            job: job.key(),
            writer: uuid::Uuid::now_v7().simple().to_string(),
            sequence: 0,
        }
    }
}

impl Checkpoints {
    /// Writes a checkpoint. Each line has no line break.
    ///
    /// # Errors
    ///
    /// [`Error::Store`].
    pub async fn write(&mut self, input: &CheckpointInput, windows: &[Bytes]) -> Result<(), Error> {
        let uri = self.names.checkpoint(&self.job, &self.writer, self.sequence);
        // Also if the write fails: it may succeed later.
        self.sequence += 1;
        let body = encode(input, windows)
            .map_err(|error| Error::Invalid { uri: uri.clone(), source: error.into() })?;
        records::put_bytes(&self.stores, &uri, body.into(), Condition::Always).await?;
        Ok(())
    }

    /// Reads the checkpoints that all runs of the job have written for the same recording and the same
    /// pipeline, within limits. What is left out is computed again.
    ///
    /// # Errors
    ///
    /// [`Error::Store`]. A damaged checkpoint is no error.
    pub async fn load(&self, input: &CheckpointInput) -> Result<Loaded, Error> {
        let (store, prefix) = self.stores.open(&self.names.checkpoints(&self.job).parse()?)?;
        let mut loaded = Loaded::default();
        let (mut wanted, mut bytes) = (Vec::new(), 0);
        let mut objects = store.list(&prefix);
        while let Some(object) = objects.next().await {
            let ObjectMeta { key, size, .. } = match object {
                Err(store::Error { kind: ErrorKind::NotListed(_), .. }) => continue,
                object => object?,
            };
            let reason = match size {
                _ if wanted.len() >= MAX_CHECKPOINTS => "there are too many",
                MAX_CHECKPOINT_BYTES.. => "it is too large",
                _ if bytes + size > MAX_BYTES => "all together are too large",
                _ => {
                    bytes += size;
                    wanted.push(key);
                    continue;
                }
            };
            if loaded.ignored.len() < MAX_CHECKPOINTS {
                loaded.ignored.push((key, reason.to_owned()));
            }
        }
        let store = &store;
        let read = futures::stream::iter(wanted).map(|key| async move {
            match store.get(&key, MAX_CHECKPOINT_BYTES).await {
                Ok((_, body)) => Ok(Some((key, body))),
                // Another run has ended the job, or somebody has replaced the object.
                Err(error) if matches!(error.kind, ErrorKind::NotFound | ErrorKind::TooLarge) => {
                    Ok(None)
                }
                Err(error) => Err(error),
            }
        });
        let mut read = read.buffered(CONCURRENT_REQUESTS);
        while let Some(found) = read.try_next().await? {
            let Some((key, body)) = found else { continue };
            match decode(input, &body) {
                Ok(windows) => {
                    loaded.checkpoints += 1;
                    loaded.windows.extend(windows);
                }
                Err(reason) => loaded.ignored.push((key, reason)),
            }
        }
        Ok(loaded)
    }

    /// Deletes the checkpoints of all runs of the job, which has ended. Returns their number.
    ///
    /// # Errors
    ///
    /// [`Error::Store`]. The call may be repeated.
    pub async fn delete(&self) -> Result<usize, Error> {
        let (store, prefix) = self.stores.open(&self.names.checkpoints(&self.job).parse()?)?;
        let store = &store;
        let deleted = store
            .list(&prefix)
            .filter(|object| {
                let is_object =
                    !matches!(object, Err(store::Error { kind: ErrorKind::NotListed(_), .. }));
                async move { is_object }
            })
            .map(|object| async move { store.delete(&object?.key).await })
            .buffer_unordered(CONCURRENT_REQUESTS)
            .try_fold(0, |count, ()| async move { Ok(count + 1) });
        Ok(deleted.await?)
    }
}

/// Returns the bytes of a checkpoint.
pub(crate) fn encode(
    input: &CheckpointInput,
    windows: &[Bytes],
) -> Result<Vec<u8>, serde_json::Error> {
    let mut digest = Sha256::new();
    for window in windows {
        digest.update(window);
        digest.update(b"\n");
    }
    let header = Header {
        version: VERSION,
        input: input.clone(),
        windows: windows.len(),
        sha256: hex::encode(digest.finalize()),
    };
    let mut body = serde_json::to_vec(&header)?;
    body.push(b'\n');
    for window in windows {
        body.extend_from_slice(window);
        body.push(b'\n');
    }
    Ok(body)
}

/// Returns the windows of a checkpoint, or why it is of no use.
pub(crate) fn decode(input: &CheckpointInput, body: &Bytes) -> Result<Vec<Bytes>, String> {
    let end = body.iter().position(|&byte| byte == b'\n').ok_or("it is damaged: no header")?;
    let header: Header = serde_json::from_slice(&body[..end])
        .map_err(|error| format!("its header is damaged, or of another version: {error}"))?;
    if header.version != VERSION {
        return Err(format!("it is of version {}, not {VERSION}", header.version));
    }
    if header.input.etag != input.etag {
        return Err("it is of another version of the recording".to_owned());
    }
    if header.input.fingerprint != input.fingerprint {
        return Err("it is of another pipeline or of other options".to_owned());
    }
    let lines = body.slice(end + 1..);
    if hex::encode(Sha256::digest(&lines)) != header.sha256 {
        return Err("it is damaged: its digest differs".to_owned());
    }
    let (mut windows, mut start) = (Vec::new(), 0);
    while let Some(length) = lines[start..].iter().position(|&byte| byte == b'\n') {
        windows.push(lines.slice(start..start + length));
        start += length + 1;
    }
    if windows.len() != header.windows {
        return Err(format!("it has {} windows, not {}", windows.len(), header.windows));
    }
    Ok(windows)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn input() -> CheckpointInput {
        CheckpointInput { etag: "1-2".to_owned(), fingerprint: "f".repeat(64) }
    }

    fn checkpoint(windows: &[&str]) -> (Vec<Bytes>, Vec<u8>) {
        let windows: Vec<_> = windows.iter().map(|w| Bytes::from((*w).to_owned())).collect();
        let body = encode(&input(), &windows).unwrap();
        (windows, body)
    }

    #[test]
    fn windows_come_back_in_order() {
        for windows in [vec![], vec!["{}"], vec![r#"{"a":1}"#, r#"{"b":"\n"}"#, "{}"]] {
            let (windows, body) = checkpoint(&windows);
            assert_eq!(decode(&input(), &body.into()), Ok(windows));
        }
    }

    #[test]
    fn what_is_of_another_recording_or_pipeline_is_ignored() {
        let (_, body) = checkpoint(&["{}"]);
        let body = Bytes::from(body);
        let other = CheckpointInput { etag: "1-3".to_owned(), ..input() };
        assert!(decode(&other, &body).unwrap_err().contains("recording"));
        let other = CheckpointInput { fingerprint: "0".to_owned(), ..input() };
        assert!(decode(&other, &body).unwrap_err().contains("pipeline"));
        let text = String::from_utf8(body.to_vec()).unwrap();
        let newer = Bytes::from(text.replace("\"version\":1", "\"version\":2"));
        assert!(decode(&input(), &newer).unwrap_err().contains("version 2"));
    }

    proptest! {
        #[test]
        fn a_damaged_checkpoint_is_never_used(at in any::<prop::sample::Index>(), flip in 1..=255_u8) {
            let (windows, whole) = checkpoint(&[r#"{"a":1}"#, r#"{"b":[2,3]}"#]);
            let mut changed = whole.clone();
            let at = at.index(whole.len());
            changed[at] ^= flip;
            // A change that JSON does not see may leave the header as it was.
            let used = decode(&input(), &changed.into());
            prop_assert!(used.is_err() || used == Ok(windows));
            prop_assert!(decode(&input(), &whole[..at].to_vec().into()).is_err());
        }

        #[test]
        fn anything_may_be_read(body in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = decode(&input(), &body.into());
        }
    }
}
