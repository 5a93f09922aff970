//! Runs the binary, and creates recordings for it.

use std::{
    ffi::OsStr,
    fs,
    io::Write,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

/// The recognizer of most tests: faster than the default, and their texts and times are its own.
pub(crate) const TINY: &str = "whisper-tiny.en";
const RECOGNIZER: &str = "SCRIPTORIUM__MODELS__RECOGNIZER";

/// Text of the recordings in `tests/fixtures/speech`, as recognized by tiny.en.
pub(crate) const SENTENCE: &str = "He might even have been made amiable himself.";

/// Recordings of the sentence in every format.
pub(crate) const SENTENCES: [&str; 9] = [
    "sentence.wav",
    "sentence-mulaw-8k.wav",
    "sentence.flac",
    "sentence.mp3",
    "sentence.ogg",
    "sentence.opus",
    "sentence.webm",
    "sentence.m4a",
    "sentence.mp4",
];

pub(crate) fn fixture(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures").join(path)
}

pub(crate) fn speech(name: &str) -> PathBuf {
    fixture("speech").join(name)
}

/// Returns the directory of the pulled models; `None`, with a message, if the tests run without
/// them. `make test` always pulls them.
pub(crate) fn models() -> Option<PathBuf> {
    let set = std::env::var_os("SCRIPTORIUM_TEST_MODELS").map(PathBuf::from);
    if set.is_none() {
        assert!(
            std::env::var_os("SCRIPTORIUM_TEST_SERVICES").is_none(),
            "SCRIPTORIUM_TEST_MODELS must be set where SCRIPTORIUM_TEST_SERVICES is"
        );
        eprintln!("skipped: SCRIPTORIUM_TEST_MODELS is not set; run `make test`");
    }
    set
}

/// The binary, with a clean environment and its own home directory.
pub(crate) struct Scriptorium {
    home: tempfile::TempDir,
    environment: Vec<(String, String)>,
}

impl Scriptorium {
    pub(crate) fn new(models: &Path) -> Self {
        Self::with_default_recognizer(models).with(RECOGNIZER, TINY)
    }

    /// As users have it, without the recognizer of the tests.
    pub(crate) fn with_default_recognizer(models: &Path) -> Self {
        let this = Self { home: tempfile::tempdir().unwrap(), environment: Vec::new() };
        this.with("SCRIPTORIUM__MODELS__DIRECTORY", models.to_str().unwrap())
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn command<A: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = A>,
    ) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_scriptorium"));
        command
            .args(arguments)
            .env_remove("SCRIPTORIUM_CONFIG")
            .env("HOME", self.home.path())
            .env_remove("XDG_CONFIG_HOME")
            .env_remove("XDG_DATA_HOME")
            .env_remove("XDG_STATE_HOME")
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn run<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Ran {
        Ran::from(self.command(arguments).output().unwrap())
    }

    /// Returns the status of a batch.
    pub(crate) fn status(&self, batch: &str) -> Value {
        let ran = self.run(["status", batch, "--json"]);
        assert!(matches!(ran.code, Some(0 | 1)), "{ran:?}");
        ran.json()
    }

    /// Starts a process whose standard error goes to `log`.
    pub(crate) fn start<A: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = A>,
        log: &Path,
    ) -> Process {
        let log = fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
        Process(self.command(arguments).stdout(Stdio::null()).stderr(log).spawn().unwrap())
    }
}

/// Returns the binary with an empty model library, in the directory returned with it, and without
/// automatic pulls.
pub(crate) fn without_models() -> (tempfile::TempDir, Scriptorium) {
    let directory = tempfile::tempdir().unwrap();
    let scriptorium = Scriptorium::with_default_recognizer(directory.path())
        .with("SCRIPTORIUM__MODELS__AUTO_PULL", "false");
    (directory, scriptorium)
}

/// A finished command.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Ran {
    #[track_caller]
    pub(crate) fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}\n{}", self.stdout, self.stderr))
    }
}

/// A running process, killed when the test is over.
pub(crate) struct Process(Child);

