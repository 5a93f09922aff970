//! Checks the published schema against the types, and the parser against the schema.

use std::{error::Error, fs};

use job::{
    BatchId, ChannelMode, Format, Job, JobOptions, MAX_JOB_BYTES, Speakers, Task, records_prefix,
};
use proptest::prelude::*;
use serde_json::{Value, json};

const SCHEMA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/schemas/job.v1.schema.json");
const KEY_WITHOUT_BATCH: &str = "0b0c3a61ec4bee63c2d6d965b2a580ed";
const BATCH: &str = "019ab5c2-7c00-7b3e-9d51-3f1c2a4b5d6e";

/// `UPDATE_SCHEMAS=1 cargo test -p job` rewrites the file.
#[test]
fn the_published_schema_matches_the_types() -> Result<(), Box<dyn Error>> {
    let schema = job::json_schema();
    if std::env::var_os("UPDATE_SCHEMAS").is_some() {
        fs::write(SCHEMA, serde_json::to_string_pretty(&schema)? + "\n")?;
    }
    let published: Value = serde_json::from_slice(&fs::read(SCHEMA)?)?;
    assert!(published == schema, "run UPDATE_SCHEMAS=1 cargo test -p job");
    Ok(())
}

fn batch() -> BatchId {
    BATCH.parse().unwrap_or_else(|error| panic!("{error}"))
}

fn example() -> Job {
    let output = "s3://transcripts/2026/calls/0042.wav";
    Job::new(
        batch(),
        "s3://recordings/calls/0042.wav".to_owned(),
        output.to_owned(),
        records_prefix("s3://transcripts/2026", &batch()),
        JobOptions {
            formats: [Format::Srt, Format::Vtt].into(),
            language_suffix: Some(true),
            model: Some("whisper-tiny.en".to_owned()),
            language: Some("en".to_owned()),
            channels: Some(ChannelMode::Split),
            audio_track: Some("2".to_owned()),
            hotwords: vec!["Scriptorium".to_owned(), "北京".to_owned()],
            prompt: Some("A call with Dr. Wójcik.".to_owned()),
            task: Some(Task::Transcribe),
            punctuate: Some(true),
            normalize: Some(false),
            word_times: Some(true),
            speakers: Some(Speakers {
                min: Some(1),
                max: Some(4),
                voices: Some("s3://recordings/voices.json".to_owned()),
                ..Speakers::default()
            }),
        },
    )
}

/// What a program of another language may leave out, and choose.
#[test]
fn a_job_may_have_any_id_and_no_batch() -> Result<(), Box<dyn Error>> {
    let validator = jsonschema::validator_for(&job::json_schema())?;
    let job = |more: Value| -> Result<Job, Box<dyn Error>> {
        let mut message = json!({
            "version": 1,
            "source": "s3://recordings/calls/0042.wav",
            "output": "s3://transcripts/2026/calls/0042.wav",
        });
        for (name, value) in more.as_object().into_iter().flatten() {
            message[name] = value.clone();
        }
        assert!(validator.is_valid(&message), "{message:#}");
        Ok(Job::from_slice(message.to_string().as_bytes())?)
    };
    let least = job(json!({}))?;
    // printf '\0%s\0%s' $SOURCE $OUTPUT | sha256sum | head -c 32
    assert_eq!((least.id.as_str(), least.batch.as_ref()), (KEY_WITHOUT_BATCH, None));
    assert_eq!(least.records_prefix(), "s3://transcripts/2026/calls/.scriptorium/_");

    let named = job(json!({ "id": "crm:call/4711+2" }))?;
    assert_eq!((named.id.as_str(), named.key()), ("crm:call/4711+2", least.key()));

    let batched = job(json!({ "batch": "2026-11-26.monday" }))?;
    assert_ne!(batched.key(), least.key());
    assert_eq!(batched.id, batched.key());
    let records = "s3://transcripts/2026/calls/.scriptorium/2026-11-26.monday";
    assert_eq!(batched.records_prefix(), records);
    let records = "s3://transcripts/.scriptorium/2026-11-26.monday";
    let elsewhere = job(json!({ "batch": "2026-11-26.monday", "records": records }))?;
    assert_eq!((elsewhere.records_prefix().as_str(), elsewhere.key()), (records, batched.key()));

    for job in [least, named, batched, elsewhere] {
        assert_eq!(Job::from_slice(&job.to_vec())?, job);
    }
    for (output, expected) in [
        ("s3://transcripts/a", "s3://transcripts/.scriptorium/_"),
        ("file:///a", "file:///.scriptorium/_"),
        ("file:///texts/100%25/a.wav", "file:///texts/100%25/.scriptorium/_"),
    ] {
        assert_eq!(job(json!({ "output": output }))?.records_prefix(), expected);
    }
    Ok(())
}

