//! `--speakers 2`, with a space before the number.
//!
//! The number is optional, so clap takes one only after `=`: what follows a bare `--speakers` may be a recording.
//! People write a space all the same, and what is a number or a range is not the name of a recording.

use std::ffi::{OsStr, OsString};

const FLAG: &str = "--speakers";

/// Joins `--speakers` and the number or range after it with `=`. A file of such a name is given as `./2`.
pub(crate) fn join(arguments: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut joined: Vec<OsString> = Vec::new();
    let mut has_ended = false;
    for argument in arguments {
        has_ended |= argument == "--";
        match joined.last_mut() {
            Some(last) if !has_ended && last == FLAG && is_number_or_range(&argument) => {
                last.push("=");
                last.push(argument);
            }
            _ => joined.push(argument),
        }
    }
    joined
}

fn is_number_or_range(argument: &OsStr) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    argument.to_str().is_some_and(|text| match text.split_once('-') {
        Some((min, max)) => is_number(min) && is_number(max),
        None => is_number(text),
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Arguments, Command};

    /// Returns the speakers and the paths that `transcribe` takes from these arguments.
    fn parse(arguments: &str) -> (Option<job::Speakers>, Vec<OsString>) {
        let arguments = format!("scriptorium transcribe {arguments}");
        let arguments = join(arguments.split(' ').map(OsString::from));
        match Arguments::try_parse_from(arguments).map(|arguments| arguments.command) {
            Ok(Command::Transcribe(args)) => (args.recordings.speakers, args.paths),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_number_after_speakers_is_their_number() {
        let speakers = |text: &str| Some(text.parse::<job::Speakers>().unwrap());
        let (two, any, range) = (speakers("2"), speakers("any"), speakers("2-5"));
        for (arguments, speakers, paths) in [
            ("--speakers 2 a.wav", &two, &["a.wav"][..]),
            ("--speakers=2 a.wav", &two, &["a.wav"]),
            ("a.wav --speakers 2", &two, &["a.wav"]),
            ("--speakers 2-5 a.wav", &range, &["a.wav"]),
            ("--speakers a.wav", &any, &["a.wav"]),
            ("a.wav --speakers", &any, &["a.wav"]),
            ("--speakers 2.wav", &any, &["2.wav"]),
            ("--speakers ./2", &any, &["./2"]),
            ("--speakers -- 2", &any, &["2"]),
            ("2 3", &None, &["2", "3"]),
            ("--speakers 2 3", &two, &["3"]),
            ("-- --speakers 2", &None, &["--speakers", "2"]),
        ] {
            let paths: Vec<OsString> = paths.iter().map(OsString::from).collect();
            assert_eq!(parse(arguments), (speakers.clone(), paths), "{arguments}");
        }
    }
}
