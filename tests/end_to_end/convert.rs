//! `scriptorium convert`: transcripts in other formats, without models and recordings.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::Stdio,
};

use serde_json::{Value, json};

use crate::support::{Ran, Scriptorium};

fn scriptorium() -> Scriptorium {
    Scriptorium::new(Path::new("/there are no models"))
}

/// A transcript of version 1 of a dialogue.
fn dialogue(recording: &str) -> Value {
    json!({
        "version": 1,
        "source": {
            "uri": format!("file:///calls/{recording}"), "size": 1, "etag": "1", "duration": 4.0,
            "channels": 1, "sample_rate": 8000, "container": "wav", "codec": "pcm_s16le"
        },
        "pipeline": {
            "version": "scriptorium 0.1.0", "recognizer": "whisper-base", "vad": "fsmn-vad",
            "speakers": "campplus", "precision": "int8", "fingerprint": "5f70"
        },
        "segments": [
            { "start": 0.5, "end": 1.5, "speaker": 0, "language": "en", "text": "Hello?", "confidence": 0.5 },
            { "start": 2.0, "end": 4.0, "speaker": 1, "language": "en", "text": "Hi.", "confidence": 0.75 }
        ],
        "processing": {
            "finished_at": "2026-11-22T07:38:18Z", "wall_seconds": 1.5, "cpu_seconds": 1.4,
            "audio_seconds_per_core_second": 31.25, "stages": []
        }
    })
}

/// A folder with transcripts of `a.mp4` and `b/c.wav`, and files that are none.
fn folder() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let write = |name: &str, json: &Value| {
        let path = root.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, json.to_string()).unwrap();
    };
    write("a.mp4.json", &dialogue("a.mp4"));
    write("b/c.wav.json", &dialogue("c.wav"));
    write("broken.wav.error.json", &json!({ "code": "audio_corrupt" }));
    write("package.json", &json!({ "name": "x", "version": "1" }));
    write(".scriptorium/1/done/2.json", &json!({}));
    fs::write(root.path().join("a.mp4.srt"), "1").unwrap();
    root
}

fn run(arguments: &[&str]) -> Ran {
    scriptorium().run([&["convert"], arguments].concat())
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Names of all files below a folder, in order.
fn files(folder: &Path) -> Vec<String> {
    fn below(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { below(&path, found) } else { found.push(path) }
        }
    }
    let mut found = Vec::new();
    below(folder, &mut found);
    let name = |path: PathBuf| path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
    let mut names: Vec<String> = found.into_iter().map(name).collect();
    names.sort();
    names
}

#[test]
fn a_transcript_goes_to_standard_output() {
    let root = folder();
    let transcript = root.path().join("a.mp4.json");
    let ran = run(&[text(&transcript), "-f", "srt"]).expect_code(0);
    assert_eq!(
        ran.stdout,
        "1\n00:00:00,500 --> 00:00:01,500\nSpeaker 1: Hello?\n\n\
         2\n00:00:02,000 --> 00:00:04,000\nSpeaker 2: Hi.\n"
    );
    assert_eq!(ran.stderr, "");
    let named = ["--speaker-name", "0=Anna", "--speaker-name", "1=Ben B."];
    let ran = run(&[&[text(&transcript), "-f", "txt"], &named[..]].concat()).expect_code(0);
    assert_eq!(ran.stdout, "Anna: Hello?\nBen B.: Hi.\n");
    let ran = run(&[text(&transcript), "-f", "txt", "--speaker-name", "2=Eve"]).expect_code(1);
    let reason = "there is no speaker 2: the speakers are 0 (Speaker 1), 1 (Speaker 2)";
    assert!(ran.stderr.contains(reason), "{}", ran.stderr);
}

#[test]
fn version_1_becomes_version_2_in_its_place() {
    let root = folder();
    let transcript = root.path().join("a.mp4.json");
    let out = text(root.path());
    run(&[out, "-f", "json", "-o", out, "--speaker-name", "1=Ben"]).expect_code(0);
    for (name, recording) in [("a.mp4.json", "a.mp4"), ("b/c.wav.json", "c.wav")] {
        let json: Value =
            serde_json::from_slice(&fs::read(root.path().join(name)).unwrap()).unwrap();
        assert_eq!((&json["version"], &json["text"]), (&json!(2), &json!("Hello? Hi.")), "{name}");
        assert_eq!(json["source"]["uri"], format!("file:///calls/{recording}"));
        assert_eq!(json["speakers"][1]["name"], "Ben");
    }
    // The name is kept, and so is the file if nothing changes.
    let before = fs::read(&transcript).unwrap();
    run(&[out, "-f", "json", "-o", out]).expect_code(0);
    assert_eq!(fs::read(&transcript).unwrap(), before);
}

#[test]
fn a_folder_is_converted_below_another() {
    let (root, out) = (folder(), tempfile::tempdir().unwrap());
    let paths = [text(root.path()), "-o", text(out.path())];
    let ran = run(&[&paths[..], &["-f", "vtt,docx,textgrid"]].concat()).expect_code(0);
    let expected = [
        "a.mp4.TextGrid",
        "a.mp4.docx",
        "a.mp4.vtt",
        "b/c.wav.TextGrid",
        "b/c.wav.docx",
        "b/c.wav.vtt",
    ];
    assert_eq!(files(out.path()), expected);
    assert!(ran.stderr.contains("2 converted, 1 JSON files ignored"), "{}", ran.stderr);
    assert!(fs::read(out.path().join("a.mp4.docx")).unwrap().starts_with(b"PK\x03\x04"));
    // Names as players look for them.
    let out = tempfile::tempdir().unwrap();
    let paths = [text(root.path()), "-o", text(out.path())];
    let named = ["-f", "srt,txt", "--name", "stem", "--language-suffix"];
    run(&[&paths[..], &named].concat()).expect_code(0);
    assert_eq!(files(out.path()), ["a.en.srt", "a.txt", "b/c.en.srt", "b/c.txt"]);
}