fn refusal(bytes: &[u8]) -> String {
    Job::from_slice(bytes).map_or_else(|error| error.to_string(), |_| "accepted".to_owned())
}

#[test]
fn the_id_follows_from_batch_source_and_output() {
    // printf '%s\0%s\0%s' $BATCH $SOURCE $OUTPUT | sha256sum | head -c 32
    assert_eq!(example().id, "447c99504fbf3b868cb37fe0c54b7fb9");
    let other = |source: &str, output: &str| {
        Job::new(
            batch(),
            source.to_owned(),
            output.to_owned(),
            String::new(),
            JobOptions::default(),
        )
        .id
    };
    assert_eq!(
        other(example().source.reveal(), &example().output),
        example().id,
        "options are not a part of the id"
    );
    assert_ne!(other(&example().output, example().source.reveal()), example().id);
}

#[test]
fn a_job_is_read_back() -> Result<(), Box<dyn Error>> {
    let validator = jsonschema::validator_for(&job::json_schema())?;
    let sparse = Job { options: JobOptions::default(), ..example() };
    for job in [example(), sparse] {
        assert_eq!(Job::from_slice(&job.to_vec())?, job);
        assert!(validator.is_valid(&serde_json::from_slice(&job.to_vec())?));
    }
    let mut without_options = serde_json::to_value(example())?;
    without_options.as_object_mut().and_then(|job| job.remove("options"));
    assert!(validator.is_valid(&without_options));
    assert_eq!(
        Job::from_slice(without_options.to_string().as_bytes())?.options,
        JobOptions::default()
    );
    Ok(())
}

