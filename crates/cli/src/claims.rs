//! Detects recordings that are listed twice, and recordings whose transcripts would replace each
//! other.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Mutex, PoisonError},
};

/// Outputs and the recordings that claimed them first.
#[derive(Debug)]
pub(crate) struct Claims {
    /// Recording by output. `None` if a single path is listed: its names are unique, and millions
    /// of them need not be kept in memory.
    outputs: Option<Mutex<HashMap<String, String>>>,
}

/// Result of a claim.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    Granted,
    /// The same recording claimed the output before: it is listed twice.
    Repeated,
    /// This other recording claimed the output before.
    Taken(String),
}

impl Claims {
    /// Starts without claims, for the recordings below this number of paths.
    pub(crate) fn below(paths: usize) -> Self {
        Self { outputs: (paths > 1).then(Mutex::default) }
    }

    /// Claims `output` for the recording `source`.
    pub(crate) fn claim(&self, output: &str, source: &str) -> Claim {
        let Some(outputs) = &self.outputs else { return Claim::Granted };
        let mut outputs = outputs.lock().unwrap_or_else(PoisonError::into_inner);
        match outputs.entry(output.to_owned()) {
            Entry::Vacant(vacant) => {
                vacant.insert(source.to_owned());
                Claim::Granted
            }
            Entry::Occupied(taken) if taken.get() == source => Claim::Repeated,
            Entry::Occupied(taken) => Claim::Taken(taken.get().clone()),
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
            let taken = Claim::Taken("a/x.wav".to_owned());
            assert_eq!(claims.claim("out/x.wav", "b/x.wav"), taken);
        }
        assert_eq!(claims.claim("out/y.wav", "b/y.wav"), Claim::Granted);
    }
}
