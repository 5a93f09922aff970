//! Tests of `scriptorium transcribe`, which needs no server.

use std::fs;

use crate::support::{
    SENTENCE, SENTENCES, Scriptorium, models, read_json, sentence_samples, speech, text_of,
    write_wav,
};

#[test]
fn all_audio_formats_give_the_same_words_in_all_renderings() {
    let Some(models) = models() else { return };
    let out = tempfile::tempdir().unwrap();
    let out_text = out.path().to_str().unwrap();
    let source = speech("");
    let arguments = ["transcribe", source.to_str().unwrap(), "--out", out_text];
    let ran = Scriptorium::new(&models)
        .run(arguments.into_iter().chain(["--format", "json,srt,vtt,txt", "--json"]))
        .expect_code(0);
    let summary = ran.json();
    assert_eq!(summary["done"], SENTENCES.len());
    // `make.sh` is in the same folder.
    assert_eq!(summary["ignored"], 1);
    assert_eq!(summary["failed"], 0);
    let seconds = summary["audio_seconds"].as_f64().unwrap();
    assert!((seconds - 3.29 * SENTENCES.len() as f64).abs() < 1.0, "{seconds}");

    for name in SENTENCES {
        let transcript = read_json(&out.path().join(format!("{name}.json")));
        assert_eq!(text_of(&transcript), SENTENCE, "{name}");
        assert_eq!(transcript["segments"][0]["language"], "en");
        let end = transcript["segments"][0]["end"].as_f64().unwrap();
        assert!(end > 1.5 && end < 3.5, "{name}: {end}");
        let txt = fs::read_to_string(out.path().join(format!("{name}.txt"))).unwrap();
        assert_eq!(txt.trim(), SENTENCE);
        let srt = fs::read_to_string(out.path().join(format!("{name}.srt"))).unwrap();
        assert!(srt.starts_with("1\n00:00:0"), "{srt}");
        let vtt = fs::read_to_string(out.path().join(format!("{name}.vtt"))).unwrap();
        assert!(vtt.starts_with("WEBVTT\n"), "{vtt}");
    }
}

/// As a new user types it: with the default models, and speakers asked for with a space before their number.
#[test]
fn the_defaults_hear_speech_and_tell_speakers_apart() {
    let Some(models) = models() else { return };
    let sentence = speech("sentence.wav");
    let run = |more: &[&str]| {
        let scriptorium = Scriptorium::with_default_recognizer(&models);
        let arguments = ["transcribe", sentence.to_str().unwrap(), "--format", "json"];
        scriptorium.run(arguments.iter().chain(more)).expect_code(0).json()
    };
    let transcript = run(&[]);
    assert_eq!(transcript["pipeline"]["recognizer"], "whisper-base");
    assert_eq!(text_of(&transcript), SENTENCE);
    if !models.join("campplus").exists() {
        eprintln!("skipped: speakers are not tested, because campplus could not be pulled");
        return;
    }
    let transcript = run(&["--speakers", "2"]);
    assert_eq!(transcript["pipeline"]["speakers"], "campplus");
    assert_eq!(transcript["segments"][0]["speaker"], 0, "{transcript:#}");
}

/// Silence is no failure, and how fast it is found says nothing.
#[test]
fn says_that_nobody_speaks() {
    let Some(models) = models() else { return };
    let root = tempfile::tempdir().unwrap();
    let wav = root.path().join("silence.wav");
    write_wav(&wav, 16_000, 1, 2 * 80_000, std::iter::repeat_n(0, 80_000));
    let ran = Scriptorium::new(&models).run(["transcribe", wav.to_str().unwrap()]).expect_code(0);
    assert_eq!(ran.stdout.trim(), "", "{ran:?}");
    assert!(ran.stderr.contains("no speech found: "), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("1 transcribed, without speech; 5.0 s of audio in "),
        "{}",
        ran.stderr
    );
    assert!(!ran.stderr.contains("real time"), "{}", ran.stderr);
}

