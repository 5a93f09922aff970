//! The parts of a submission's manifest: JSON Lines, one job per line. The last line says how far the
//! input is listed, so that a part and its cursor are one object, written completely or not at all.

use bytes::Bytes;
use job::{ManifestJob, PartEnd};

use crate::{Error, records};

/// Largest part that is read. A part of this program has at most [`Part::MAX_JOBS`] jobs and little more
/// than [`Part::MAX_BYTES`]; earlier versions wrote parts of 10 000 jobs.
pub(crate) const MAX_PART_BYTES: u64 = 64 << 20;

/// Begins the last line. A job begins with its id.
const END: &[u8] = b"{\"cursor\":";

/// A part that is being filled.
#[derive(Debug, Default)]
pub struct Part {
    lines: Vec<u8>,
    jobs: usize,
}

impl Part {
    /// A part has space for more jobs than this only if nothing says where the listing is.
    pub const MAX_JOBS: usize = 2000;
    /// The same for its bytes.
    pub const MAX_BYTES: usize = 4 << 20;

    pub fn add(&mut self, job: &ManifestJob) {
        // Strings, numbers and options can always be represented in JSON.
        self.lines.extend(serde_json::to_vec(job).unwrap_or_default());
        self.lines.push(b'\n');
        self.jobs += 1;
    }

    pub fn jobs(&self) -> usize {
        self.jobs
    }

    /// Returns whether the part should be written.
    pub fn is_full(&self) -> bool {
        self.jobs >= Self::MAX_JOBS || self.lines.len() >= Self::MAX_BYTES
    }

    /// Returns the content of the object.
    pub(crate) fn finish(mut self, end: &PartEnd) -> Bytes {
        self.lines.extend(serde_json::to_vec(end).unwrap_or_default());
        self.lines.push(b'\n');
        self.lines.into()
    }
}

/// Parses a part. Those of earlier versions have no end.
pub(crate) fn parse(uri: &str, body: &[u8]) -> Result<(Vec<ManifestJob>, Option<PartEnd>), Error> {
    let (mut jobs, mut end) = (Vec::new(), None);
    for line in body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        if line.starts_with(END) {
            end = Some(records::parse(uri, line)?);
        } else {
            jobs.push(records::parse(uri, line)?);
        }
    }
    Ok((jobs, end))
}

#[cfg(test)]
mod tests {
    use job::{Cursor, JobOptions, Place, SubmissionCounts};

    use super::*;

    #[test]
    fn a_part_is_read_back_and_so_are_those_of_earlier_versions() -> Result<(), Error> {
        let job = ManifestJob {
            id: "0".repeat(32),
            source: "s3://b/a \"b\"\n{\"cursor\":".into(),
            output: Some("s3://b/out/a".to_owned()),
            options: Some(JobOptions { language: Some("en".to_owned()), ..JobOptions::default() }),
            generation: 2,
        };
        let plain = ManifestJob { options: None, generation: 0, ..job.clone() };
        let at = Place {
            path: 1,
            after: "a".to_owned(),
            stems: vec![("a".to_owned(), "a.wav".to_owned())],
        };
        let cursor = Cursor::Listed { at: at.clone(), broken: vec![at] };
        for cursor in [cursor, Cursor::Rows(7)] {
            let end = PartEnd { cursor, end: true, counts: SubmissionCounts::default() };
            let mut part = Part::default();
            part.add(&job);
            part.add(&plain);
            let body = part.finish(&end);
            assert!(body.split(|byte| *byte == b'\n').nth(2).is_some_and(|l| l.starts_with(END)));
            assert_eq!(parse("part", &body)?, (vec![job.clone(), plain.clone()], Some(end)));
        }
        let old = br#"{"id":"00","source":"s3://b/a.wav"}"#;
        let (jobs, end) = parse("part", old)?;
        assert_eq!((jobs.len(), jobs[0].output.clone(), end), (1, None, None));
        assert!(parse("part", b"{}").is_err());
        Ok(())
    }
}
