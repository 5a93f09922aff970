//! The options of Whisper's command lines (openai-whisper, whisper-ctranslate2, WhisperX), whose users try
//! them here: each is replaced by the option of this program that means the same, and a hint says which.

use std::ffi::{OsStr, OsString};

/// Commands that take recordings.
const COMMANDS: [&str; 2] = ["transcribe", "submit"];

/// What stands for an option with its value: other arguments, or a reason why it has no effect.
enum Meaning {
    Arguments(Vec<String>),
    NoEffect(&'static str),
    /// The value is not one that Whisper takes.
    Unknown,
}

/// Replaces Whisper's options in the arguments of `transcribe` and `submit`. Returns the arguments, and a
/// hint for each option that was replaced.
pub(crate) fn translate(
    arguments: impl IntoIterator<Item = OsString>,
) -> (Vec<OsString>, Vec<String>) {
    let mut arguments = arguments.into_iter();
    let (mut translated, mut hints) = (Vec::new(), Vec::new());
    let mut takes_recordings = false;
    while let Some(argument) = arguments.next() {
        if argument == "--" {
            translated.push(argument);
            translated.extend(arguments);
            break;
        }
        takes_recordings |= COMMANDS.iter().any(|command| argument == *command);
        let Some(name) = name_of(&argument).filter(|_| takes_recordings) else {
            translated.push(argument);
            continue;
        };
        let attached = argument.to_str().and_then(|text| text.split_once('=')).map(|(_, v)| v);
        let next = if attached.is_none() && takes_value(&name) { arguments.next() } else { None };
        let value = match (attached, &next) {
            (Some(value), _) => value.to_owned(),
            (None, Some(value)) => value.to_string_lossy().into_owned(),
            (None, None) => String::new(),
        };
        match meaning(&name, &value) {
            Meaning::Arguments(same) => {
                let spelt = if same.is_empty() { "the default".to_owned() } else { same.join(" ") };
                hints.push(format!("hint: {} is {spelt} here", shown(&name, &value)));
                translated.extend(same.into_iter().map(OsString::from));
            }
            Meaning::NoEffect(reason) => {
                hints.push(format!("hint: {} has no effect: {reason}", shown(&name, &value)));
            }
            Meaning::Unknown => {
                translated.push(argument);
                translated.extend(next);
            }
        }
    }
    (translated, hints)
}

fn shown(name: &str, value: &str) -> String {
    if value.is_empty() { format!("--{name}") } else { format!("--{name} {value}") }
}

/// Returns the name of one of Whisper's options that is not one of this program.
fn name_of(argument: &OsStr) -> Option<String> {
    let name = argument.to_str()?.strip_prefix("--")?.split('=').next()?;
    let known = name.contains('_') || matches!(name, "device" | "fp16" | "patience" | "diarize");
    known.then(|| name.to_owned())
}

fn takes_value(name: &str) -> bool {
    name != "diarize"
}

fn meaning(name: &str, value: &str) -> Meaning {
    if value.is_empty() && takes_value(name) {
        return Meaning::Unknown;
    }
    let with = |flag: &str| Meaning::Arguments(vec![flag.to_owned(), value.to_owned()]);
    match name {
        "output_dir" => with("--out"),
        "output_format" if value == "all" => {
            Meaning::Arguments(vec!["--format".to_owned(), "json,srt,vtt,txt,tsv".to_owned()])
        }
        "output_format" => with("--format"),
        "initial_prompt" => with("--prompt"),
        "model_directory" => with("--model"),
        "word_timestamps" => match value {
            "True" | "true" => Meaning::Arguments(Vec::new()),
            "False" | "false" => Meaning::Arguments(vec!["--no-word-times".to_owned()]),
            _ => Meaning::Unknown,
        },
        "compute_type" => {
            let precision = match value {
                "default" | "auto" => "auto",
                "int8" | "int8_float32" | "int8_float16" | "int8_bfloat16" => "int8",
                "bfloat16" | "float16" => "bf16",
                "float32" => "f32",
                _ => return Meaning::Unknown,
            };
            Meaning::Arguments(vec!["--precision".to_owned(), precision.to_owned()])
        }
        "max_line_width" => with("--max-line-width"),
        "max_line_count" => with("--max-lines"),
        "min_speakers" | "num_speakers" | "max_speakers" => {
            let range = match name {
                "min_speakers" => format!("--speakers={value}-64"),
                "max_speakers" => format!("--speakers=1-{value}"),
                _ => format!("--speakers={value}"),
            };
            Meaning::Arguments(vec![range])
        }
        "diarize" => Meaning::Arguments(vec!["--speakers".to_owned()]),
        "device" | "fp16" | "device_index" => Meaning::NoEffect("this program computes on CPUs"),
        "model_dir" | "cache_directory" => {
            Meaning::NoEffect("models are in models.directory of the configuration")
        }
        "beam_size"
        | "best_of"
        | "patience"
        | "length_penalty"
        | "suppress_tokens"
        | "condition_on_previous_text"
        | "temperature_increment_on_fallback"
        | "compression_ratio_threshold"
        | "logprob_threshold"
        | "no_speech_threshold"
        | "batch_size" => Meaning::NoEffect("decoding has no options"),
        "vad_filter" => Meaning::NoEffect("speech is always detected first"),
        "print_colors" | "live_transcribe" => Meaning::NoEffect("there is no such output"),
        _ => Meaning::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translated(line: &str) -> (String, usize) {
        let (arguments, hints) = translate(line.split(' ').map(OsString::from));
        let arguments: Vec<_> = arguments.iter().map(|a| a.to_str().unwrap()).collect();
        (arguments.join(" "), hints.len())
    }

    #[test]
    fn whispers_options_become_those_of_this_program() {
        for (line, expected, hints) in [
            (
                "s transcribe a --output_dir o --output_format srt",
                "s transcribe a --out o --format srt",
                2,
            ),
            (
                "s transcribe a --output_format=all",
                "s transcribe a --format json,srt,vtt,txt,tsv",
                1,
            ),
            ("s transcribe a --word_timestamps True b", "s transcribe a b", 1),
            ("s transcribe a --word_timestamps False", "s transcribe a --no-word-times", 1),
            ("s transcribe a --compute_type int8_float32", "s transcribe a --precision int8", 1),
            ("s transcribe a --diarize b", "s transcribe a --speakers b", 1),
            ("s transcribe a --beam_size 5 --device cpu", "s transcribe a", 2),
            ("s submit a --initial_prompt Hi", "s submit a --prompt Hi", 1),
            // Not Whisper's, another command, a value, and what follows `--`.
            (
                "s transcribe a --language en --task translate",
                "s transcribe a --language en --task translate",
                0,
            ),
            ("s transcribe a --word_timestamps maybe", "s transcribe a --word_timestamps maybe", 0),
            ("s models list --output_dir o", "s models list --output_dir o", 0),
            ("s transcribe -- --output_dir", "s transcribe -- --output_dir", 0),
            ("s transcribe a --output_dir", "s transcribe a --output_dir", 0),
        ] {
            assert_eq!(translated(line), (expected.to_owned(), hints), "{line}");
        }
    }
}
