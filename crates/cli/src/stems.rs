//! Which recording of a folder may name its transcript by its stem: the first with that stem in the
//! byte order of the names. So it depends on the folder alone, and not on what else is transcribed, or
//! in which order.

use store::{ErrorKind, Store};

use crate::extensions::is_name_of_recording;

/// Whether the transcript of a recording may be named by its stem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stem {
    Free,
    /// The recording has no stem: its extension is not that of a recording.
    None,
    /// Another file of the folder, whose name this is, has the stem.
    TakenBy(String),
    /// The folder cannot be looked at, for this reason.
    Unknown(String),
}

/// The stems that the files of a folder have taken. Files come in the byte order of their keys, so those
/// that share a stem follow each other closely, and only the stems that may come again are kept: each
/// is the beginning of the latest key.
#[derive(Debug, Default)]
pub(crate) struct Stems {
    /// Stem, and the key of the file that took it.
    taken: Vec<(String, String)>,
}

impl Stems {
    /// Goes on where [`Stems::taken`] was.
    pub(crate) fn restore(taken: Vec<(String, String)>) -> Self {
        Self { taken }
    }

    /// Returns the stems that may come again, with the keys of the files that took them.
    pub(crate) fn taken(&self) -> &[(String, String)] {
        &self.taken
    }

    /// Takes note of the next file, and returns whether its stem is free for it.
    pub(crate) fn next(&mut self, key: &str) -> Stem {
        // '/' follows '.' in byte order: a stem may come again until then.
        self.taken.retain(|(stem, _)| *key < *format!("{stem}/"));
        // A file without the extension of a recording would be named like the stem.
        self.taken.push((key.to_owned(), key.to_owned()));
        let Some(stem) = stem_of_recording(key) else { return Stem::None };
        match self.taken.iter().find(|(taken, _)| taken == stem) {
            Some((_, by)) => Stem::TakenBy(by.clone()),
            None => {
                self.taken.push((stem.to_owned(), key.to_owned()));
                Stem::Free
            }
        }
    }
}

/// Returns whether the stem of one file is free for it, as a listing of its folder would.
pub(crate) async fn of_file(store: &dyn Store, key: &str) -> Stem {
    let Some(stem) = stem_of_recording(key) else { return Stem::None };
    let mut stems = Stems::default();
    match store.head(stem).await {
        Ok(_) => drop(stems.next(stem)),
        Err(error) if error.kind == ErrorKind::NotFound => {}
        Err(error) => return Stem::Unknown(error.to_string()),
    }
    let mut siblings = store.list(&format!("{stem}."));
    while let Some(sibling) = futures::StreamExt::next(&mut siblings).await {
        match sibling {
            Ok(sibling) if sibling.key.as_str() < key => drop(stems.next(&sibling.key)),
            Ok(_) => break,
            Err(error) if matches!(error.kind, ErrorKind::NotListed(_)) => {}
            Err(error) => return Stem::Unknown(error.to_string()),
        }
    }
    stems.next(key)
}

fn stem_of_recording(key: &str) -> Option<&str> {
    job::stem(key).filter(|_| is_name_of_recording(key))
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, HashMap};

    use store::LocalStore;

    use super::*;

    fn stems(keys: &[&str]) -> Vec<Stem> {
        let mut stems = Stems::default();
        keys.iter().map(|key| stems.next(key)).collect()
    }

    fn taken_by(key: &str) -> Stem {
        Stem::TakenBy(key.to_owned())
    }

    #[test]
    fn the_first_of_a_stem_has_it() {
        let keys =
            ["talk-1.mp4", "talk.mp4", "talk.part.wav", "talk.wav", "talk/a.wav", "talks.wav"];
        let found = stems(&keys);
        assert_eq!(found[3], taken_by("talk.mp4"));
        let free = [0, 1, 2, 4, 5].map(|index| found[index].clone());
        assert_eq!(free, [const { Stem::Free }; 5]);
        // The transcripts are no recordings.
        assert_eq!(stems(&["a/t.json", "a/t.mp3", "a/t.srt"])[1], Stem::Free);
    }

    #[test]
    fn a_file_named_like_the_stem_keeps_it() {
        assert_eq!(stems(&["talk", "talk.mp4"])[1], taken_by("talk"));
        let found = stems(&["talk.mp3", "talk.mp4", "talk.mp4.mp3"]);
        assert_eq!(found, [Stem::Free, taken_by("talk.mp3"), taken_by("talk.mp4")]);
        assert_eq!(stems(&["notes.txt", ".mp4"]), [Stem::None, Stem::None]);
    }

    /// All subsets of names that are easily confused.
    #[test]
    fn no_two_files_get_the_same_name() {
        let names = [
            "a",
            "a-b.mp3",
            "a.flac",
            "a.flac.mp3",
            "a.flac.mp3.wav",
            "a.mp3",
            "a.mp3.flac",
            "a.txt",
            "a/b.mp3",
            "a0.mp3",
        ];
        for subset in 0..1_u32 << names.len() {
            let chosen = || names.iter().enumerate().filter(move |(i, _)| subset >> i & 1 == 1);
            let keys: BTreeSet<&str> = chosen().map(|(_, name)| *name).collect();
            let mut stems = Stems::default();
            let mut outputs = HashMap::new();
            for key in keys {
                let output = match stems.next(key) {
                    Stem::Free => job::stem(key).unwrap(),
                    _ => key,
                };
                assert_eq!(outputs.insert(output, key), None, "{output} {outputs:?}");
                assert!(stems.taken.len() <= 2 * key.len());
            }
        }
    }

    #[tokio::test]
    async fn one_file_alone_gets_the_same_answer_as_in_its_folder() {
        let dir = tempfile::tempdir().unwrap();
        let names = ["t.a.mp3", "t.flac", "t.mp3", "t.mp3.wav", "t.wav", "u.wav", "v", "v.mp4"];
        names.iter().for_each(|name| std::fs::write(dir.path().join(name), "").unwrap());
        std::os::unix::fs::symlink(dir.path(), dir.path().join("t.d")).unwrap();
        let store = LocalStore::new(dir.path());
        for (name, expected) in names.iter().zip(stems(&names)) {
            assert_eq!(of_file(&store, name).await, expected, "{name}");
        }
    }
}
