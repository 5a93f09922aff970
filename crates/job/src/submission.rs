//! Records of submissions: all that is needed to go on with one that was interrupted.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    BatchId, InvalidRecord, JobOptions, ManifestFormat, OutputName, SourceUri, records,
    strict_json::Object,
};

/// Version of the record that this program writes and reads.
const VERSION: u32 = 1;

/// Record of one call of `submit`, stored as `submission/<id>.json` before anything is published.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Submission {
    pub version: u32,
    /// A UUID of version 7, so that the submissions of a batch sort by time.
    pub id: String,
    pub batch: BatchId,
    /// Prefix of the transcripts.
    pub output: String,
    pub input: Input,
    pub selected: Selected,
    /// How transcripts are named.
    pub name: OutputName,
    /// Lane of the queue in which the jobs are published.
    pub lane: String,
    /// Options of the jobs; a row of a manifest may have its own.
    pub options: JobOptions,
    /// URL of the webhook that tells of the end of the batch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notify: Option<String>,
    /// Number of jobs that the batch had before; absent if it had none. What became of them decides what
    /// is submitted again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub earlier_jobs: Option<u64>,
    /// Time in RFC 3339.
    pub submitted_at: String,
}

/// Where the recordings of a submission are named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Input {
    /// Files, folders, objects and prefixes, as URIs, in the order in which they are listed.
    Paths(Vec<String>),
    Manifest {
        /// `None`: standard input, or a pipe, which cannot be read again.
        location: Option<String>,
        format: ManifestFormat,
        /// ETag of the manifest when the submission began.
        etag: Option<String>,
    },
}

/// Which of the listed files are taken.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Selected {
    /// Also files without the extension of a recording.
    pub all_files: bool,
    /// Patterns of paths, one of which must match.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub include: Vec<String>,
    /// Patterns of paths, none of which must match.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
    /// Only files modified at this time or later, in RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub newer_than: Option<String>,
    /// Only files modified at this time or earlier, in RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub older_than: Option<String>,
    /// Only recordings without an up-to-date transcript.
    pub skip_existing: bool,
}

/// How far a submission has listed its input. It is written with the jobs that were listed, in one object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Cursor {
    /// Of [`Input::Paths`].
    Listed {
        at: Place,
        /// Where the listing of a path broke off, because its store did not answer.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        broken: Vec<Place>,
    },
    /// Rows of [`Input::Manifest`] that were read, good and bad ones.
    Rows(u64),
}

impl Default for Cursor {
    /// The beginning of the first path.
    fn default() -> Self {
        Self::Listed { at: Place::default(), broken: Vec::new() }
    }
}

/// A place in the listing of several paths.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// Number of the path, counted from 0; those before it are listed.
    pub path: usize,
    /// The key up to which the path is listed; empty if nothing of it is.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub after: String,
    /// Stems that may come again behind that key, each with the key that has it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stems: Vec<(String, String)>,
}

/// Numbers of recordings of a submission.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubmissionCounts {
    /// Jobs in the manifest.
    pub jobs: u64,
    /// Recordings whose job of an earlier submission is done.
    pub already_done: u64,
    /// Recordings that have a transcript, with `--skip-existing`.
    pub up_to_date: u64,
    /// Files that were ignored, by reason.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ignored: BTreeMap<String, u64>,
    pub renamed: u64,
    /// Recordings without a job.
    pub failed: u64,
}

/// One job in the manifest of a submission.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ManifestJob {
    pub id: String,
    pub source: SourceUri,
    /// Absent in manifests of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    /// Absent if they are those of the submission.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub options: Option<JobOptions>,
    /// Number of earlier submissions of the job.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub generation: u32,
}

fn is_zero(generation: &u32) -> bool {
    *generation == 0
}

/// The last line of a part of a manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartEnd {
    /// First, so that the line is told from a job.
    pub cursor: Cursor,
    /// Whether the whole input is listed.
    pub end: bool,
    /// Of the submission up to here.
    pub counts: SubmissionCounts,
}

/// How many jobs of a submission the broker has confirmed, in the order of the manifest. Those behind
/// may have been published, too.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// Number of the part, counted from 0; all jobs of those before it are confirmed.
    pub part: u32,
    /// Confirmed jobs of that part.
    pub jobs: usize,
    /// Whether the submission is complete.
    #[serde(default)]
    pub complete: bool,
}

impl Submission {
    /// Creates the record of a submission that begins now.
    pub fn new(batch: BatchId, output: String, input: Input) -> Self {
        let now = time::OffsetDateTime::now_utc();
        Self {
            version: VERSION,
            id: uuid::Uuid::now_v7().hyphenated().to_string(),
            batch,
            output,
            input,
            selected: Selected::default(),
            name: OutputName::default(),
            lane: "normal".to_owned(),
            options: JobOptions::default(),
            notify: None,
            earlier_jobs: None,
            submitted_at: now
                .format(&time::format_description::well_known::Rfc3339)
                .expect("the year has four digits"),
        }
    }

    /// Parses a record.
    ///
    /// # Errors
    ///
    /// [`InvalidRecord`], with the reason.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, InvalidRecord> {
        let Object(record) = serde_json::from_slice::<Object<Self>>(bytes)
            .map_err(|error| InvalidRecord(error.to_string()))?;
        if record.version == VERSION {
            Ok(record)
        } else {
            Err(InvalidRecord(format!("not a submission of version {VERSION}")))
        }
    }

    /// Returns the content of the record.
    pub fn to_vec(&self) -> Vec<u8> {
        records::write(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_submission_is_read_back() -> Result<(), InvalidRecord> {
        let manifest = Input::Manifest {
            location: Some("s3://calls/list.csv".to_owned()),
            format: ManifestFormat::Csv,
            etag: Some("v1".to_owned()),
        };
        for input in [Input::Paths(vec!["s3://calls/2026/".to_owned()]), manifest] {
            let mut submission =
                Submission::new(BatchId::generate(), "s3://texts/".to_owned(), input);
            submission.selected.exclude = vec!["*.tmp".to_owned()];
            submission.options.language = Some("en".to_owned());
            submission.notify = Some("https://hooks.example.org/?token=x".to_owned());
            assert_eq!(Submission::from_slice(&submission.to_vec())?, submission);
            submission.version = 2;
            assert!(Submission::from_slice(&submission.to_vec()).is_err());
        }
        Ok(())
    }
}
