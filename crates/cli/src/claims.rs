//! Detects recordings that are listed twice, and recordings whose transcripts would replace each
//! other.

use std::{
    collections::{HashMap, hash_map::Entry},
    hash::{BuildHasher, RandomState},
    sync::{Mutex, PoisonError},
};

/// Recordings whose names are kept, for messages.
const MAX_NAMES: usize = 10_000;
/// A table that grows holds its entries twice; one of many small ones does so at a time. With this number
/// of tables, each of them is well filled by a million entries in all.
const SHARDS: usize = 20;

/// Outputs and the recordings that claimed them first. Millions of them take 16 bytes each: of both
/// only hashes are kept. Two outputs out of a million share one with a probability of 3e-8, and the
/// second of them is then refused; no recording is dropped in silence.
#[derive(Debug)]
pub(crate) struct Claims {
    /// `None` if a single path is listed: its names are unique.
    table: Option<Mutex<Table>>,
}

#[derive(Debug, Default)]
struct Table {
    hashes: RandomState,
    /// Recording by output.
    shards: [HashMap<u64, u64>; SHARDS],
    /// Names of the first recordings by output.
    names: HashMap<u64, String>,
}

/// Result of a claim.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    Granted,
    /// The same recording claimed the output before: it is listed twice.
    Repeated,
    /// Another recording claimed the output before: this one, or one of many.
    Taken(Option<String>),
}

impl Claims {
    /// Starts without claims, for the recordings below this number of paths.
    pub(crate) fn below(paths: usize) -> Self {
        Self { table: (paths > 1).then(Mutex::default) }
    }

    /// Returns whether claims are remembered.
    pub(crate) fn are_kept(&self) -> bool {
        self.table.is_some()
    }

    /// Claims `output` for the recording `source`, which is identified by its whole URI.
    pub(crate) fn claim(&self, output: &str, source: &str) -> Claim {
        let Some(table) = &self.table else { return Claim::Granted };
        let mut table = table.lock().unwrap_or_else(PoisonError::into_inner);
        let Table { hashes, shards, names } = &mut *table;
        let (output, recording) = (hashes.hash_one(output), hashes.hash_one(source));
        // The index is less than the number of shards.
        match shards[(output % SHARDS as u64) as usize].entry(output) {
            Entry::Vacant(vacant) => {
                vacant.insert(recording);
                if names.len() < MAX_NAMES {
                    names.insert(output, location::shown(source).into_owned());
                }
                Claim::Granted
            }
            Entry::Occupied(taken) if *taken.get() == recording => Claim::Repeated,
            Entry::Occupied(_) => Claim::Taken(names.get(&output).cloned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_output_belongs_to_one_recording() {
        let claims = Claims::below(2);
        assert_eq!(claims.claim("out/x.wav", "a/x.wav"), Claim::Granted);
        assert_eq!(claims.claim("out/x.wav", "a/x.wav"), Claim::Repeated);
        // A refused claim does not change the owner.
        for _ in 0..2 {
            let taken = Claim::Taken(Some("a/x.wav".to_owned()));
            assert_eq!(claims.claim("out/x.wav", "b/x.wav"), taken);
        }
        assert_eq!(claims.claim("out/y.wav", "b/y.wav"), Claim::Granted);
    }

    #[test]
    fn many_claims_are_kept_without_names() {
        let claims = Claims::below(usize::MAX);
        for number in 0..2 * MAX_NAMES {
            let (output, source) = (format!("out/{number}"), format!("in/{number}"));
            assert_eq!(claims.claim(&output, &source), Claim::Granted);
        }
        let last = format!("out/{}", 2 * MAX_NAMES - 1);
        assert_eq!(claims.claim(&last, "other"), Claim::Taken(None));
        assert_eq!(claims.claim(&last, &last.replace("out", "in")), Claim::Repeated);
    }
}
