//! What symphonia cannot decode, FFmpeg decodes, and it does nothing else. Skipped where it is not
//! installed.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod common;

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use audio::{Block, ChannelMode, DecodeOptions, Decoder, Error, Fallback, Ffmpeg};
use common::*;

const SPOOL: u64 = 1 << 30;

/// Returns the path of FFmpeg. Without it, says that the test is skipped, or fails where all tests
/// are to run.
fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join("ffmpeg"));
    let found = found.into_iter().find(|path| path.is_file());
    if found.is_none() {
        let message = "ffmpeg is not installed";
        assert!(std::env::var_os("SCRIPTORIUM_TEST_SERVICES").is_none(), "{message}");
        eprintln!("!! SKIPPED: {message}");
    }
    found
}

fn with_program(path: &Path, spool: u64) -> DecodeOptions {
    let ffmpeg = Ffmpeg::open(path, std::env::temp_dir(), spool).unwrap();
    DecodeOptions { fallback: Fallback::Ffmpeg(ffmpeg), ..mix() }
}

fn options() -> Option<DecodeOptions> {
    program().map(|path| with_program(&path, SPOOL))
}

fn codec_fixture(name: &str) -> Vec<u8> {
    fixture(&format!("../codecs/{name}"))
}

#[test]
fn every_codec_decodes_to_the_sound_that_was_encoded() {
    let Some(options) = options() else { return };
    let files = [
        ("gsm.wav", "wav", "gsm_ms", 8000, 1),
        ("g722.wav", "wav", "adpcm_g722", 16_000, 1),
        ("g726.wav", "wav", "adpcm_g726", 8000, 1),
        ("pcm.w64", "w64", "pcm_s16le", 16_000, 1),
        ("ac3.ac3", "ac3", "ac3", 48_000, 1),
        ("eac3.eac3", "eac3", "eac3", 48_000, 1),
        ("wma.wma", "asf", "wmav2", 44_100, 1),
        ("aac.ts", "mpegts", "aac", 44_100, 1),
        ("mp3.avi", "avi", "mp3", 44_100, 1),
        ("aac51.m4a", "mp4", "aac", 48_000, 6),
        ("quad.m4a", "mp4", "aac", 48_000, 4),
        ("ima4.mov", "mp4", "adpcm_ima_qt", 16_000, 1),
        ("gsm.caf", "caf", "gsm_ms", 8000, 1),
        ("mono384.mp2", "mp3", "mp2", 44_100, 1),
    ];
    for (file, container, codec, rate, channels) in files {
        let decoded =
            decode(codec_fixture(file), &options).unwrap_or_else(|e| panic!("{file}: {e}"));
        let info = &decoded.info;
        assert_eq!((info.container.as_str(), info.codec.as_str()), (container, codec), "{file}");
        assert_eq!((info.sample_rate, info.channels), (rate, channels), "{file}");
        assert!(info.decoder.as_ref().is_some_and(|d| d.starts_with("ffmpeg ")), "{info:?}");
        assert_eq!(decoded.report.warnings, Vec::<String>::new(), "{file}");
        let expected = if file == "pcm.w64" { 0.5 } else { 1.0 };
        assert!((decoded.seconds() - expected).abs() < 0.07, "{file}: {}", decoded.seconds());
        // The lowest frequencies of 5.1 go through a channel that is not mixed in full.
        let found = find(&sweep((expected * RATE) as usize), &decoded.channels[0], 1300);
        assert!(found.correlation > 0.85, "{file}: {found:?}");
        assert!(decoded.report.bytes_read as usize >= codec_fixture(file).len() / 2, "{file}");
    }
}

#[test]
fn amr_is_identified_and_decoded() {
    let Some(options) = options() else { return };
    // 50 frames of 20 ms: mode 0 (4.75 kbit/s), of good quality, with some bits set.
    let frame = [&[0x04][..], &[0x5a; 12]].concat();
    let bytes = [&b"#!AMR\n"[..], &frame.repeat(50)].concat();
    let decoded = decode(bytes, &options).unwrap();
    assert_eq!((decoded.info.container.as_str(), decoded.info.sample_rate), ("amr", 8000));
    assert!((decoded.seconds() - 1.0).abs() < 0.03, "{}", decoded.seconds());
}

#[test]
fn a_track_that_starts_late_starts_late() {
    let Some(options) = options() else { return };
    let decoded = decode(codec_fixture("late-ac3.mkv"), &options).unwrap();
    assert!((decoded.seconds() - 1.5).abs() < 0.05, "{}", decoded.seconds());
    assert!(rms(&decoded.channels[0][..7000]) < 0.01, "silence before the sound");
    let found = find(&delayed_sweep(24_000, 0.5), &decoded.channels[0], 500);
    assert!(found.correlation > 0.95 && found.lag.abs() < 320, "{found:?}");
}