#[test]
fn a_second_run_skips_up_to_date_transcripts_and_repeats_stale_ones() {
    let Some(models) = models() else { return };
    let root = tempfile::tempdir().unwrap();
    let (source, out) = (root.path().join("in"), root.path().join("out"));
    fs::create_dir_all(source.join("sub")).unwrap();
    fs::copy(speech("sentence.wav"), source.join("a.wav")).unwrap();
    fs::copy(speech("sentence.mp3"), source.join("sub/b.mp3")).unwrap();
    let scriptorium = Scriptorium::new(&models);
    let arguments = |more: &[&str]| {
        let base =
            ["transcribe", source.to_str().unwrap(), "--out", out.to_str().unwrap(), "--json"];
        base.iter().chain(more).map(|s| (*s).to_owned()).collect::<Vec<_>>()
    };
    let counts = |ran: &crate::support::Ran| {
        let summary = ran.json();
        (summary["done"].as_u64().unwrap(), summary["skipped"].as_u64().unwrap())
    };
    let first = scriptorium.run(arguments(&[])).expect_code(0);
    assert_eq!(counts(&first), (2, 0));
    let before = fs::read(out.join("a.wav.json")).unwrap();
    assert_eq!(counts(&scriptorium.run(arguments(&[])).expect_code(0)), (0, 2));
    assert_eq!(fs::read(out.join("a.wav.json")).unwrap(), before, "skipped means untouched");

    // A rendering that was not requested before needs no second transcription.
    let more = scriptorium.run(arguments(&["--format", "srt"])).expect_code(0);
    assert_eq!(counts(&more), (0, 2));
    let srt = fs::read(out.join("sub/b.mp3.srt")).unwrap();

    // What a person has corrected stays, until it is to be replaced.
    fs::write(out.join("sub/b.mp3.srt"), "corrected by hand").unwrap();
    let again = scriptorium.run(arguments(&["--format", "srt"])).expect_code(0);
    assert_eq!((counts(&again), &again.json()["kept"]), ((0, 2), &1.into()));
    assert!(again.stderr.contains("sub/b.mp3.srt was edited: --overwrite"), "{}", again.stderr);
    let corrected = || fs::read_to_string(out.join("sub/b.mp3.srt")).unwrap();
    assert_eq!(corrected(), "corrected by hand");
    let other = Scriptorium::new(&models).with("SCRIPTORIUM__RECOGNIZER__PRECISION", "bf16");
    assert_eq!(counts(&other.run(arguments(&["--format", "srt"])).expect_code(0)), (2, 0));
    assert_eq!(corrected(), "corrected by hand", "also beside a new transcript");
    assert_eq!(counts(&scriptorium.run(arguments(&["--format", "srt"])).expect_code(0)), (2, 0));
    let overwritten = scriptorium.run(arguments(&["--format", "srt", "--overwrite"]));
    assert_eq!(counts(&overwritten.expect_code(0)), (0, 2));
    assert_eq!(corrected().as_bytes(), srt);

    // Another recording under the same name.
    let mut louder = sentence_samples();
    louder.iter_mut().for_each(|s| *s = s.saturating_add(*s / 2));
    let bytes = u32::try_from(2 * louder.len()).unwrap();
    write_wav(&source.join("a.wav"), 16_000, 1, bytes, louder.into_iter());
    assert_eq!(counts(&scriptorium.run(arguments(&[])).expect_code(0)), (1, 1));

    // Another pipeline.
    let f32 = Scriptorium::new(&models).with("SCRIPTORIUM__RECOGNIZER__PRECISION", "f32");
    assert_eq!(counts(&f32.run(arguments(&[])).expect_code(0)), (2, 0));
    let transcript = read_json(&out.join("a.wav.json"));
    assert_eq!(transcript["pipeline"]["precision"], "f32");
    assert_eq!(text_of(&transcript), SENTENCE);
}

#[test]
fn a_folder_without_recordings_is_a_failure() {
    let Some(models) = models() else { return };
    let empty = tempfile::tempdir().unwrap();
    fs::write(empty.path().join("notes.txt"), "not a recording").unwrap();
    let ran = Scriptorium::new(&models)
        .run(["transcribe", empty.path().to_str().unwrap()])
        .expect_code(1);
    assert!(ran.stderr.contains("no recordings found"), "{}", ran.stderr);
    assert!(ran.stderr.contains("--all-files"), "{}", ran.stderr);
}