#[test]
fn an_invalid_field_is_refused_with_the_reason() -> Result<(), Box<dyn Error>> {
    let validator = jsonschema::validator_for(&job::json_schema())?;
    // With each value: whether the schema refuses it, too.
    let wrong = [
        ("/version", json!(2), true, "has version 2, this worker understands 1"),
        ("/version", json!("1"), true, "has version \"1\", this worker understands 1"),
        ("/version", json!(1.5), true, "has version 1.5, this worker understands 1"),
        ("/version", json!(null), true, "there is no `version`"),
        ("/id", json!("../../secrets"), true, "id \"../../secrets\" is not 1 to 128 letters"),
        ("/id", json!(""), true, "id \"\" is not"),
        ("/id", json!("a b"), true, "id \"a b\" is not"),
        ("/id", json!("a\u{1b}[2J"), true, "is not 1 to 128 letters"),
        ("/id", json!("a".repeat(129)), true, "is not 1 to 128 letters"),
        ("/id", json!(7), true, "expected a string"),
        ("/id", json!(null), true, "expected a string"),
        ("/batch", json!("monday/.."), true, "batch id \"monday/..\" is not 1 to 128 letters"),
        ("/batch", json!("../x"), true, "batch id \"../x\" is not"),
        ("/batch", json!("monday"), false, "records is not <prefix>/.scriptorium/monday"),
        ("/batch", json!(null), true, "expected a"),
        ("/source", json!("ftp://a/b"), true, "source \"ftp://a/b\": none of s3"),
        ("/source", json!("s3://-a/b"), true, "source \"s3://-a/b\": bucket name"),
        ("/source", json!("s3://my..calls/b"), false, "contains two dots in a row"),
        ("/source", json!("file://localhost/a"), true, "three slashes"),
        ("/source", json!("s3://calls/"), true, "the key or path is empty"),
        (
            "/source",
            json!("s3://transcripts/2026/calls/0042.wav.srt"),
            false,
            "the transcript in srt would replace the source",
        ),
        (
            "/source",
            json!("s3://transcripts/2026/calls/0042.wav.en.vtt"),
            false,
            "the transcript in vtt would replace the source",
        ),
        (
            "/source",
            json!("s3://transcripts/2026/calls/0042.wav.aws.json"),
            false,
            "the transcript in json would replace the source",
        ),
        (
            "/source",
            json!("s3://transcripts/2026/calls/0042.wav.rttm"),
            false,
            "the transcript in rttm would replace the source",
        ),
        ("/options/formats", json!(["aws", "ctm", "rttm", "tsv", "doc"]), true, "format \"doc\""),
        ("/options/language_suffix", json!("en"), true, "expected a boolean"),
        ("/output", json!(format!("s3://calls/{}", "k".repeat(1020))), false, "longer than 1019"),
        ("/records", json!("s3://elsewhere/r"), false, "not in the same store"),
        (
            "/records",
            json!("s3://transcripts/r"),
            false,
            "records is not <prefix>/.scriptorium/019a",
        ),
        ("/records", json!(null), true, "expected a string"),
        ("/records", json!(format!("s3://transcripts/{}", "k".repeat(1000))), false, "longer than"),
        ("/options", json!([]), true, "expected an object"),
        ("/options", json!(null), true, "expected an object"),
        ("/options", json!({ "format": ["srt"] }), true, "unknown field `format`"),
        ("/options/formats", json!(["srt", "srt"]), true, "srt is named twice"),
        (
            "/options/formats",
            json!(["doc"]),
            true,
            "unknown format \"doc\"; the formats are json, jsonl",
        ),
        ("/options/formats", json!([{ "srt": null }]), true, "expected a"),
        (
            "/options",
            json!({ "formats": ["ctm"], "word_times": false }),
            false,
            "ctm lists words with their times",
        ),
        ("/options/hotwords", json!(["a", ""]), true, "hotword \"\" is empty"),
        ("/options/hotwords", json!(["a\nb"]), false, "control characters"),
        ("/options/hotwords", json!(["a".repeat(65)]), true, "longer than 64 characters"),
        ("/options/hotwords", json!(vec!["a"; 1001]), true, "1001 hotwords, the limit is 1000"),
        ("/options/normalize", json!("yes"), true, "expected a boolean"),
        ("/options/speakers", json!(2), true, "expected an object"),
        ("/options/speakers", json!({ "most": 2 }), true, "unknown field `most`"),
        ("/options/speakers", json!({ "count": 0 }), true, "from 1 to 64"),
        ("/options/speakers", json!({ "count": 2, "max": 3 }), false, "excludes `min`"),
        ("/options/speakers", json!({ "min": 3, "max": 2 }), false, "is greater than"),
        ("/options/speakers/voices", json!("voices.json"), true, "none of s3://bucket/key"),
        ("/options/speakers/voices", json!("s3://b/folder/"), false, "ends in a slash"),
        ("/options/speakers/voices", json!("https://a.org/v?key=s3cret"), true, "cannot be a URL"),
        ("/options/model", json!("../model"), true, "is not the name of a model"),
        ("/options/model", json!(""), true, "is not the name of a model"),
        ("/options/language", json!("English"), true, "is not a code such as"),
        ("/options/channels", json!("stereo"), true, "unknown channel mode \"stereo\""),
    ];
    for (pointer, value, schema_refuses, reason) in wrong {
        let mut job = serde_json::to_value(example())?;
        *job.pointer_mut(pointer).ok_or(pointer)? = value;
        assert_eq!(validator.is_valid(&job), !schema_refuses, "{job:#}");
        let error = refusal(job.to_string().as_bytes());
        assert!(error.contains(reason), "{pointer}: {error}");
    }
    Ok(())
}

