//! What to transcribe: the paths of the command line, those of a list, and standard input.

use std::{
    ffi::OsString,
    fs::File,
    io::{self, BufRead, BufReader, Read, Write},
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::Path,
};

use anyhow::Context;
use location::Location;
use tempfile::NamedTempFile;

use super::TranscribeArgs;
use crate::{UsageError, documents::STDIN};

/// Longest path in a list; a longer line is not of a list of paths.
const MAX_PATH_BYTES: u64 = 64 << 10;

/// The paths of a run.
#[derive(Debug)]
pub(super) struct Input {
    pub(super) paths: Vec<OsString>,
    /// The recording on standard input, which decoders must be able to seek in.
    spool: Option<NamedTempFile>,
}

impl Input {
    /// Reads the list of paths and the recording on standard input. This call blocks.
    ///
    /// # Errors
    ///
    /// [`UsageError`] if the list is not one; an error of reading, or of a recording of more than
    /// `max_bytes`.
    pub(super) fn read(args: &TranscribeArgs, max_bytes: u64) -> anyhow::Result<Self> {
        let mut input = Self { paths: args.paths.clone(), spool: None };
        let from_stdin = |path: &OsString| path == STDIN;
        if let Some(list) = &args.files_from {
            let is_stdin = list.as_os_str() == STDIN;
            if is_stdin && input.paths.iter().any(from_stdin) {
                let message =
                    "standard input is either the list (--files-from -) or a recording (-)";
                return Err(UsageError(message.to_owned()).into());
            }
            let listed = if is_stdin {
                paths(io::stdin().lock())
            } else {
                File::open(list).and_then(|file| paths(BufReader::new(file)))
            };
            let refused = |error| UsageError(format!("--files-from {}: {error}", list.display()));
            input.paths.extend(listed.map_err(refused)?);
        }
        if input.paths.iter().any(from_stdin) {
            let spool = spool(max_bytes)?;
            for path in input.paths.iter_mut().filter(|path| from_stdin(path)) {
                *path = spool.path().into();
            }
            input.spool = Some(spool);
        }
        Ok(input)
    }

    /// Returns whether a location is that of the recording on standard input.
    pub(super) fn is_stdin(&self, location: &Location) -> bool {
        let spool = self.spool.as_ref().map(NamedTempFile::path);
        matches!((location, spool), (Location::File(path), Some(spool)) if Path::new(path) == spool)
    }
}

/// Reads paths, one per line, as they are: without quotes, with any characters but line feeds.
fn paths(mut list: impl BufRead) -> io::Result<Vec<OsString>> {
    let mut paths = Vec::new();
    loop {
        let mut line = Vec::new();
        if list.by_ref().take(MAX_PATH_BYTES).read_until(b'\n', &mut line)? == 0 {
            return Ok(paths);
        }
        if line.len() as u64 == MAX_PATH_BYTES {
            let message = format!("line {} is too long for a path", paths.len() + 1);
            return Err(io::Error::other(message));
        }
        while line.ends_with(b"\n") || line.ends_with(b"\r") {
            line.pop();
        }
        if !line.is_empty() {
            paths.push(OsString::from_vec(line));
        }
    }
}

/// Copies standard input to a temporary file, which is deleted when it is dropped.
fn spool(max_bytes: u64) -> anyhow::Result<NamedTempFile> {
    let directory = std::env::temp_dir();
    let cannot = || {
        format!("cannot keep standard input in {} (TMPDIR sets the folder)", directory.display())
    };
    // Links in the path of the folder would make the location look like another one.
    let directory = directory.canonicalize().with_context(cannot)?;
    let mut file = tempfile::Builder::new()
        .prefix("scriptorium-")
        .tempfile_in(&directory)
        .with_context(cannot)?;
    let mut input = io::stdin().lock().take(max_bytes.saturating_add(1));
    let bytes = io::copy(&mut input, &mut file).with_context(cannot)?;
    file.flush().with_context(cannot)?;
    if bytes > max_bytes {
        anyhow::bail!(
            "the recording on standard input has more than {max_bytes} bytes, the limit \
             (audio.max_bytes)"
        );
    }
    Ok(file)
}

/// Refuses `--out talk.srt`: it would become a folder of that name.
pub(super) fn check_out(out: &str, formats: &[&str]) -> Result<(), UsageError> {
    let path = Path::new(out);
    let extension = path.extension().map(|extension| extension.as_bytes().to_ascii_lowercase());
    let is_file = formats.iter().any(|format| extension.as_deref() == Some(format.as_bytes()));
    if !is_file || out.ends_with('/') || out.contains("://") || path.is_dir() {
        return Ok(());
    }
    Err(UsageError(format!(
        "--out {out}: --out names a folder. To write one file, send the transcript there: scriptorium \
         transcribe RECORDING --format {} > {out}",
        path.extension().unwrap_or_default().to_string_lossy()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_one_path_per_line() {
        let read = |text: &[u8]| paths(text).map_err(|error| error.to_string());
        let expected: Vec<OsString> = [&b"a b.wav"[..], b" c", b"\xff.mp3"]
            .map(|path| OsString::from_vec(path.into()))
            .into();
        assert_eq!(read(b"a b.wav\r\n\n c\n\xff.mp3"), Ok(expected));
        assert_eq!(read(b""), Ok(Vec::new()));
        let long = [&b"a\n"[..], &vec![b'x'; 100_000]].concat();
        assert_eq!(read(&long), Err("line 2 is too long for a path".to_owned()));
    }

    #[test]
    fn a_file_is_not_taken_for_a_folder() {
        let formats = ["srt", "json"];
        for out in ["out", "out/", "talk.srt/", "s3://bucket/talk.srt", "a.wav", "."] {
            assert!(check_out(out, &formats).is_ok(), "{out}");
        }
        for out in ["talk.srt", "a/talk.JSON"] {
            let error = check_out(out, &formats).unwrap_err();
            assert!(error.0.contains("> "), "{error}");
        }
    }
}
