//! Files in folders that are not recordings: which they are, and the report of them.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};
use store::NotListed;

use crate::{extensions::is_name_of_recording, names::shown};

/// Files that are named one by one. Memory stays bounded, whatever a prefix contains; the rest is
/// counted.
const MAX_NAMED: usize = 100_000;

/// Folders of systems, in lower case: what they hold was deleted, or stands for a recording elsewhere.
const SYSTEM_FOLDERS: &[&str] = &[
    // Deleted files: macOS, Linux, Windows, Samba, Synology, QNAP, Syncthing.
    ".trash",
    ".trashes",
    "network trash folder",
    "$recycle.bin",
    "recycled",
    "recycler",
    ".recycle",
    "#recycle",
    "@recycle",
    ".stversions",
    "lost+found",
    // Snapshots: each has all recordings again.
    "#snapshot",
    ".snapshot",
    ".snapshots",
    "@recently-snapshot",
    // Resource forks, previews and indexes under the names of recordings.
    "__macosx",
    ".appledb",
    ".appledesktop",
    ".appledouble",
    ".documentrevisions-v100",
    ".fseventsd",
    ".spotlight-v100",
    ".temporaryitems",
    ".@__thumb",
    "@eadir",
    ".thumbnails",
    "system volume information",
];

/// Why a file is not taken for a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reason {
    /// The name has no extension of a recording.
    Extension,
    /// `._name`: attributes that macOS keeps beside the file `name`.
    AppleDouble,
    SystemFolder,
    LinkedFolder,
    BrokenLink,
    SpecialFile,
    /// `--include` and `--exclude`.
    NotIncluded,
    Excluded,
    /// `--newer-than` and `--older-than`.
    TooOld,
    TooNew,
}

impl Reason {
    /// Returns the reason to leave out the file with this path below a listed folder, if there is one.
    pub(crate) fn of(relative: &str, all_files: bool) -> Option<Self> {
        let (folders, name) = relative.split_at(relative.rfind('/').map_or(0, |slash| slash + 1));
        if is_in_system_folder(folders) {
            Some(Self::SystemFolder)
        } else if name.len() > 2 && name.starts_with("._") {
            Some(Self::AppleDouble)
        } else if !all_files && !is_name_of_recording(name) {
            Some(Self::Extension)
        } else {
            None
        }
    }

    /// Returns what a listing leaves out, in words for the count.
    fn describe(self) -> &'static str {
        match self {
            Self::Extension => "without the extension of a recording (--all-files takes them)",
            Self::AppleDouble => "AppleDouble files (._name)",
            Self::SystemFolder => "in trash, snapshot and system folders",
            Self::LinkedFolder => "linked folders (name them to follow the links)",
            Self::BrokenLink => "links that lead nowhere",
            Self::SpecialFile => "pipes, sockets and devices",
            Self::NotIncluded => "not matched by --include",
            Self::Excluded => "matched by --exclude",
            Self::TooOld => "older than --newer-than",
            Self::TooNew => "newer than --older-than",
        }
    }
}

impl From<NotListed> for Reason {
    fn from(reason: NotListed) -> Self {
        match reason {
            NotListed::LinkedFolder => Self::LinkedFolder,
            NotListed::BrokenLink => Self::BrokenLink,
            NotListed::SpecialFile => Self::SpecialFile,
        }
    }
}

/// Whether one of these folders is one of the systems'.
fn is_in_system_folder(folders: &str) -> bool {
    let folders = folders.to_lowercase();
    let folders: Vec<&str> = folders.split('/').collect();
    folders.iter().any(|&folder| folder.starts_with(".trash-") || SYSTEM_FOLDERS.contains(&folder))
        || folders.windows(3).any(|folders| folders == [".local", "share", "trash"])
}

/// A file that is left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct IgnoredFile {
    /// URI.
    pub(crate) source: String,
    pub(crate) reason: Reason,
}

impl fmt::Display for IgnoredFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = match self.reason {
            Reason::LinkedFolder => "a link to a folder, which is not followed unless it is named",
            Reason::BrokenLink => "a link that leads nowhere",
            reason => reason.describe(),
        };
        write!(f, "ignored: {}: {reason}", shown(&self.source))
    }
}

