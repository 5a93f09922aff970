//! Folders as people have them: what systems leave in them, odd names, copies, links, and where the
//! transcripts go.

use std::{
    ffi::OsStr,
    fs::{self, File},
    os::unix::{ffi::OsStrExt, fs::symlink},
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::support::{SENTENCE, Scriptorium, models, read_json, speech, text_of, without_models};

/// A folder of recordings and one for their transcripts.
struct Archive {
    root: tempfile::TempDir,
    scriptorium: Scriptorium,
}

impl Archive {
    fn new(models: &Path) -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("in")).unwrap();
        Self { root, scriptorium: Scriptorium::new(models) }
    }

    fn source(&self, name: impl AsRef<OsStr>) -> PathBuf {
        self.root.path().join("in").join(Path::new(name.as_ref()))
    }

    fn out(&self, name: &str) -> PathBuf {
        self.root.path().join("out").join(name)
    }

    /// Adds the sentence under a name. Its content decides what it is.
    fn add(&self, name: impl AsRef<OsStr>) {
        let path = self.source(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::copy(speech("sentence.opus"), path).unwrap();
    }

    /// Transcribes all recordings, and returns the summary.
    fn transcribe(&self, code: i32, more: &[&str]) -> Value {
        self.transcribe_paths(code, &[self.source("")], more)
    }

    fn transcribe_paths(&self, code: i32, paths: &[PathBuf], more: &[&str]) -> Value {
        let out = self.out("");
        let fixed =
            [OsStr::new("transcribe"), OsStr::new("--json"), OsStr::new("--out"), out.as_ref()];
        let paths = paths.iter().map(|path| path.as_os_str());
        let more = more.iter().map(OsStr::new);
        self.scriptorium.run(fixed.into_iter().chain(more).chain(paths)).expect_code(code).json()
    }

    /// Returns the names of the transcripts and renderings, in order.
    fn outputs(&self) -> Vec<String> {
        let entries = fs::read_dir(self.out("")).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    }
}

fn counts(summary: &Value) -> [u64; 4] {
    ["done", "skipped", "failed", "ignored"].map(|name| summary[name].as_u64().unwrap())
}

#[test]
fn what_systems_leave_in_folders_is_named_and_not_transcribed() {
    let Some(models) = models() else { return };
    let archive = Archive::new(&models);
    for name in ["call.mkv", "tape.mp2", "memo.3g2", ".Trashes/501/deleted.mkv", "real/a.qt"] {
        archive.add(name);
    }
    fs::write(archive.source("._call.mkv"), b"\0\x05\x16\x07\0\x02\0\0Mac OS X").unwrap();
    fs::write(archive.source("notes.txt"), "Nobody came.").unwrap();
    symlink(archive.source("real"), archive.source("linked")).unwrap();
    symlink("nowhere", archive.source("gone.wav")).unwrap();
    let summary = archive.transcribe(0, &[]);
    assert_eq!(counts(&summary), [4, 0, 0, 5], "{summary}");
    let mut ignored: Vec<_> = summary["ignored_files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|file| {
            let source = file["source"].as_str().unwrap();
            (source.rsplit('/').next().unwrap(), file["reason"].as_str().unwrap())
        })
        .collect();
    ignored.sort_unstable();
    let expected = [
        ("._call.mkv", "apple_double"),
        ("deleted.mkv", "system_folder"),
        ("gone.wav", "broken_link"),
        ("linked", "linked_folder"),
        ("notes.txt", "extension"),
    ];
    assert_eq!(ignored, expected);
    assert_eq!(summary["ignored_by_reason"]["apple_double"], 1, "{summary}");
    let outputs = ["call.mkv.json", "memo.3g2.json", "real", "tape.mp2.json"];
    assert_eq!(archive.outputs(), outputs);
}

#[test]
fn a_name_that_is_not_utf8_is_one_failure() {
    let Some(models) = models() else { return };
    let archive = Archive::new(&models);
    let odd = OsStr::from_bytes(b"m\xff.opus");
    archive.add(odd);
    archive.add("good.opus");
    let paths = [archive.source(odd), archive.source("good.opus")];
    let summary = archive.transcribe_paths(1, &paths, &[]);
    assert_eq!(counts(&summary), [1, 0, 1, 0], "{summary}");
    let failure = &summary["failures"][0];
    assert_eq!(failure["code"], "source_invalid");
    assert!(failure["remedy"].as_str().unwrap().contains("Rename"), "{failure}");
    assert!(failure["source"].as_str().unwrap().ends_with("m%FF.opus"), "{failure}");
}

