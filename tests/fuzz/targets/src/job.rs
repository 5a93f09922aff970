//! Job messages, notifications of uploads, and manifests.

use std::{
    io::{BufRead, BufReader},
    sync::LazyLock,
};

use ::job::{
    BatchId, Entry, Format, Job, JobOptions, MAX_JOB_BYTES, ManifestFormat, ManifestReader, Upload,
};
use ::location::Location;
use jsonschema::Validator;
use time::format_description::well_known::Rfc3339;

static SCHEMA: LazyLock<Validator> = LazyLock::new(|| {
    jsonschema::validator_for(&::job::json_schema()).unwrap_or_else(|error| panic!("{error}"))
});

/// Parses a job message, as a worker does.
pub fn job(bytes: &[u8]) {
    let Ok(job) = Job::from_slice(bytes) else { return };
    assert!(bytes.len() <= MAX_JOB_BYTES);
    let message = job.to_vec();
    assert_eq!(Job::from_slice(&message).as_ref(), Ok(&job));
    let value = serde_json::from_slice(bytes).unwrap_or_else(|error| panic!("{error}"));
    assert!(SCHEMA.is_valid(&value), "the schema refuses {value}");
    for format in Format::ALL {
        let output = job.output_in(format);
        assert_ne!(output, job.source.reveal());
        Location::parse_object(&output, 0).unwrap_or_else(|error| panic!("{error}"));
    }
    let record = job.error_record();
    Location::parse_object(&record, 0).unwrap_or_else(|error| panic!("{error}"));
}

/// Parses a notification of an S3 service.
pub fn upload(bytes: &[u8]) {
    let Ok(uploads) = Upload::from_notification(bytes) else { return };
    // A record has more than 40 bytes.
    assert!(uploads.len() <= bytes.len() / 40);
    for upload in uploads {
        let day = upload.created_at.to_offset(time::UtcOffset::UTC);
        let id = BatchId::derived(day, &upload.bucket);
        assert_eq!(id.as_str().parse(), Ok(id));
        let Ok(time) = day.format(&Rfc3339) else { continue };
        let (bucket, key) = (&upload.bucket, &upload.key);
        let record = serde_json::json!({
            "eventSource": "ceph:s3", "eventName": "ObjectCreated:Put", "eventTime": time,
            "s3": { "bucket": { "name": bucket }, "object": { "key": key, "size": upload.size } }
        });
        let again = serde_json::json!({ "Records": [record] }).to_string();
        assert_eq!(Upload::from_notification(again.as_bytes()), Ok(vec![upload]));
    }
}

/// Reads a manifest as JSON Lines.
pub fn manifest_json(bytes: &[u8]) {
    manifest(bytes, ManifestFormat::JsonLines);
}

/// Reads a manifest as CSV.
pub fn manifest_csv(bytes: &[u8]) {
    manifest(bytes, ManifestFormat::Csv);
}

fn manifest(bytes: &[u8], format: ManifestFormat) {
    let Some(entries) = entries(bytes, format) else { return };
    let in_pieces = BufReader::with_capacity(5, bytes);
    assert_eq!(self::entries(in_pieces, format).as_ref(), Some(&entries), "depends on the buffer");
    let lines = 1 + bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
    let mut last = 0;
    for Entry { line, row } in entries {
        assert!(last <= line && line <= lines, "line {line} of {lines}, after {last}");
        last = line;
        let Ok(row) = row else { continue };
        let options = row.job_options(&JobOptions::default());
        // The same row as JSON means the same.
        let mut value = row.options.clone();
        assert!(value.insert("source".to_owned(), row.source.as_str().into()).is_none());
        if let Some(output) = &row.output {
            value.insert("output".to_owned(), output.as_str().into());
        }
        let text = serde_json::Value::from(value).to_string();
        let again = self::entries(text.as_bytes(), ManifestFormat::JsonLines).unwrap_or_default();
        assert_eq!(again, [Entry { line: 1, row: Ok(row) }], "{text}");
        let Ok(options) = options else { continue };
        assert_eq!(options.check(), Ok(()));
        let base = serde_json::to_value(&options).ok();
        let read = base.and_then(|value| serde_json::from_value(value).ok());
        assert_eq!(read.as_ref(), Some(&options));
    }
}

/// Reads all rows; `None` if the manifest as a whole is refused.
fn entries(input: impl BufRead, format: ManifestFormat) -> Option<Vec<Entry>> {
    let mut reader = ManifestReader::new(input, format).ok()?;
    let next = || reader.next_row().unwrap_or_else(|error| panic!("{error}"));
    Some(std::iter::from_fn(next).collect())
}
