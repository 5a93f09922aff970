//! What comes back from the store and from the queue: records of jobs and batches, checkpoints, and the
//! properties of messages.

use std::fmt::Debug;

use ::job::{Batch, Done, Failed, ManifestJob, PartEnd, Published, Running, Submission};
use bytes::Bytes;
use ledger::{CheckpointInput, WorkerTally, untrusted};
use serde::{Serialize, de::DeserializeOwned};

/// Reads a record as each of those that there are.
pub fn records(bytes: &[u8]) {
    if let Ok(batch) = Batch::from_slice(bytes) {
        assert_eq!(Batch::from_slice(&batch.to_vec()), Ok(batch));
    }
    if let Ok(submission) = Submission::from_slice(bytes) {
        assert_eq!(Submission::from_slice(&submission.to_vec()), Ok(submission));
    }
    record::<Running>(bytes);
    record::<Done>(bytes);
    record::<Failed>(bytes);
    record::<Published>(bytes);
    record::<WorkerTally>(bytes);
    // Whatever it is, it does not end the process.
    let _ = untrusted::control(bytes);
    let half = bytes.split_at(bytes.len() / 2);
    let _ = untrusted::progress(&[bytes, bytes], None);
    let _ = untrusted::progress(&[half.0], Some(half.1));
    if let Ok((jobs, Some(end))) = untrusted::part(bytes) {
        let again = untrusted::part(&untrusted::write_part(&jobs, &end));
        assert_eq!(again.ok(), Some((jobs, Some(end))));
    }
    record::<ManifestJob>(bytes);
    record::<PartEnd>(bytes);
    if let Ok(key) = str::from_utf8(bytes) {
        let (name, _, number) = untrusted::name(key);
        assert!(!name.contains('/') && !name.contains('.'));
        if let Some(number) = number {
            assert!(untrusted::id_of(number).eq_ignore_ascii_case(name), "{name}");
        }
    }
}

fn record<R: DeserializeOwned + Serialize + PartialEq + Debug>(bytes: &[u8]) {
    let Ok(record) = serde_json::from_slice::<R>(bytes) else { return };
    let written = serde_json::to_vec(&record).unwrap_or_else(|error| panic!("{error}"));
    let read = serde_json::from_slice::<R>(&written).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(read, record);
}

/// Reads a checkpoint as it is, and one with the same lines and a right header.
pub fn checkpoint(bytes: &[u8]) {
    let input = CheckpointInput { etag: "1-2".to_owned(), fingerprint: "f".repeat(64) };
    let body = Bytes::copy_from_slice(bytes);
    if let Ok(windows) = untrusted::checkpoint(&input, &body) {
        assert!(windows.iter().map(Bytes::len).sum::<usize>() <= bytes.len());
    }
    let lines: Vec<Bytes> =
        bytes.split(|byte| *byte == b'\n').map(Bytes::copy_from_slice).collect();
    let written =
        untrusted::write_checkpoint(&input, &lines).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(untrusted::checkpoint(&input, &written.into()), Ok(lines));
}

/// Reads the properties of a message.
pub fn headers(bytes: &[u8]) {
    let Some((message, _, _)) = queue::untrusted::read_properties(bytes, b"body") else { return };
    let Some(written) = queue::untrusted::write_properties(&message) else { return };
    let again = queue::untrusted::read_properties(&written, b"body");
    let (again, _, redelivered) = again.unwrap_or_else(|| panic!("what was written is not read"));
    assert!(!redelivered);
    assert_eq!(again, message);
}