#[test]
fn without_out_the_transcript_goes_to_standard_output() {
    let Some(models) = models() else { return };
    let scriptorium = Scriptorium::new(&models);
    let path = speech("sentence.opus");
    let ran = scriptorium.run(["transcribe", path.to_str().unwrap()]).expect_code(0);
    assert_eq!(ran.stdout.trim(), SENTENCE);
    let ran =
        scriptorium.run(["transcribe", path.to_str().unwrap(), "--format", "json"]).expect_code(0);
    let transcript = ran.json();
    assert_eq!(transcript["source"]["codec"], "opus");
    assert_eq!(text_of(&transcript), SENTENCE);
    let printed = |format: &str| {
        scriptorium.run(["transcribe", path.to_str().unwrap(), "--format", format]).expect_code(0)
    };
    let job = printed("aws").json();
    assert_eq!(job["results"]["transcripts"][0]["transcript"], SENTENCE);
    let first_word = SENTENCE.split(' ').next().unwrap();
    assert_eq!(job["results"]["items"][0]["alternatives"][0]["content"], first_word);
    let ctm = printed("ctm").stdout;
    assert_eq!(ctm.lines().count(), SENTENCE.split(' ').count(), "{ctm}");
    assert!(ctm.starts_with("sentence 1 ") && ctm.contains(&format!(" {first_word} ")), "{ctm}");
    let rttm = printed("rttm").stdout;
    assert!(rttm.starts_with("SPEAKER sentence 1 ") && rttm.contains(" unknown "), "{rttm}");
    let tsv = printed("tsv").stdout;
    assert!(tsv.starts_with("start\tend\ttext\n"), "{tsv}");
    assert!(tsv.ends_with(&format!("\t{SENTENCE}\n")), "{tsv}");
}

