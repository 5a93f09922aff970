//! Tests of usage, configuration and models that need neither services nor pulled models.

use std::{ffi::OsStr, fs, os::unix::ffi::OsStrExt, process::Stdio};

use crate::support::{Ran, Scriptorium, fixture, models, without_models};

#[test]
fn wrong_usage_exits_with_2_and_names_the_problem() {
    let (_directory, scriptorium) = without_models();
    let ran = scriptorium.run(["transcribe"]).expect_code(2);
    assert!(ran.stderr.contains("PATH"), "{}", ran.stderr);
    let ran = scriptorium.run(["transcribe", "x.wav", "--format", "pdf"]).expect_code(2);
    assert!(ran.stderr.contains("pdf"), "{}", ran.stderr);
    let ran = scriptorium.run(["transcribe", "x.wav", "--format", "srt,vtt"]).expect_code(2);
    assert!(ran.stderr.contains("--out"), "{}", ran.stderr);
    let ctm = ["transcribe", "x.wav", "--format", "ctm", "--no-word-times"];
    assert!(scriptorium.run(ctm).expect_code(2).stderr.contains("ctm lists words"));
    let ran = scriptorium.run(["transcribe", "x.wav", "--out", "gs://b/k"]).expect_code(2);
    assert!(ran.stderr.contains("gs://"), "{}", ran.stderr);
}

#[test]
fn wrong_values_exit_with_2_and_name_their_key() {
    let wrong = |name: &str, value: &str, arguments: &[&str], words: &[&str]| {
        let (_directory, scriptorium) = without_models();
        let ran = scriptorium.with(name, value).run(arguments).expect_code(2);
        for word in words {
            assert!(ran.stderr.contains(word), "{word}: {}", ran.stderr);
        }
    };
    wrong("SCRIPTORIUM__LOG__LEVEL", "a=b=c", &["models", "list"], &["log.level", "a=b=c"]);
    let submit = ["submit", "/in/", "--out", "/out/"];
    wrong("SCRIPTORIUM__QUEUE__PREFIX", "", &submit, &["queue", "prefix"]);
    let delays = "SCRIPTORIUM__QUEUE__RETRY_DELAYS_SECONDS";
    wrong(delays, "", &["worker"], &["retry_delays_seconds"]);
    let unknown = "whisper-tny.en";
    let transcribe = ["transcribe", "x.wav"];
    wrong("SCRIPTORIUM__MODELS__RECOGNIZER", unknown, &transcribe, &[unknown, "whisper-tiny.en"]);
    let flag = ["transcribe", "x.wav", "--model", unknown];
    wrong("SCRIPTORIUM__COMPUTE__THREADS", "1", &flag, &[unknown]);
}