impl Process {
    pub(crate) fn signal(&self, signal: &str) {
        let status =
            Command::new("kill").args(["-s", signal, &self.0.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    pub(crate) fn wait(&mut self) -> Option<i32> {
        self.0.wait().unwrap().code()
    }

    /// Returns the code with which it has ended; `None` while it runs.
    pub(crate) fn try_wait(&mut self) -> Option<Option<i32>> {
        self.0.try_wait().unwrap().map(|status| status.code())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A server that is killed when the test is over.
pub(crate) struct Server(Child);

impl Server {
    pub(crate) fn start(program: &Path, arguments: &[&str], log: &Path) -> Self {
        let log = fs::File::create(log).unwrap();
        let output = log.try_clone().unwrap();
        let mut command = Command::new(program);
        Self(
            command
                .args(arguments)
                .stdin(Stdio::null())
                .stdout(output)
                .stderr(log)
                .spawn()
                .unwrap(),
        )
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Reads a transcript (or another JSON file).
#[track_caller]
pub(crate) fn read_json(path: &Path) -> Value {
    let text = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&text).unwrap()
}

/// Returns the text of a transcript's segments.
pub(crate) fn text_of(transcript: &Value) -> String {
    let segments = transcript["segments"].as_array().unwrap();
    segments.iter().map(|s| s["text"].as_str().unwrap()).collect::<Vec<_>>().join(" ")
}

/// Writes a 16-bit WAV file whose header declares `declared_bytes` of audio.
pub(crate) fn write_wav(
    path: &Path,
    rate: u32,
    channels: u16,
    declared_bytes: u32,
    samples: impl Iterator<Item = i16>,
) {
    let mut file = std::io::BufWriter::new(fs::File::create(path).unwrap());
    let frame = 2 * channels;
    file.write_all(b"RIFF").unwrap();
    file.write_all(&declared_bytes.saturating_add(36).to_le_bytes()).unwrap();
    file.write_all(b"WAVEfmt \x10\0\0\0\x01\0").unwrap();
    file.write_all(&channels.to_le_bytes()).unwrap();
    file.write_all(&rate.to_le_bytes()).unwrap();
    file.write_all(&(rate * u32::from(frame)).to_le_bytes()).unwrap();
    file.write_all(&frame.to_le_bytes()).unwrap();
    file.write_all(b"\x10\0data").unwrap();
    file.write_all(&declared_bytes.to_le_bytes()).unwrap();
    for sample in samples {
        file.write_all(&sample.to_le_bytes()).unwrap();
    }
    file.flush().unwrap();
}

/// Returns the samples of `sentence.wav`, 16 kHz mono.
pub(crate) fn sentence_samples() -> Vec<i16> {
    let wav = fs::read(speech("sentence.wav")).unwrap();
    let data = wav.windows(4).position(|w| w == b"data").unwrap() + 8;
    wav[data..].chunks_exact(2).map(|b| i16::from_le_bytes([b[0], b[1]])).collect()
}

/// Returns a recording of the sentence, repeated.
pub(crate) fn long_recording(directory: &Path, times: usize) -> Vec<u8> {
    let path = directory.join("long.wav");
    let sentence = sentence_samples();
    let samples = sentence.iter().copied().cycle().take(sentence.len() * times);
    let bytes = u32::try_from(2 * sentence.len() * times).unwrap();
    write_wav(&path, 16_000, 1, bytes, samples);
    fs::read(path).unwrap()
}

/// How long a test waits for something.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(120);

/// Waits until the log of a process contains `text`.
pub(crate) async fn wait_for_log(log: &Path, text: &str) {
    let begin = Instant::now();
    while !fs::read_to_string(log).unwrap_or_default().contains(text) {
        assert!(begin.elapsed() < TIMEOUT, "no `{text}`: {}", fs::read_to_string(log).unwrap());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Returns a port that is free now.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Returns status and body of a GET; `None` while nobody answers.
pub(crate) async fn get(url: &str) -> Option<(u16, String)> {
    let response = reqwest::get(url).await.ok()?;
    Some((response.status().as_u16(), response.text().await.ok()?))
}

pub(crate) async fn wait_for_answer(
    url: &str,
    what: &str,
    accept: impl Fn(u16, &str) -> bool,
) -> String {
    let begin = Instant::now();
    loop {
        let answer = get(url).await;
        if let Some((status, body)) = &answer
            && accept(*status, body)
        {
            return body.clone();
        }
        assert!(begin.elapsed() < TIMEOUT, "{what}: {answer:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
