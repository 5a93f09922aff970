//! `scriptorium speakers`: enrolls, lists and removes the voices of people.

mod args;
mod enroll;
mod file;

use app::Config;
use serde_json::json;
use speech::speakers::voices::VoicePrints;

pub(crate) use self::args::{EnrollArgs, SpeakersArgs, SpeakersCommand};
use crate::{
    UsageError,
    commands::{print_json, print_line},
    exit,
};

pub(crate) async fn run(config: &Config, args: SpeakersArgs) -> anyhow::Result<u8> {
    match args.command {
        SpeakersCommand::Enroll(args) => enroll::run(config, args).await,
        SpeakersCommand::List { file, json } => {
            list(&file::read(&file.voices)?, json)?;
            Ok(exit::SUCCESS)
        }
        SpeakersCommand::Remove { name, file } => {
            let mut prints = file::read(&file.voices)?;
            if !prints.remove(&name) {
                let file = file.voices.display();
                let message = format!(
                    "{file} has no voice of `{name}`: `scriptorium speakers list --voices {file}` shows those \
                     that it has"
                );
                return Err(UsageError(message).into());
            }
            file::write(&file.voices, &prints)?;
            print_line(&format!("{name}: removed"))?;
            Ok(exit::SUCCESS)
        }
    }
}

/// Prints the voices, without their prints.
fn list(prints: &VoicePrints, as_json: bool) -> anyhow::Result<()> {
    let encoder = prints.encoder();
    if as_json {
        let voices = prints.voices().iter().map(|voice| {
            json!({ "name": voice.name, "seconds": voice.seconds, "recordings": voice.recordings })
        });
        return print_json(&json!({
            "encoder": encoder,
            "digest": prints.digest(),
            "voices": voices.collect::<Vec<_>>(),
        }));
    }
    for voice in prints.voices() {
        let recordings = if voice.recordings == 1 { "recording" } else { "recordings" };
        let count = voice.recordings;
        print_line(&format!("{}: {:.1} s of {count} {recordings}", voice.name, voice.seconds))?;
    }
    let voices = if prints.voices().len() == 1 { "voice" } else { "voices" };
    let digest: String = encoder.digest.chars().take(8).collect();
    print_line(&format!(
        "{} {voices}, for the speaker model {} (digest {digest})",
        prints.voices().len(),
        encoder.name
    ))
}