#[test]
fn a_message_that_is_not_a_job_is_refused_with_the_reason() {
    let twice = String::from_utf8_lossy(&example().to_vec()).replacen('{', "{\"id\":\"a\",", 1);
    let huge = format!("{{\"version\": 1, \"x\": \"{}\"}}", "x".repeat(MAX_JOB_BYTES));
    let deep = format!("{{\"version\": {}", "[".repeat(10_000));
    for (bytes, reason) in [
        (&b""[..], "job message is not valid: EOF"),
        (b"[1]", "invalid type: sequence, expected an object"),
        (b"null", "expected an object"),
        (b"{}", "there is no `version`"),
        (br#"{"version": 2, "unheard": "of"}"#, "has version 2"),
        (br#"{"version": 1, "version": 1}"#, "duplicate field `version`"),
        (br#"{"version": 1, "unheard": "of"}"#, "unknown field `unheard`"),
        (br#"{"version": 1}"#, "missing field `source`"),
        (
            br#"{"version": 1, "source": "s3://a/b", "output": "s3://c/d", "records": "s3://c/.scriptorium/e"}"#,
            "records needs a batch",
        ),
        (br#"{"version": 1} {}"#, "trailing characters"),
        (b"{\"version\": 1, \"source\": \"\xff\"}", "not UTF-8: invalid utf-8 sequence of 1 bytes"),
        (twice.as_bytes(), "duplicate field `id`"),
        (deep.as_bytes(), "recursion limit"),
        (huge.as_bytes(), "bytes, the limit is 65536"),
    ] {
        let error = refusal(bytes);
        assert!(error.contains(reason), "{error}");
    }
}

fn uri() -> impl Strategy<Value = String> {
    prop_oneof![
        ("[A-Za-z0-9_][A-Za-z0-9_-]{0,20}", "[^\\x00]{0,100}[^\\x00/]")
            .prop_map(|(bucket, key)| format!("s3://{bucket}/{key}")),
        "(/[^\\x00/%?#]{1,20}){1,5}".prop_map(|path| format!("file://{path}")),
    ]
}

fn options() -> impl Strategy<Value = JobOptions> {
    let formats = proptest::sample::subsequence(Format::ALL.to_vec(), 0..=Format::ALL.len());
    let channels =
        proptest::sample::select(vec![None, Some(ChannelMode::Mix), Some(ChannelMode::Split)]);
    let flag = || proptest::option::of(any::<bool>());
    let speakers = (1..=64_u32, 0..64_u32).prop_map(|(min, more)| Speakers {
        min: Some(min),
        max: Some((min + more).min(64)),
        ..Speakers::default()
    });
    (
        formats,
        proptest::option::of("[A-Za-z0-9][A-Za-z0-9._-]{0,20}"),
        proptest::option::of("[a-z]{2,3}"),
        (channels, proptest::option::of("[1-9][0-9]{0,2}|[a-z]{2,3}")),
        proptest::collection::vec("[^\\p{Cc}]{0,63}[a-z北]", 0..20),
        (
            proptest::option::of("[^\\p{Cc}]{0,99}[a-z北]"),
            proptest::option::of(prop_oneof![Just(Task::Transcribe), Just(Task::Translate)]),
        ),
        (flag(), flag(), flag(), flag()),
        proptest::option::of(speakers),
    )
        .prop_map(|(formats, model, language, channels, hotwords, texts, flags, speakers)| {
            let (channels, audio_track) = channels;
            let (prompt, task) = texts;
            let (punctuate, normalize, word_times, language_suffix) = flags;
            let word_times = word_times.filter(|_| !formats.contains(&Format::Ctm));
            JobOptions {
                formats: formats.into_iter().collect(),
                language_suffix,
                model,
                language,
                channels,
                audio_track,
                hotwords,
                prompt,
                task,
                punctuate,
                normalize,
                word_times,
                speakers,
            }
        })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_job_is_read_back(source in uri(), output in uri(), options in options()) {
        prop_assume!(source != output);
        let records = records_prefix(&output, &batch());
        let job = Job::new(batch(), source, output, records, options);
        prop_assert_eq!(job.validate(), Ok(()));
        prop_assert_eq!(Job::from_slice(&job.to_vec()), Ok(job.clone()));
        let validator = jsonschema::validator_for(&job::json_schema())
            .map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert!(validator.is_valid(&serde_json::to_value(&job).unwrap_or_default()));
    }

    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(Job::from_slice(&bytes).is_err());
    }

    /// Every accepted message matches the published schema, and its job is read back.
    #[test]
    fn a_mutated_job_is_refused_or_matches_the_schema(
        edits in proptest::collection::vec((any::<prop::sample::Index>(), edit()), 1..4),
    ) {
        let mut json = example().to_vec();
        for (at, (remove, insert)) in edits {
            let at = at.index(json.len());
            let end = (at + remove).min(json.len());
            json.splice(at..end, insert.into_bytes());
        }
        if let Ok(job) = Job::from_slice(&json) {
            let value: Value = serde_json::from_slice(&json).unwrap_or_default();
            let validator = jsonschema::validator_for(&job::json_schema())
                .map_err(|error| TestCaseError::fail(error.to_string()))?;
            prop_assert!(validator.is_valid(&value), "{value:#}");
            prop_assert_eq!(Job::from_slice(&job.to_vec()), Ok(job));
        }
    }
}

fn edit() -> impl Strategy<Value = (usize, String)> {
    let insert = proptest::sample::select(vec![
        "",
        " ",
        "\n",
        "\"",
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "null",
        "1",
        "1.0",
        "\\u0000",
        "x",
        "/",
        "\"options\":[],",
        "\"version\":1,",
        "\"srt\"",
        "{\"srt\":null}",
    ]);
    (0..6_usize, insert.prop_map(str::to_owned))
}