/// A reader such as `head` may close standard output at any time.
#[test]
fn a_closed_standard_output_ends_the_command_quietly() {
    let (_directory, scriptorium) = without_models();
    for arguments in [&["models", "list"][..], &["config"], &["completions", "bash"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let ran = Ran::from(scriptorium.command(arguments).stdout(writer).output().unwrap());
        assert_eq!(ran.expect_code(0).stderr, "", "{arguments:?}");
        // Standard error may be closed, too.
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut nowhere = scriptorium.command(["models", "path", "nonesuch"]);
        let status = nowhere.stdout(Stdio::null()).stderr(writer).status().unwrap();
        assert_eq!(status.code(), Some(1));
    }
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let ran = Ran::from(scriptorium.command(["config"]).stdout(full).output().unwrap());
    let ran = ran.expect_code(1);
    assert!(ran.stderr.contains("standard output"), "{}", ran.stderr);
}

#[test]
fn an_unknown_key_exits_with_2_and_is_named_with_its_file() {
    let (directory, scriptorium) = without_models();
    let path = directory.path().join("my.toml");
    fs::write(&path, "[worker]\nparallelism = 3\n").unwrap();
    let ran = scriptorium.run(["--config", path.to_str().unwrap(), "config"]).expect_code(2);
    assert!(ran.stderr.contains("worker.parallelism"), "{}", ran.stderr);
    assert!(ran.stderr.contains("my.toml"), "{}", ran.stderr);
}

#[test]
fn config_prints_a_valid_file_with_origins_and_without_secrets() {
    let (directory, scriptorium) = without_models();
    let scriptorium = scriptorium
        .with("SCRIPTORIUM__QUEUE__URL", "amqp://me:hunter2@broker/%2f")
        .with("SCRIPTORIUM__STORE__S3__SECRET_KEY", "hunter3");
    let ran = scriptorium.run(["config"]).expect_code(0);
    assert!(!ran.stdout.contains("hunter"), "{}", ran.stdout);
    assert!(ran.stdout.contains("SCRIPTORIUM__QUEUE__URL"), "{}", ran.stdout);
    let json = scriptorium.run(["config", "--json"]).expect_code(0).json();
    assert_eq!(json["worker.drain_seconds"]["origin"], "default");
    let path = directory.path().join("printed.toml");
    fs::write(&path, &ran.stdout).unwrap();
    scriptorium.run(["--config", path.to_str().unwrap(), "config"]).expect_code(0);
}

#[test]
fn names_a_model_that_is_not_installed_with_the_remedy() {
    let (_directory, scriptorium) = without_models();
    let ran = scriptorium.run(["transcribe", "x.wav"]).expect_code(1);
    assert!(ran.stderr.contains("scriptorium models pull whisper-base"), "{}", ran.stderr);
    let ran = scriptorium.run(["models", "path", "nonesuch"]).expect_code(1);
    assert!(ran.stderr.contains("nonesuch"), "{}", ran.stderr);
    for command in [&["transcribe", "x.wav", "--model"][..], &["models", "pull"], &["models", "rm"]]
    {
        let misspelt = [command, &["tiny.en"]].concat();
        let ran = scriptorium.run(misspelt);
        assert!(ran.code != Some(0), "{ran:?}");
        assert!(ran.stderr.contains("did you mean `whisper-tiny.en`?"), "{}", ran.stderr);
    }
}

#[test]
fn lists_models_with_what_was_measured_and_marks_what_is_installed() {
    let Some(models) = models() else { return };
    let scriptorium = Scriptorium::with_default_recognizer(&models);
    let list = scriptorium.run(["models", "list", "--json"]).expect_code(0).json();
    let list = list.as_array().unwrap();
    let model = |name: &str| list.iter().find(|model| model["name"] == name).unwrap();
    for name in ["whisper-base", "whisper-tiny.en"] {
        assert_eq!(model(name)["installed"], true, "{name}");
        assert!(model(name)["measured"]["wrong_words_percent"].as_f64().unwrap() > 0.0, "{name}");
        assert!(model(name)["measurement"]["cpu"].is_string(), "{name}");
    }
    assert_eq!(model("whisper-base")["default"], true);
    assert_eq!(model("whisper-large-v3")["measured"], serde_json::Value::Null);
    let ran =
        Ran::from(scriptorium.command(["models", "list"]).env("COLUMNS", "60").output().unwrap());
    let longest = ran.expect_code(0).stdout.lines().map(|line| line.chars().count()).max();
    assert!(longest <= Some(60), "{longest:?}");
}

#[test]
fn removes_a_model_but_no_directory_that_it_did_not_pull() {
    let (directory, scriptorium) = without_models();
    let model = directory.path().join("whisper-tiny.en");
    let mine = directory.path().join("mine");
    for path in [&model, &mine] {
        fs::create_dir(path).unwrap();
        fs::write(path.join("model.bin"), vec![0; 2_500_000]).unwrap();
    }
    let ran = scriptorium.run(["models", "rm", "whisper-tiny.en"]).expect_code(0);
    assert_eq!(ran.stdout, "whisper-tiny.en: removed, 3 MB freed\n");
    assert!(!model.exists());
    let ran = scriptorium.run(["models", "rm", "whisper-tiny.en"]).expect_code(1);
    assert!(ran.stderr.contains("not installed"), "{}", ran.stderr);
    let ran = scriptorium.run(["models", "rm", "mine"]).expect_code(1);
    assert!(ran.stderr.contains("not a model of the catalogue"), "{}", ran.stderr);
    assert!(mine.join("model.bin").exists());
}

/// `-V` is for scripts, `--version` for reports of problems.
#[test]
fn prints_the_version_with_target_and_instruction_sets() {
    let (_directory, scriptorium) = without_models();
    let short = format!("scriptorium {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(scriptorium.run(["-V"]).expect_code(0).stdout, short);
    let long = scriptorium.run(["--version"]).expect_code(0).stdout;
    assert!(long.starts_with(&short), "{long}");
    let line =
        |name: &str| long.lines().find_map(|line| line.strip_prefix(name)).unwrap().to_owned();
    assert!(!line("commit: ").is_empty(), "{long}");
    assert!(line("target: ").starts_with(std::env::consts::ARCH), "{long}");
    assert!(line("instruction sets: ").contains("(this CPU has plain"), "{long}");
    let plain = scriptorium.with("SCRIPTORIUM_KERNELS", "plain").run(["--version"]).expect_code(0);
    assert!(plain.stdout.contains("instruction sets: plain ("), "{}", plain.stdout);
}

/// The program answers a shell that completes a command, as the scripts of `completions` ask.
#[test]
fn completes_names_of_models_and_presets() {
    let (_directory, scriptorium) = without_models();
    let candidates = |words: &[&str]| {
        let mut command = scriptorium.command([&["--", "scriptorium"], words].concat());
        command.env("COMPLETE", "bash").env("_CLAP_IFS", "\n");
        command.env("_CLAP_COMPLETE_INDEX", words.len().to_string());
        let ran = Ran::from(command.output().unwrap()).expect_code(0);
        ran.stdout.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let of_models = candidates(&["models", "pull", "whisper-ti"]);
    assert_eq!(of_models, ["whisper-tiny.en", "whisper-tiny"]);
    let recognizers = candidates(&["transcribe", "--model", "s"]);
    assert!(recognizers.contains(&"sensevoice".to_owned()), "{recognizers:?}");
    assert!(!candidates(&["transcribe", "--model", "f"]).contains(&"fsmn-vad".to_owned()));
    assert_eq!(candidates(&["transcribe", "--speaker-model", "camp"]), ["campplus", "campplus-zh"]);
    assert_eq!(candidates(&["models", "in"]), ["inspect"]);
}

#[test]
fn ignores_variables_of_other_programs_that_are_not_utf8() {
    let (_directory, scriptorium) = without_models();
    let latin1 = OsStr::from_bytes(b"caf\xe9");
    let run =
        |name: &str| Ran::from(scriptorium.command(["config"]).env(name, latin1).output().unwrap());
    run("SOMEBODY_ELSES").expect_code(0);
    let ran = run("SCRIPTORIUM__WORKER__NAME").expect_code(2);
    assert!(ran.stderr.contains("SCRIPTORIUM__WORKER__NAME"), "{}", ran.stderr);
    assert!(ran.stderr.contains("UTF-8"), "{}", ran.stderr);
}

/// The library may contain directories that were not pulled.
#[test]
fn pull_ignores_existing_directories_and_inspect_finds_them_by_name() {
    let (directory, scriptorium) = without_models();
    let words = fixture("words/model");
    let mine = directory.path().join("mine");
    fs::create_dir(&mine).unwrap();
    for entry in fs::read_dir(&words).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), mine.join(entry.file_name())).unwrap();
    }
    let inspected = scriptorium.run(["models", "inspect", "mine", "--json"]).expect_code(0).json();
    assert_eq!(inspected["family"], "paraformer", "{inspected:#}");
    let ran = scriptorium.run(["models", "inspect", "whisper-tiny.en"]).expect_code(1);
    assert!(ran.stderr.contains("scriptorium models pull whisper-tiny.en"), "{}", ran.stderr);

    // All models in use are present: nothing is pulled, and no source is contacted.
    let words = words.to_str().unwrap();
    let scriptorium = scriptorium
        .with("SCRIPTORIUM__MODELS__RECOGNIZER", words)
        .with("SCRIPTORIUM__MODELS__ALSO", "mine")
        .with("SCRIPTORIUM__MODELS__VAD", words);
    let ran = scriptorium.run(["models", "pull"]).expect_code(0);
    assert_eq!(ran.stdout, "", "{}", ran.stderr);
    // A missing directory is named.
    let scriptorium = scriptorium.with("SCRIPTORIUM__MODELS__ALSO", "/nowhere/at/all");
    let ran = scriptorium.run(["models", "pull"]).expect_code(1);
    assert!(ran.stderr.contains("/nowhere/at/all"), "{}", ran.stderr);
}