#[test]
fn a_name_too_long_for_an_extension_is_shortened() {
    let Some(models) = models() else { return };
    let archive = Archive::new(&models);
    let names = [
        format!("{}.opus", "x".repeat(250)),
        format!("{}y.opus", "x".repeat(249)),
        format!("{}.opus", "é".repeat(123)),
        format!("{}.opus", "z".repeat(245)),
    ];
    names.iter().for_each(|name| archive.add(name));
    let formats = ["--format", "json,srt"];
    let summary = archive.transcribe(0, &formats);
    assert_eq!(counts(&summary), [4, 0, 0, 0], "{summary}");
    assert_eq!(summary["renamed"], 3, "{summary}");
    let outputs = archive.outputs();
    assert_eq!(outputs.len(), 8, "{outputs:?}");
    assert!(outputs.contains(&format!("{}.json", names[3])), "{outputs:?}");
    assert_eq!(counts(&archive.transcribe(0, &formats)), [0, 4, 0, 0]);
    assert_eq!(archive.outputs(), outputs);
    // With a language, there is no space where there was some.
    let suffix = ["--format", "json,srt", "--language-suffix"];
    assert_eq!(counts(&archive.transcribe(0, &suffix)), [0, 4, 0, 0]);
    let outputs = archive.outputs();
    let with_language = outputs.iter().filter(|name| name.ends_with(".en.srt"));
    assert_eq!(with_language.count(), 4, "{outputs:?}");
}

#[test]
fn an_output_that_cannot_be_written_is_wrong_usage_before_any_work() {
    // Without models: they would be loaded, or missed, after this.
    let (_directory, scriptorium) = without_models();
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("file");
    fs::write(&file, "").unwrap();
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    let source = path(&speech("sentence.wav"));
    let mut outputs = vec![
        (path(&file), "is a file, not a folder"),
        (path(&file.join("below")), "is a file, not a folder"),
    ];
    // A folder of the kernel, because the superuser may write in any other folder.
    if cfg!(target_os = "linux") {
        outputs.push(("/sys/kernel/transcripts".to_owned(), "permissions"));
    }
    for (out, reason) in outputs {
        let ran = scriptorium.run(["transcribe", &source, "--out", &out]).expect_code(2);
        assert!(ran.stderr.contains("--out") && ran.stderr.contains(reason), "{}", ran.stderr);
    }
    let new = path(&root.path().join("new/folder"));
    let ran = scriptorium.run(["transcribe", &source, "--out", &new]).expect_code(1);
    assert!(ran.stderr.contains("not installed"), "{}", ran.stderr);
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1, "the check leaves nothing behind");
}

#[test]
fn a_transcript_whose_place_is_taken_by_a_folder_fails_before_the_work() {
    let Some(models) = models() else { return };
    let archive = Archive::new(&models);
    archive.add("a.opus");
    archive.add("sub/b.opus");
    fs::create_dir_all(archive.out("a.opus.json")).unwrap();
    fs::write(archive.out("sub"), "").unwrap();
    let summary = archive.transcribe(1, &[]);
    assert_eq!(counts(&summary), [0, 0, 2, 0], "{summary}");
    for failure in summary["failures"].as_array().unwrap() {
        assert_eq!(failure["code"], "output_invalid", "{failure}");
    }
    assert_eq!(summary["cpu_seconds"], 0.0, "{summary}");
}

/// As `cp -p`, a moved archive, or a disk that was mounted again: other inodes.
#[test]
fn a_copy_with_the_same_time_is_the_same_recording() {
    let Some(models) = models() else { return };
    let archive = Archive::new(&models);
    archive.add("a.opus");
    assert_eq!(counts(&archive.transcribe(0, &[])), [1, 0, 0, 0]);
    let (path, copy) = (archive.source("a.opus"), archive.source("copy"));
    let modified = fs::metadata(&path).unwrap().modified().unwrap();
    fs::copy(&path, &copy).unwrap();
    File::options().write(true).open(&copy).unwrap().set_modified(modified).unwrap();
    fs::rename(&copy, &path).unwrap();
    assert_eq!(counts(&archive.transcribe(0, &[])), [0, 1, 0, 0]);

    // A transcript of an earlier version, whose ETag ended in the inode.
    let transcript = archive.out("a.opus.json");
    let mut json = read_json(&transcript);
    json["source"]["etag"] = format!("{}-1f", json["source"]["etag"].as_str().unwrap()).into();
    fs::write(&transcript, json.to_string()).unwrap();
    assert_eq!(counts(&archive.transcribe(0, &[])), [0, 1, 0, 0]);

    let later = modified + std::time::Duration::from_secs(60);
    File::options().write(true).open(&path).unwrap().set_modified(later).unwrap();
    assert_eq!(counts(&archive.transcribe(0, &[])), [1, 0, 0, 0]);
}