/// All files that one run leaves out.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Ignored {
    #[serde(rename = "ignored")]
    total: u64,
    #[serde(rename = "ignored_by_reason")]
    by_reason: BTreeMap<Reason, u64>,
    #[serde(rename = "ignored_files")]
    files: Vec<IgnoredFile>,
    /// Number of files that are not in `files`, because they are too many.
    #[serde(rename = "ignored_unnamed", skip_serializing_if = "is_zero")]
    unnamed: u64,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Ignored {
    /// Links that are named on the screen when they are met; further ones are only counted.
    const MAX_SHOWN: u64 = 20;

    /// Returns the counts by reason, as a record keeps them.
    pub(crate) fn counts(&self) -> BTreeMap<String, u64> {
        let name = |reason: &Reason| match serde_json::to_value(reason) {
            Ok(serde_json::Value::String(name)) => name,
            _ => String::new(),
        };
        self.by_reason.iter().map(|(reason, count)| (name(reason), *count)).collect()
    }

    /// Begins with counts of an earlier part of the listing, whose files are not named again.
    pub(crate) fn restore(counts: &BTreeMap<String, u64>) -> Self {
        let mut ignored = Self::default();
        for (name, count) in counts {
            // A reason of a later version is only part of the total.
            if let Ok(reason) = serde_json::from_value(name.as_str().into()) {
                ignored.by_reason.insert(reason, *count);
            }
            ignored.total += count;
            ignored.unnamed += count;
        }
        ignored
    }

    /// Counts a file. Returns the line to show if people would expect it to be a recording: a link.
    pub(crate) fn add(&mut self, file: IgnoredFile) -> Option<String> {
        let count = self.by_reason.entry(file.reason).or_default();
        *count += 1;
        let is_link = matches!(file.reason, Reason::LinkedFolder | Reason::BrokenLink);
        let line = (is_link && *count <= Self::MAX_SHOWN).then(|| file.to_string());
        self.total += 1;
        if self.files.len() < MAX_NAMED {
            self.files.push(file);
        } else {
            self.unnamed += 1;
        }
        line
    }
}

/// The counts by reason: `, 3 ignored: 2 ..., 1 ...`; nothing if there are none.
impl fmt::Display for Ignored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (reason, count)) in self.by_reason.iter().enumerate() {
            match index {
                0 => write!(f, ", {} ignored: ", self.total)?,
                _ => write!(f, ", ")?,
            }
            write!(f, "{count} {}", reason.describe())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_depends_on_the_name_and_the_folders() {
        for (relative, expected) in [
            ("call.mkv", None),
            ("a/.hidden.wav", None),
            ("Trash/call.mkv", None),
            ("trashes/call.mkv", None),
            ("_.call.mkv", None),
            ("notes.txt", Some(Reason::Extension)),
            ("._call.mkv", Some(Reason::AppleDouble)),
            ("a/._call.mkv", Some(Reason::AppleDouble)),
            (".Trashes/501/deleted.mkv", Some(Reason::SystemFolder)),
            ("disk/.Trash-1000/files/a.wav", Some(Reason::SystemFolder)),
            ("$RECYCLE.BIN/S-1-5/$R1.mp3", Some(Reason::SystemFolder)),
            ("music/@eaDir/a.mp3", Some(Reason::SystemFolder)),
            (".local/share/Trash/files/a.wav", Some(Reason::SystemFolder)),
            // A folder itself, which cannot be read.
            ("lost+found/", Some(Reason::SystemFolder)),
        ] {
            assert_eq!(Reason::of(relative, false), expected, "{relative}");
        }
        assert_eq!(Reason::of("notes.txt", true), None);
        assert_eq!(Reason::of("._notes.txt", true), Some(Reason::AppleDouble));
        assert_eq!(Reason::of(".Trashes/a.txt", true), Some(Reason::SystemFolder));
    }

    #[test]
    fn files_are_counted_by_reason_and_named_in_json() {
        let mut ignored = Ignored::default();
        assert_eq!(ignored.to_string(), "");
        let mut add =
            |source: &str, reason| ignored.add(IgnoredFile { source: source.to_owned(), reason });
        assert_eq!(add("file:///a.txt", Reason::Extension), None);
        assert_eq!(add("file:///b.txt", Reason::Extension), None);
        let line = add("file:///link", Reason::LinkedFolder).unwrap();
        assert!(line.contains("/link"), "{line}");
        let text = ignored.to_string();
        assert!(
            text.starts_with(", 3 ignored: 2 without") && text.contains(", 1 linked"),
            "{text}"
        );
        let json = serde_json::to_value(&ignored).unwrap();
        assert_eq!(json["ignored"], 3);
        assert_eq!(json["ignored_by_reason"]["extension"], 2);
        assert_eq!(json["ignored_files"][2]["reason"], "linked_folder");
        assert_eq!(json.get("ignored_unnamed"), None);
    }
}
