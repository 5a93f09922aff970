//! Several paths of one command line may lead to one recording, or two recordings to one transcript.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Mutex, PoisonError},
};

/// Which recording an output belongs to: the first that claimed it.
#[derive(Debug)]
pub(crate) struct Claims {
    /// Outputs and their recordings; `None` below a single path, where no two names are the same,
    /// so that millions of them need not be remembered.
    outputs: Option<Mutex<HashMap<String, String>>>,
}

/// What becomes of a claim.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    Granted,
    /// The same recording has it: it was named twice.
    Repeated,
    /// Another recording has it.
    Taken(String),
}

impl Claims {
    /// For the recordings below `paths`.
    pub(crate) fn below(paths: &[String]) -> Self {
        Self { outputs: (paths.len() > 1).then(Mutex::default) }
    }

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

/// Why a claim was not granted.
pub(crate) fn taken(by: &str) -> String {
    format!("its transcript would replace that of {by}; give one of them another --out")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_output_is_one_recordings() {
        let claims = Claims::below(&["a/x.wav".to_owned(), "b/".to_owned()]);
        assert_eq!(claims.claim("out/x.wav", "a/x.wav"), Claim::Granted);
        assert_eq!(claims.claim("out/x.wav", "a/x.wav"), Claim::Repeated);
        // However often it is tried.
        for _ in 0..2 {
            let taken = Claim::Taken("a/x.wav".to_owned());
            assert_eq!(claims.claim("out/x.wav", "b/x.wav"), taken);
        }
        assert_eq!(claims.claim("out/y.wav", "b/y.wav"), Claim::Granted);
    }
}