#[test]
fn names_an_invalid_record_of_a_batch() {
    let (directory, scriptorium) = without_models();
    let batch = "0199d2c8-3a5f-7c63-9d0e-8f1f3b0c2a11";
    let records = directory.path().join("out/.scriptorium").join(batch);
    fs::create_dir_all(&records).unwrap();
    let out = directory.path().join("out");
    for text in [r#"{"version": 2, "jobs": 1}"#, "no JSON"] {
        fs::write(records.join("batch.json"), text).unwrap();
        let ran = scriptorium.run(["status", batch, "--out", out.to_str().unwrap()]).expect_code(1);
        assert!(ran.stderr.contains("/batch.json"), "{}", ran.stderr);
        assert!(ran.stderr.contains("version"), "{}", ran.stderr);
    }
}

/// Packages are built where no configuration is, or a wrong one.
#[test]
fn writes_manual_pages_of_all_commands() {
    let (directory, scriptorium) = without_models();
    let pages = directory.path().join("man1");
    fs::create_dir(&pages).unwrap();
    let mut command = scriptorium.command(["man", "--out", pages.to_str().unwrap()]);
    Ran::from(command.env("SCRIPTORIUM__LOG__LEVEL", "a=b=c").output().unwrap()).expect_code(0);
    for name in ["scriptorium", "scriptorium-submit", "scriptorium-models-pull", "scriptorium-man"]
    {
        let page = fs::read_to_string(pages.join(format!("{name}.1"))).unwrap();
        assert!(page.contains(&format!(".TH {name} 1")), "{page}");
    }
    let submit = fs::read_to_string(pages.join("scriptorium-submit.1")).unwrap();
    assert!(submit.contains(".SH EXAMPLES\n.nf\nscriptorium submit "), "{submit}");
    assert!(!pages.join("scriptorium-help.1").exists());

    let ran = scriptorium.run(["man", "models", "pull"]).expect_code(0);
    let page = fs::read_to_string(pages.join("scriptorium-models-pull.1")).unwrap();
    assert_eq!(ran.stdout.trim_end(), page.trim_end());
    let ran = scriptorium.run(["man", "models", "push"]).expect_code(2);
    assert!(ran.stderr.contains("scriptorium models push"), "{}", ran.stderr);
    let ran = scriptorium.run(["--version"]).expect_code(0);
    assert!(ran.stdout.starts_with("scriptorium "), "{}", ran.stdout);
    let missing = directory.path().join("missing");
    let ran = scriptorium.run(["man", "--out", missing.to_str().unwrap()]).expect_code(1);
    assert!(ran.stderr.contains("missing"), "{}", ran.stderr);
}

#[test]
fn prints_completions_and_help_with_examples() {
    let (_directory, scriptorium) = without_models();
    for shell in ["bash", "zsh", "fish"] {
        let ran = scriptorium.run(["completions", shell]).expect_code(0);
        assert!(ran.stdout.contains("COMPLETE"), "{shell}: {}", ran.stdout);
    }
    for command in ["transcribe", "worker", "submit", "status"] {
        let ran = scriptorium.run([command, "--help"]).expect_code(0);
        assert!(ran.stdout.contains("Examples:"), "{command}");
    }
}