#[test]
fn several_transcripts_share_standard_output_where_they_can() {
    let root = folder();
    let ran = run(&[text(root.path()), "-f", "json"]).expect_code(0);
    let lines: Vec<Value> =
        ran.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    let ran = run(&[text(root.path()), "-f", "txt"]).expect_code(0);
    assert!(ran.stdout.starts_with("== /calls/a.mp4\nSpeaker 1: Hello?\n"), "{}", ran.stdout);
    let ran = run(&[text(root.path()), "-f", "srt"]).expect_code(2);
    assert!(ran.stderr.contains("need --out DIR"), "{}", ran.stderr);
}

#[test]
fn a_file_is_written_in_the_format_of_its_extension() {
    let (root, out) = (folder(), tempfile::tempdir().unwrap());
    let transcript = root.path().join("a.mp4.json");
    for (name, begins) in [("x.docx", &b"PK"[..]), ("y.eaf", b"<?xml"), ("z.csv", b"id,start")] {
        let file = out.path().join(name);
        run(&[text(&transcript), "-o", text(&file)]).expect_code(0);
        assert!(fs::read(&file).unwrap().starts_with(begins), "{name}");
    }
    let file = out.path().join("all.srt");
    let ran = run(&[text(root.path()), "-o", text(&file)]).expect_code(2);
    assert!(ran.stderr.contains("is one file"), "{}", ran.stderr);
    run(&[text(&transcript), "-o", text(out.path())]).expect_code(2);
}

#[test]
fn a_transcript_comes_from_standard_input() {
    let scriptorium = scriptorium();
    let convert = |input: &[u8]| {
        let mut command = scriptorium.command(["convert", "-", "-f", "md"]);
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        process.stdin.take().unwrap().write_all(input).unwrap();
        Ran::from(process.wait_with_output().unwrap())
    };
    let ran = convert(dialogue("a.mp4").to_string().as_bytes()).expect_code(0);
    assert!(ran.stdout.contains("**Speaker 2** [00:00:02] Hi."), "{}", ran.stdout);
    let ran = convert(b"no JSON").expect_code(1);
    assert!(ran.stderr.contains("not a JSON object"), "{}", ran.stderr);
}

#[test]
fn a_recording_becomes_a_part_of_its_page() {
    let root = folder();
    let paths = [root.path().join("a.mp4.json"), crate::support::speech("sentence.mp3")];
    let [transcript, recording] = paths.each_ref().map(|path| text(path));
    let page = |more: &[&str]| {
        let arguments = [&["convert", transcript, "-f", "html"], more].concat();
        scriptorium().run(arguments)
    };
    let embedded = page(&["--embed", recording]).expect_code(0).stdout;
    assert!(embedded.contains("src=\"data:audio/mpeg;base64,"), "{embedded}");
    let linked = page(&["--link", "https://media.example.org/a.mp3"]).expect_code(0).stdout;
    assert!(linked.contains("src=\"https://media.example.org/a.mp3\""), "{linked}");
    assert!(
        page(&["--embed", "/nowhere.mp3"]).expect_code(2).stderr.contains("--embed /nowhere.mp3")
    );
    assert!(page(&["--embed", transcript]).expect_code(2).stderr.contains("browsers"));
    let srt = ["convert", transcript, "-f", "srt", "--embed", recording];
    assert!(scriptorium().run(srt).expect_code(2).stderr.contains("html"));
}

#[test]
fn each_failure_is_listed_with_its_place_and_the_others_are_converted() {
    let root = folder();
    let mut wrong = dialogue("d.wav");
    wrong["segments"][1]["confidence"] = json!("high");
    fs::write(root.path().join("d.wav.json"), wrong.to_string()).unwrap();
    let newer = json!({ "version": 7, "source": { "uri": "file:///e.wav" } });
    fs::write(root.path().join("e.wav.json"), newer.to_string()).unwrap();
    let out = tempfile::tempdir().unwrap();
    let arguments = [text(root.path()), "/there is none.json", "-f", "txt", "-o", text(out.path())];
    let ran = run(&arguments).expect_code(1);
    for reason in [
        "d.wav.json: transcript is not valid at segments[1].confidence: invalid type: string",
        "e.wav.json: transcript has version 7; this program reads versions 1 and 2",
        "/there is none.json: there is no such file",
        "2 converted, 3 failed",
    ] {
        assert!(ran.stderr.contains(reason), "{reason}: {}", ran.stderr);
    }
    assert_eq!(files(out.path()), ["a.mp4.txt", "b/c.wav.txt"]);
    let empty = tempfile::tempdir().unwrap();
    let ran = run(&[text(empty.path()), "-f", "txt", "-o", text(out.path())]).expect_code(1);
    assert!(ran.stderr.contains("no transcripts found"), "{}", ran.stderr);
}