#[test]
fn subtitles_are_where_players_look() {
    let Some(models) = models() else { return };
    let archive = Archive::new(&models);
    for name in ["talk.mp4", "talk.wav", "other.opus"] {
        archive.add(name);
    }
    let arguments = ["--format", "srt,txt", "--name", "stem", "--language-suffix"];
    let summary = archive.transcribe(0, &arguments);
    assert_eq!(counts(&summary), [3, 0, 0, 0], "{summary}");
    let outputs = [
        "other.en.srt",
        "other.json",
        "other.txt",
        "talk.en.srt",
        "talk.json",
        "talk.txt",
        "talk.wav.en.srt",
        "talk.wav.json",
        "talk.wav.txt",
    ];
    assert_eq!(archive.outputs(), outputs);
    let renamed = &summary["renamed_transcripts"];
    assert_eq!(renamed.as_array().map(Vec::len), Some(1), "{summary}");
    assert!(renamed[0]["source"].as_str().unwrap().ends_with("/talk.wav"), "{summary}");
    let transcript = read_json(&archive.out("talk.json"));
    assert!(transcript["source"]["uri"].as_str().unwrap().ends_with("/talk.mp4"), "{transcript}");
    assert_eq!(text_of(&transcript), SENTENCE);

    // Whatever is named in which order, and again.
    assert_eq!(counts(&archive.transcribe(0, &arguments)), [0, 3, 0, 0]);
    let backwards = ["talk.wav", "talk.mp4", "other.opus"].map(|name| archive.source(name));
    assert_eq!(counts(&archive.transcribe_paths(0, &backwards, &arguments)), [0, 3, 0, 0]);
    let alone = [archive.source("talk.wav")];
    assert_eq!(counts(&archive.transcribe_paths(0, &alone, &arguments)), [0, 1, 0, 0]);
    assert_eq!(archive.outputs(), outputs);

    // A lost rendering is made again under the same name.
    fs::remove_file(archive.out("talk.en.srt")).unwrap();
    assert_eq!(counts(&archive.transcribe(0, &arguments)), [0, 3, 0, 0]);
    assert_eq!(archive.outputs(), outputs);

    // Under the other name, transcripts are copied, and not made again.
    let full = ["--format", "srt", "--name", "full"];
    assert_eq!(counts(&archive.transcribe(0, &full)), [0, 3, 0, 0]);
    for name in ["talk.mp4.json", "talk.mp4.srt", "talk.wav.srt", "other.opus.json"] {
        assert!(archive.out(name).is_file(), "{name}");
    }
}

#[test]
fn a_subtitle_by_others_is_not_replaced() {
    let Some(models) = models() else { return };
    let archive = Archive::new(&models);
    archive.add("talk.mp4");
    fs::create_dir(archive.out("")).unwrap();
    for (name, more) in [("talk.srt", &[][..]), ("talk.en.srt", &["--language-suffix"])] {
        fs::write(archive.out(name), "by hand").unwrap();
        let arguments = [&["--format", "srt", "--name", "stem"], more].concat();
        let summary = archive.transcribe(1, &arguments);
        assert_eq!(summary["failures"][0]["code"], "output_occupied", "{summary}");
        assert_eq!(fs::read_to_string(archive.out(name)).unwrap(), "by hand");
        assert!(!archive.out("talk.json").exists());
        fs::remove_file(archive.out(name)).unwrap();
    }
    // Other formats are not concerned, and what was edited since is kept.
    fs::write(archive.out("talk.srt"), "by hand").unwrap();
    let vtt = ["--format", "vtt", "--name", "stem"];
    assert_eq!(counts(&archive.transcribe(0, &vtt)), [1, 0, 0, 0]);
    fs::write(archive.out("talk.vtt"), "corrected").unwrap();
    assert_eq!(counts(&archive.transcribe(0, &vtt)), [0, 1, 0, 0]);
    assert_eq!(fs::read_to_string(archive.out("talk.vtt")).unwrap(), "corrected");
    // Both are replaced if that is asked for.
    let both = ["--format", "srt,vtt", "--name", "stem", "--overwrite"];
    assert_eq!(counts(&archive.transcribe(0, &both)), [0, 1, 0, 0]);
    for (name, start) in [("talk.srt", "1\n"), ("talk.vtt", "WEBVTT")] {
        assert!(fs::read_to_string(archive.out(name)).unwrap().starts_with(start), "{name}");
    }
}