#[test]
fn the_first_decoder_is_asked_first() {
    let Some(options) = options() else { return };
    let decoded = decode(codec_fixture("ac3-aac.mkv"), &options).unwrap();
    assert_eq!((decoded.info.codec.as_str(), decoded.info.decoder), ("aac", None));
    let first = DecodeOptions { track: Some("en".parse().unwrap()), ..options.clone() };
    let decoded = decode(codec_fixture("ac3-aac.mkv"), &first).unwrap();
    assert_eq!(decoded.info.codec, "ac3");
    let missing = DecodeOptions { track: Some("3".parse().unwrap()), ..options };
    let error = decode(codec_fixture("ac3-aac.mkv"), &missing).unwrap_err();
    assert!(matches!(error, Error::NoSuchTrack { .. }), "{error}");
}

#[test]
fn channels_are_kept_apart() {
    let Some(options) = options() else { return };
    let options = DecodeOptions { channels: ChannelMode::Split, ..options };
    let decoded = decode(codec_fixture("aac51.m4a"), &options).unwrap();
    assert_eq!(decoded.channels.len(), 6);
}

#[test]
fn playlists_are_not_given_to_it() {
    let Some(options) = options() else { return };
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret.wav");
    fs::write(&secret, codec_fixture("gsm.wav")).unwrap();
    let path = secret.display();
    let texts = [
        format!("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile://{path}\n#EXT-X-ENDLIST\n"),
        format!("ffconcat version 1.0\nfile '{path}'\n"),
        format!(
            "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=audio {path} RTP/AVP 0\n"
        ),
        format!(
            "<?xml version=\"1.0\"?><MPD><Period><BaseURL>file://{path}</BaseURL></Period></MPD>"
        ),
    ];
    for text in texts {
        let error = decode(text.clone().into_bytes(), &options).unwrap_err();
        assert!(matches!(error, Error::Unrecognized(_)), "{error}");
        // Nor behind the beginning of a format that it is asked to decode.
        for start in
            [&b"#!AMR\n"[..], b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", b"FLV\x01", b"RIFF\0\0\0\0AVI "]
        {
            let result = decode([start, b"\n", text.as_bytes()].concat(), &options);
            if let Ok(decoded) = result {
                assert!(decoded.info.codec != "gsm_ms", "{:?}", decoded.info);
            }
        }
    }
}

/// A QuickTime file whose sound is in another file (`dref` with an alias).
#[test]
fn references_to_other_files_are_not_followed() {
    let Some(options) = options() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut movie = codec_fixture("ima4.mov");
    let start = movie.windows(4).position(|window| window == b"mdat").unwrap();
    fs::write(folder.path().join("sound.mov"), &movie).unwrap();
    let len = movie.len();
    let end = movie.windows(4).position(|window| window == b"moov").unwrap() - 4;
    // Without its own sound; the reference does not say that it is in the same file.
    if end > start {
        movie[start + 4..end].fill(0);
    }
    let reference = movie.windows(4).position(|window| window == b"dref").unwrap();
    movie[reference + 19] = 0;
    assert_eq!(movie.len(), len);
    if let Ok(decoded) = decode(movie, &options) {
        assert!(rms(&decoded.channels[0]) < 0.01, "the other file was read");
    }
}

#[test]
fn damage_is_reported() {
    let Some(options) = options() else { return };
    let mut bytes = codec_fixture("ac3.ac3");
    let at = bytes.len() / 2;
    bytes[at..at + 300].fill(0x55);
    let decoded = decode(bytes, &options).unwrap();
    let warnings = decoded.report.warnings.concat();
    assert!(warnings.contains("ffmpeg reported"), "{warnings}");
    let nonsense = [b"\x30\x26\xb2\x75\x8e\x66\xcf\x11".as_slice(), &[7; 5000]].concat();
    let error = decode(nonsense, &options).unwrap_err();
    let message = error.to_string();
    assert!(matches!(error, Error::UnsupportedCodec { .. }), "{message}");
    assert!(message.contains("Windows Media") && message.contains("ffmpeg"), "{message}");
}

#[test]
fn a_recording_that_was_cut_off_is_truncated() {
    let Some(options) = options() else { return };
    for file in ["gsm.wav", "g722.wav", "wma.wma"] {
        let mut bytes = codec_fixture(file);
        // Longer than what may be missing.
        let whole = bytes.len();
        bytes.truncate(whole * 2 / 5);
        let allowed = DecodeOptions { allow_truncated: true, ..options.clone() };
        let decoded = decode(bytes, &allowed).unwrap();
        let warnings = decoded.report.warnings.concat();
        assert!(warnings.contains("truncated"), "{file}: {warnings}");
    }
}

#[test]
fn a_copy_that_would_be_too_large_is_refused() {
    let Some(path) = program() else { return };
    let error = decode(codec_fixture("ima4.mov"), &with_program(&path, 1000)).unwrap_err();
    assert!(matches!(error, Error::LimitExceeded { .. }), "{error}");
    assert!(decode(codec_fixture("gsm.wav"), &with_program(&path, 1000)).is_ok(), "no copy");
}

/// Writes a program that stands in for FFmpeg: it answers with its version, lists one stream, and
/// then does what `body` says.
fn impostor(folder: &Path, body: &str) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let path = folder.join("ffmpeg");
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in\n-protocols) echo 'ffmpeg version 9.9-test' >&2; exit 0;;\n\
         *pcm_f32le*) ;;\n*) echo 'Input #0' >&2; echo '  Stream #0:0: Audio: amrnb, 8000 Hz, mono' >&2; exit 1;;\n\
         esac\n{body}\n"
    );
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// Bytes of a WAV header, as `printf` takes them, for float PCM of unknown length at 8 kHz.
fn header() -> String {
    let bytes = wav_header(3, 1, 8000, 32, u32::MAX, u32::MAX);
    bytes.iter().map(|byte| format!("\\{byte:03o}")).collect()
}

