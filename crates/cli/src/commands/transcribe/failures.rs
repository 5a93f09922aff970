//! The failures of one run, and what somebody at this machine can do about them. The remedies of
//! [`FailureCode::remedy`] are for those who submit jobs to workers.

use std::{collections::BTreeMap, fmt};

use job::{Failure, FailureCode};
use serde::Serialize;

use crate::names::{message, shown};

/// Maximum number of failures repeated at the end; each was printed when it happened.
const MAX_LISTED: usize = 100;

#[derive(Debug, Default, Serialize)]
pub(super) struct Failures {
    #[serde(rename = "failed")]
    total: u64,
    #[serde(rename = "failures")]
    listed: Vec<Listed>,
}

#[derive(Debug, Serialize)]
struct Listed {
    #[serde(flatten)]
    failure: Failure,
    remedy: &'static str,
}

impl Failures {
    pub(super) fn add(&mut self, failure: Failure) {
        self.total += 1;
        if self.listed.len() < MAX_LISTED {
            self.listed.push(Listed { remedy: remedy(&failure), failure });
        }
    }

    pub(super) fn total(&self) -> u64 {
        self.total
    }
}

/// Lists the failures by code, each with its remedy; each line begins with a line feed.
impl fmt::Display for Failures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut by_code: BTreeMap<(FailureCode, &str), Vec<&Failure>> = BTreeMap::new();
        for Listed { failure, remedy } in &self.listed {
            by_code.entry((failure.code, remedy)).or_default().push(failure);
        }
        for ((code, remedy), failures) in by_code {
            write!(f, "\n{code}: {remedy}")?;
            for failure in failures {
                // Names of others must not forge lines.
                write!(f, "\n  {}: {}", shown(&failure.source), message(failure))?;
            }
        }
        if self.total > self.listed.len() as u64 {
            write!(f, "\nand {} more, see above", self.total - self.listed.len() as u64)?;
        }
        Ok(())
    }
}

/// Returns what somebody at this machine can do about a failure, one sentence.
fn remedy(failure: &Failure) -> &'static str {
    let is_local = !failure.source.contains("://") || failure.source.starts_with("file://");
    match failure.code {
        FailureCode::JobInvalid => "Change the option that the message names.",
        FailureCode::SourceMissing if is_local => "Check the name and the current folder.",
        FailureCode::SourceMissing => "Check the name.",
        FailureCode::SourceExpired => "Get a new URL that is valid for longer.",
        FailureCode::SourceNotAllowed => {
            "Name the address to which the server redirects, if you trust it."
        }
        FailureCode::SourceDenied if is_local => "Give yourself permission to read the file.",
        FailureCode::SourceDenied => "Use credentials that may read the object.",
        FailureCode::SourceInvalid => {
            "Rename it, or name a file, a folder, an s3:// URI, or - for standard input."
        }
        FailureCode::SourceArchived => {
            "Restore the object from the archive, wait until it is restored, and run the command again."
        }
        FailureCode::SourceChanged => {
            "Wait until nobody writes the recording, and run the command again."
        }
        FailureCode::SourceUnavailable | FailureCode::OutputUnavailable if is_local => {
            "Check the disk or the network drive, and run the command again."
        }
        FailureCode::SourceUnavailable | FailureCode::OutputUnavailable => {
            "Check the network, the address of the store (store.s3.endpoint) and its state, and run the \
             command again."
        }
        FailureCode::SourceTooLarge => "Split the recording, or raise audio.max_bytes.",
        FailureCode::AudioEmpty => "Check that the recorder or the copy wrote the file.",
        FailureCode::AudioUnsupported => "Install ffmpeg, or convert the recording to FLAC.",
        FailureCode::AudioTruncated => {
            "Copy the recording again, completely, or transcribe what there is with --allow-truncated."
        }
        FailureCode::AudioTooLong => "Split the recording, or raise audio.max_seconds.",
        FailureCode::ModelUnavailable => {
            "Change the option that the message names, or choose another --model (scriptorium models list)."
        }
        FailureCode::VoicesUnusable => {
            "Name another file with --voices, or enroll the voices again with this speaker model."
        }
        FailureCode::OutputOccupied => "Choose another --out, or move the file away.",
        FailureCode::OutputDenied => "Choose an --out where you may write.",
        FailureCode::OutputInvalid => {
            "Choose another --out, or shorten or rename what the message names."
        }
        FailureCode::StoreMisconfigured => {
            "Correct the credentials, the clock, or the section store.s3 of the configuration."
        }
        FailureCode::Interrupted => "Run the same command again: it goes on.",
        FailureCode::Internal => {
            "Report it with the output of --verbose, and with the recording if you may share it."
        }
        code => code.remedy(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What helps whoever submits jobs does not help here.
    #[test]
    fn no_remedy_speaks_of_jobs_or_workers() {
        let never = [FailureCode::OutputNotAllowed, FailureCode::WorkerLost];
        for &code in FailureCode::ALL.iter().filter(|code| !never.contains(code)) {
            for source in ["/a.wav", "s3://b/a.wav"] {
                let failure = Failure { code, source: source.to_owned(), message: String::new() };
                let remedy = remedy(&failure);
                for word in ["job", "worker", "submit", "upload", "queue"] {
                    assert!(!remedy.to_lowercase().contains(word), "{code}: {remedy}");
                }
            }
        }
    }

    #[test]
    fn failures_are_listed_by_their_remedy() {
        let mut failures = Failures::default();
        for (source, message) in [("file:///a%20b.wav", "x"), ("/c.wav", "y\nz")] {
            let (source, message) = (source.to_owned(), message.to_owned());
            failures.add(Failure { code: FailureCode::AudioEmpty, source, message });
        }
        let text = failures.to_string();
        let expected = "\naudio_empty: Check that the recorder or the copy wrote the file.\
                        \n  /a b.wav: x\n  /c.wav: y\\nz";
        assert_eq!(text, expected);
    }
}
