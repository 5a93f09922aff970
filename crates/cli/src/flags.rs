//! Flags that set configuration keys.

use app::config::FlagValue;

use crate::{
    args::{Arguments, Command, ComputeArgs, ModelArgs, RecordingArgs},
    commands::speakers::SpeakersCommand,
};

/// Key and value; `None` if the flag is not given.
type Flag = (&'static str, Option<FlagValue>);

/// Returns the configuration keys that the flags set.
pub(crate) fn flags(arguments: &Arguments) -> Vec<Flag> {
    let log = log(arguments);
    of_command(&arguments.command).into_iter().chain([log]).collect()
}

fn log(arguments: &Arguments) -> Flag {
    let level = match (arguments.quiet, arguments.verbose) {
        (true, _) => Some("error"),
        (false, true) => Some("debug"),
        (false, false) => None,
    };
    ("log.level", level.map(FlagValue::from))
}

fn of_command(command: &Command) -> Vec<Flag> {
    match command {
        Command::Transcribe(args) => {
            let allow_truncated = ("audio.allow_truncated", switch(args.allow_truncated));
            let flags = compute(&args.compute).into_iter().chain(models(&args.models));
            let overwrite = ("output.overwrite", switch(args.overwrite));
            flags.chain([allow_truncated, overwrite]).chain(names(&args.recordings)).collect()
        }
        Command::Worker(args) => {
            compute(&args.compute).into_iter().chain(models(&args.models)).collect()
        }
        // `--threads` of `bench` is a list, and not the configuration's.
        Command::Bench(args) => {
            models(&args.models).into_iter().chain([("compute.pin", switch(args.pin))]).collect()
        }
        Command::Submit(args) => names(&args.recordings).into(),
        Command::Speakers(args) => match &args.command {
            SpeakersCommand::Enroll(args) => {
                let model = args.speaker_model.clone().map(FlagValue::from);
                vec![("models.speakers", model)]
            }
            SpeakersCommand::List { .. } | SpeakersCommand::Remove { .. } => Vec::new(),
        },
        Command::Convert(args) => {
            vec![("output.language_suffix", switch(args.language_suffix))]
        }
        Command::Status(_)
        | Command::Results(_)
        | Command::Bridge
        | Command::Pause(_)
        | Command::Resume(_)
        | Command::Cancel(_)
        | Command::Dead(_)
        | Command::Models(_)
        | Command::Config(_)
        | Command::Completions(_)
        | Command::Man(_) => Vec::new(),
    }
}

fn compute(args: &ComputeArgs) -> [Flag; 2] {
    let threads = args.threads.map(|threads| FlagValue::from(threads as u64));
    [("compute.threads", threads), ("compute.pin", switch(args.pin))]
}

fn models(args: &ModelArgs) -> [Flag; 4] {
    let text = |text: &Option<String>| text.clone().map(FlagValue::from);
    [
        ("models.recognizer", text(&args.model)),
        ("models.punctuation", text(&args.punctuation_model)),
        ("models.speakers", text(&args.speaker_model)),
        ("recognizer.precision", text(&args.precision)),
    ]
}

fn names(args: &RecordingArgs) -> [Flag; 2] {
    let name = args.name.map(|name| FlagValue::from(name.as_str()));
    [("output.name", name), ("output.language_suffix", switch(args.language_suffix))]
}

/// A switch only ever turns a setting on.
fn switch(given: bool) -> Option<FlagValue> {
    given.then(|| FlagValue::from(true))
}