fn amr() -> Vec<u8> {
    b"#!AMR\n\x04abcdefghijkl".to_vec()
}

#[test]
fn endless_output_ends_at_the_limit() {
    let folder = tempfile::tempdir().unwrap();
    let path = impostor(folder.path(), &format!("printf '{}'; exec cat /dev/zero", header()));
    let mut options = with_program(&path, SPOOL);
    options.limits.max_duration = Duration::from_secs(600);
    let before = peak_megabytes();
    let error = decode(amr(), &options).unwrap_err();
    assert!(matches!(error, Error::LimitExceeded { .. }), "{error}");
    assert!(peak_megabytes() - before < 200);
}

/// Returns whether the process `pid` exists and is no zombie.
fn is_alive(pid: &str) -> bool {
    let state = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    state.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.trim().starts_with('Z'))
}

#[test]
fn a_dropped_decoder_leaves_no_process() {
    let folder = tempfile::tempdir().unwrap();
    let path = impostor(folder.path(), &format!("printf '{}'; exec cat /dev/zero", header()));
    let mut decoder =
        Decoder::open(Box::new(Cursor::new(amr())), &with_program(&path, SPOOL)).unwrap();
    let mut block = Block::default();
    assert!(decoder.next_block(&mut block).unwrap());
    let children = children();
    assert!(!children.is_empty(), "the program runs");
    let started = Instant::now();
    drop(decoder);
    assert!(started.elapsed() < Duration::from_secs(5));
    for pid in children {
        assert!(!is_alive(&pid), "{pid} is left");
    }
}

/// Returns the processes that run `cat /dev/zero` as children of this one.
fn children() -> Vec<String> {
    let own = std::process::id().to_string();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let pid = entry.file_name().to_string_lossy().into_owned();
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let parent = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1));
        let command = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if parent == Some(&own) && command.starts_with(b"cat\0/dev/zero") {
            found.push(pid);
        }
    }
    found
}

#[test]
fn a_program_that_fails_is_an_error_with_its_last_line() {
    let folder = tempfile::tempdir().unwrap();
    let body = format!("printf '{}'; echo 'disk on fire\x1b[31m' >&2; exit 3", header());
    let path = impostor(folder.path(), &body);
    let error = decode(amr(), &with_program(&path, SPOOL)).unwrap_err();
    let message = error.to_string();
    assert!(message.contains("disk on fire") && !message.contains('\x1b'), "{message}");
    assert!(message.contains("ffmpeg 9.9-test"), "{message}");
}

#[test]
fn it_inherits_no_environment_and_writes_no_files() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("written");
    let body = format!(
        "sleep 0.2; (head -c 5000 /dev/zero >{}) 2>/dev/null; printf '{}'; head -c 64000 /dev/zero; \
         [ -z \"$CARGO_PKG_NAME$HOME$USER\" ] || exit 9",
        file.display(),
        header()
    );
    let path = impostor(folder.path(), &body);
    decode(amr(), &with_program(&path, SPOOL)).unwrap();
    assert_eq!(fs::metadata(&file).map_or(0, |meta| meta.len()), 0);
}

#[test]
fn another_program_is_not_taken_for_it() {
    assert!(Ffmpeg::open(Path::new("/bin/true"), std::env::temp_dir(), SPOOL).is_err());
    assert!(Ffmpeg::open(Path::new("/no/such/file"), std::env::temp_dir(), SPOOL).is_err());
}

#[test]
fn a_source_that_fails_is_a_read_error() {
    struct Broken(Cursor<Vec<u8>>);
    impl std::io::Read for Broken {
        fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
            match self.0.read(buf)? {
                0 => Err(std::io::Error::other("the network is down")),
                n => Ok(n),
            }
        }
    }
    impl std::io::Seek for Broken {
        fn seek(&mut self, to: std::io::SeekFrom) -> std::io::Result<u64> {
            self.0.seek(to)
        }
    }
    impl audio::MediaSource for Broken {
        fn is_seekable(&self) -> bool {
            true
        }
        fn byte_len(&self) -> Option<u64> {
            Some(1 << 20)
        }
    }
    let Some(options) = options() else { return };
    let mut wav = codec_fixture("gsm.wav");
    wav.resize(40_000, 0x55);
    let mut mov = codec_fixture("ima4.mov");
    mov.resize(40_000, 0);
    for bytes in [wav, mov] {
        let result = decode_source(Box::new(Broken(Cursor::new(bytes))), &options);
        let error = result.unwrap_err();
        assert!(matches!(error, Error::Read(_)), "{error}");
    }
}