/// As in `transcribe recordings/ | head -1`: no recording is transcribed after the reader has left.
#[test]
fn a_closed_standard_output_ends_the_run_quietly() {
    let Some(models) = models() else { return };
    let root = tempfile::tempdir().unwrap();
    for index in 0..40 {
        fs::copy(speech("sentence.opus"), root.path().join(format!("{index:02}.opus"))).unwrap();
    }
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let scriptorium = Scriptorium::new(&models);
    let mut command = scriptorium.command(["transcribe", root.path().to_str().unwrap()]);
    let ran = crate::support::Ran::from(command.stdout(writer).output().unwrap()).expect_code(0);
    assert!(!ran.stderr.contains("transcribed"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("panicked"), "{}", ran.stderr);
}

#[test]
fn channels_are_mixed_or_transcribed_separately() {
    let Some(models) = models() else { return };
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("stereo.wav");
    // The second speaker begins after the first has ended.
    let sentence = sentence_samples();
    let length = sentence.len();
    let at = |i: usize| sentence.get(i).copied().unwrap_or(0);
    let frames =
        (0..2 * length + 16_000).flat_map(|i| [at(i), at(i.wrapping_sub(length + 16_000))]);
    write_wav(&path, 16_000, 2, 4 * (2 * length as u32 + 16_000), frames);
    let scriptorium = Scriptorium::new(&models);
    let transcribe = |mode: &str| {
        let path = path.to_str().unwrap();
        let arguments = ["transcribe", path, "--format", "json", "--channels", mode];
        scriptorium.run(arguments).expect_code(0).json()
    };
    let split = transcribe("split");
    let segments = split["segments"].as_array().unwrap();
    let channels: Vec<_> = segments.iter().map(|s| s["channel"].as_u64().unwrap()).collect();
    assert_eq!(channels, [0, 1], "{split}");
    assert!(segments.iter().all(|s| s["text"] == SENTENCE), "{split}");
    let second = segments[1]["start"].as_f64().unwrap();
    assert!((second - 4.29).abs() < 1.0, "{second}");
    let mixed = transcribe("mix");
    assert!(mixed["segments"].as_array().unwrap().iter().all(|s| s.get("channel").is_none()));
    assert_eq!(text_of(&mixed).matches("amiable").count(), 2, "{mixed}");
}

#[test]
fn one_bad_file_does_not_stop_the_rest() {
    let Some(models) = models() else { return };
    let root = tempfile::tempdir().unwrap();
    fs::copy(speech("sentence.wav"), root.path().join("good.wav")).unwrap();
    fs::write(root.path().join("bad.wav"), "Dear diary, this is not a recording.").unwrap();
    let missing = root.path().join("missing.wav");
    let out = root.path().join("out");
    let ran = Scriptorium::new(&models)
        .run([
            "transcribe",
            root.path().to_str().unwrap(),
            missing.to_str().unwrap(),
            "--out",
            out.to_str().unwrap(),
            "--json",
        ])
        .expect_code(1);
    let summary = ran.json();
    assert_eq!((&summary["done"], &summary["failed"]), (&1.into(), &2.into()), "{summary}");
    let codes: Vec<_> = summary["failures"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| (f["code"].as_str().unwrap(), !f["remedy"].as_str().unwrap().is_empty()))
        .collect();
    assert!(codes.contains(&("audio_unrecognized", true)), "{codes:?}");
    assert!(codes.contains(&("source_missing", true)), "{codes:?}");
    assert!(ran.stderr.contains("bad.wav"), "{}", ran.stderr);
    assert!(
        out.join(root.path().file_name().unwrap()).join("good.wav.json").is_file()
            || out.join("good.wav.json").is_file()
    );
}

#[test]
fn an_interrupted_run_exits_with_130_and_can_be_resumed() {
    let Some(models) = models() else { return };
    let root = tempfile::tempdir().unwrap();
    let (source, out) = (root.path().join("in"), root.path().join("out"));
    fs::create_dir(&source).unwrap();
    for index in 0..40 {
        fs::copy(speech("sentence.opus"), source.join(format!("{index:02}.opus"))).unwrap();
    }
    let scriptorium = Scriptorium::new(&models);
    let arguments =
        ["transcribe", source.to_str().unwrap(), "--out", out.to_str().unwrap(), "--json"];
    let log = root.path().join("log");
    let mut process = scriptorium.start(arguments, &log);
    while !out.join("03.opus.json").is_file() {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    process.signal("INT");
    assert_eq!(process.wait(), Some(130), "{}", fs::read_to_string(&log).unwrap());
    let done = fs::read_dir(&out).unwrap().count();
    assert!((1..40).contains(&done), "{done}");
    for entry in fs::read_dir(&out).unwrap() {
        // Every transcript is complete.
        assert_eq!(text_of(&read_json(&entry.unwrap().path())), SENTENCE);
    }
    let summary = scriptorium.run(arguments).expect_code(0).json();
    assert!(summary["skipped"].as_u64().unwrap() >= done as u64, "{summary}");
    assert_eq!(summary["done"].as_u64().unwrap() + summary["skipped"].as_u64().unwrap(), 40);
}

#[test]
fn a_repeated_path_is_transcribed_once_and_two_recordings_never_share_a_transcript() {
    let Some(models) = models() else { return };
    let root = tempfile::tempdir().unwrap();
    let [a, b] = ["a", "b"].map(|name| root.path().join(name));
    for folder in [&a, &b] {
        fs::create_dir(folder).unwrap();
        fs::copy(speech("sentence.opus"), folder.join("x.opus")).unwrap();
    }
    let text = |path: &std::path::Path| path.to_str().unwrap().to_owned();
    let out = text(&root.path().join("out"));
    let paths = [text(&a), text(&a.join("x.opus")), text(&b.join("x.opus")), text(&b)];
    let ran = Scriptorium::new(&models)
        .run(["transcribe", "--out", &out, "--json"].into_iter().chain(paths.iter().map(|p| &**p)))
        .expect_code(1);
    let summary = ran.json();
    let counts = ["done", "skipped", "failed"].map(|name| summary[name].as_u64().unwrap());
    // The other recording fails as often as it is named, and never replaces the transcript.
    assert_eq!(counts, [1, 0, 2], "{summary}");
    let transcript = read_json(&root.path().join("out/x.opus.json"));
    assert!(transcript["source"]["uri"].as_str().unwrap().ends_with("/a/x.opus"), "{transcript}");
}
