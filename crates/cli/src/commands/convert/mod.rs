//! `scriptorium convert`: renders transcripts anew, without transcribing anything.

mod args;
mod list;
mod page;

use std::{
    collections::{BTreeSet, HashMap},
    io::{self, IsTerminal, Read},
    path::Path,
    sync::{Mutex, PoisonError},
};

use app::Config;
use errors::Chain;
use futures::StreamExt;
use job::{Failure, OutputName, output_below, stem};
use location::Location;
use store::Stores;
use transcript::{Format, RenderOptions, Transcript};
use worker::{source_failure, write_file, write_rendering};

pub(crate) use self::args::ConvertArgs;
use self::list::Source;
use crate::{
    UsageError,
    args::output_prefix,
    documents::{self, STDIN_NAME, STDIN_URI, has_place_for_several},
    exit,
    extensions::is_name_of_recording,
    names, output, sources,
    termination::termination,
    writable,
};

/// Largest transcript that is read, in bytes.
const MAX_TRANSCRIPT_BYTES: u64 = 256 << 20;
/// Transcripts that are read, rendered and written at the same time.
const IN_FLIGHT: usize = 8;

pub(crate) async fn run(config: &Config, args: ConvertArgs) -> anyhow::Result<u8> {
    let may_be_several = sources::may_be_several(&args.paths);
    let (target, formats) = target(&args, may_be_several)?;
    let subtitles = args.subtitles.options().map_err(|error| UsageError(error.to_string()))?;
    if args.subtitles.is_any_given() && !formats.iter().any(|format| format.is_subtitle()) {
        let message = "--max-line-width, --max-lines and --min-gap are for srt, vtt and ass";
        return Err(UsageError(message.to_owned()).into());
    }
    let html = page::options(&args, formats.contains(&Format::Html), may_be_several)?;
    let stores = app::stores(config)?;
    if let Target::Below(prefix) = &target {
        writable::check(&stores, prefix).await?;
    }
    let conversion = Conversion {
        stores: &stores,
        target,
        formats,
        labelled: may_be_several,
        speaker_names: args.speaker_name,
        name: args.name,
        language_suffix: config.output.language_suffix,
        options: RenderOptions { subtitles, html },
        taken: Mutex::default(),
        counts: Mutex::default(),
    };
    let stop = termination()?;
    let work = async {
        let found = list::list(&stores, &args.paths);
        let texts = found.map(|found| conversion.convert(found)).buffered(IN_FLIGHT);
        let mut texts = std::pin::pin!(texts);
        while let Some(text) = texts.next().await {
            text.map_or(Ok(()), output::write)?;
        }
        anyhow::Ok(())
    };
    tokio::select! {
        done = work => done?,
        () = stop.cancelled() => return Ok(exit::INTERRUPTED),
    }
    let counts = conversion.counts.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(counts.report(matches!(conversion.target, Target::Stdout)))
}

/// Where the renderings go.
#[derive(Debug, PartialEq, Eq)]
enum Target {
    Stdout,
    /// The only rendering.
    File(Location),
    Below(Location),
}

/// Returns where the renderings go, and in which formats they are.
fn target(
    args: &ConvertArgs,
    may_be_several: bool,
) -> Result<(Target, BTreeSet<Format>), UsageError> {
    let mut formats: BTreeSet<Format> = args.format.iter().copied().collect();
    let Some(out) = &args.out else {
        return match formats.first().copied() {
            None => Err(UsageError("--format says what to write, e.g. --format srt".to_owned())),
            Some(_) if formats.len() > 1 => {
                Err(UsageError("several formats need --out DIR".to_owned()))
            }
            Some(format)
                if may_be_several
                    && !(has_place_for_several(format) || format == Format::Jsonl) =>
            {
                Err(UsageError(format!(
                    "several transcripts need --out DIR for the format {format}"
                )))
            }
            Some(format) if !format.is_text() && io::stdout().is_terminal() => Err(UsageError(
                format!("{format} is not text: give --out FILE, or send it to a file with > FILE"),
            )),
            Some(_) => Ok((Target::Stdout, formats)),
        };
    };
    if let Some(format) = format_of_file(out) {
        if formats.is_empty() {
            formats.insert(format);
        }
        if may_be_several || formats.len() > 1 {
            return Err(UsageError(format!(
                "--out {out} is one file; several transcripts or formats need a folder"
            )));
        }
        let location = Location::from_argument(out);
        let location = location.map_err(|error| UsageError(format!("--out: {error}")))?;
        return Ok((Target::File(location), formats));
    }
    if formats.is_empty() {
        return Err(UsageError("--format says what to write, e.g. --format srt".to_owned()));
    }
    Ok((Target::Below(output_prefix(out)?), formats))
}

/// Returns the format of a file by its extension, the longest that fits; `None` for a folder.
fn format_of_file(out: &str) -> Option<Format> {
    if out.ends_with('/') || Path::new(out).is_dir() {
        return None;
    }
    let name = out.rsplit('/').next().unwrap_or(out).to_lowercase();
    let fits = |format: &Format| {
        let extension = format!(".{}", format.extension().to_lowercase());
        name.len() > extension.len() && name.ends_with(&extension)
    };
    let fitting = Format::ALL.into_iter().filter(fits);
    fitting.max_by_key(|format| format.extension().len())
}

/// One run.
struct Conversion<'a> {
    stores: &'a Stores,
    target: Target,
    formats: BTreeSet<Format>,
    /// Whether there may be several transcripts on standard output.
    labelled: bool,
    speaker_names: Vec<(u32, String)>,
    name: Option<OutputName>,
    language_suffix: bool,
    options: RenderOptions,
    /// Output of each transcript, with the file that it comes from.
    taken: Mutex<HashMap<String, String>>,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    converted: u64,
    failed: u64,
    /// JSON files in folders that are no transcripts.
    ignored: u64,
}

impl Conversion<'_> {
    /// Converts one transcript; returns the text for standard output.
    async fn convert(&self, found: Result<Source, Failure>) -> Option<Vec<u8>> {
        let source = match found {
            Ok(source) => source,
            Err(failure) => {
                self.fail(&failure.source, &names::message(&failure));
                return None;
            }
        };
        let uri = match &source {
            Source::Stdin => STDIN_URI.to_owned(),
            Source::Object { location, .. } => location.to_string(),
        };
        match self.try_convert(&source, &uri).await {
            Ok(Converted::Text(text)) => {
                self.counts().converted += 1;
                Some(text)
            }
            Ok(Converted::Written) => {
                self.counts().converted += 1;
                None
            }
            Ok(Converted::NoTranscript) => {
                self.counts().ignored += 1;
                None
            }
            Err(message) => {
                self.fail(&uri, &message);
                None
            }
        }
    }

    async fn try_convert(&self, source: &Source, uri: &str) -> Result<Converted, String> {
        let bytes = read(source, uri).await?;
        let mut transcript = match (Transcript::from_json(&bytes), source) {
            (Ok(transcript), _) => transcript,
            (Err(_), Source::Object { is_named: false, .. }) if !is_meant_as_transcript(&bytes) => {
                return Ok(Converted::NoTranscript);
            }
            (Err(error), _) => return Err(Chain(&error).to_string()),
        };
        self.name_speakers(&mut transcript)?;
        // Somebody may have corrected the text of segments.
        transcript.summarize();
        match &self.target {
            Target::Stdout => Ok(Converted::Text(self.text(&transcript))),
            Target::File(location) => {
                let format = self.formats.first().copied().unwrap_or(Format::Json);
                let rendered = transcript.render_with(format, &self.options);
                let rendered = (format, &transcript, rendered.into());
                write_file(self.stores, location, rendered)
                    .await
                    .map_err(|error| Chain(&error).to_string())?;
                Ok(Converted::Written)
            }
            Target::Below(prefix) => {
                let output = self.output(prefix, source, &transcript, uri)?;
                for &format in &self.formats {
                    let body = transcript.render_with(format, &self.options);
                    let rendered = (format, &transcript, body.into());
                    let suffix = self.language_suffix;
                    let written = write_rendering(self.stores, &output, suffix, rendered).await;
                    written.map_err(|error| Chain(&error).to_string())?;
                }
                Ok(Converted::Written)
            }
        }
    }

    fn name_speakers(&self, transcript: &mut Transcript) -> Result<(), String> {
        for (id, name) in &self.speaker_names {
            if transcript.name_speaker(*id, name) {
                continue;
            }
            let known = transcript.speakers.iter().take(10);
            let known: Vec<String> = known
                .map(|speaker| format!("{} ({})", speaker.id, speaker.display_name()))
                .collect();
            let known = match known.as_slice() {
                [] => "speakers were not distinguished (transcribe with --speakers)".to_owned(),
                known => format!("the speakers are {}", known.join(", ")),
            };
            return Err(format!("there is no speaker {id}: {known}"));
        }
        Ok(())
    }

    /// Returns the text for standard output.
    fn text(&self, transcript: &Transcript) -> Vec<u8> {
        let format = self.formats.first().copied().unwrap_or(Format::Txt);
        let title = self.labelled.then(|| names::shown(&transcript.source.uri));
        documents::render(transcript, format, &self.options, title.as_deref())
    }

    /// Returns where the renderings of a transcript go, without the extension of a format; no two have the
    /// same place.
    fn output(
        &self,
        prefix: &Location,
        source: &Source,
        transcript: &Transcript,
        uri: &str,
    ) -> Result<Location, String> {
        let relative = match source {
            Source::Stdin => STDIN_NAME,
            Source::Object { relative, .. } => relative.strip_suffix(".json").unwrap_or(relative),
        };
        let wanted = renamed(relative, &transcript.source.uri, self.name);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        for name in [wanted.as_str(), relative] {
            let output = output_below(prefix, name).map_err(|error| Chain(&error).to_string())?;
            let owner = taken.entry(output.to_string()).or_insert_with(|| uri.to_owned());
            if owner == uri {
                return Ok(output);
            }
        }
        Err("another transcript has its name; convert them to different folders".to_owned())
    }

    fn fail(&self, uri: &str, message: &str) {
        output::say(&format!("failed: {}: {message}", names::shown(uri)));
        self.counts().failed += 1;
    }

    fn counts(&self) -> std::sync::MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What became of a file.
enum Converted {
    Text(Vec<u8>),
    Written,
    /// A JSON file in a folder that is something else.
    NoTranscript,
}

/// Returns the name of a rendering's file, without the extension of a format, for a transcript that is named
/// `relative`.
fn renamed(relative: &str, recording: &str, name: Option<OutputName>) -> String {
    let (folder, file) = relative.rsplit_once('/').map_or(("", relative), |(f, n)| (f, n));
    let in_folder = |name: &str| match folder {
        "" => name.to_owned(),
        folder => format!("{folder}/{name}"),
    };
    match name {
        Some(OutputName::Stem) if is_name_of_recording(file) => {
            in_folder(stem(file).unwrap_or(file))
        }
        // A transcript that is named after the stem: the recording has the extension.
        Some(OutputName::Full) => {
            let complete = recording.parse::<Location>().ok();
            let complete = complete.map(|location| location.file_name().into_owned());
            let is_of_recording = |complete: &String| stem(complete) == Some(file);
            complete.filter(is_of_recording).map_or_else(|| relative.to_owned(), |c| in_folder(&c))
        }
        _ => relative.to_owned(),
    }
}

/// Returns whether a file in a folder is a transcript that cannot be read, rather than something else in JSON:
/// a damaged one, one of a later version, or one that another program has written.
fn is_meant_as_transcript(bytes: &[u8]) -> bool {
    Transcript::is_of_any_version(bytes)
        || serde_json::from_slice::<serde_json::Value>(bytes)
            .is_ok_and(|json| json["version"].is_u64() && json["source"]["uri"].is_string())
}

/// Reads a file completely.
async fn read(source: &Source, uri: &str) -> Result<Vec<u8>, String> {
    match source {
        Source::Object { store, key, .. } => match store.get(key, MAX_TRANSCRIPT_BYTES).await {
            Ok((_, bytes)) => Ok(bytes.into()),
            Err(error) => Err(names::message(&source_failure(&error, uri)).into_owned()),
        },
        Source::Stdin => {
            let read = tokio::task::spawn_blocking(|| {
                let mut bytes = Vec::new();
                let input = io::stdin().lock();
                input.take(MAX_TRANSCRIPT_BYTES + 1).read_to_end(&mut bytes).map(|_| bytes)
            });
            let bytes = read.await.map_err(|error| error.to_string())?;
            let bytes = bytes.map_err(|error| format!("cannot read standard input: {error}"))?;
            if bytes.len() as u64 > MAX_TRANSCRIPT_BYTES {
                return Err(format!("it has more than {MAX_TRANSCRIPT_BYTES} bytes"));
            }
            Ok(bytes)
        }
    }
}

impl Counts {
    /// Prints the summary; returns the exit code.
    fn report(&self, is_stdout: bool) -> u8 {
        if !is_stdout || self.failed > 0 || self.converted == 0 {
            let mut line = format!("{} converted", self.converted);
            for (count, what) in [
                (self.failed, "failed"),
                (self.ignored, "JSON files ignored that are no transcripts"),
            ] {
                if count > 0 {
                    line.push_str(&format!(", {count} {what}"));
                }
            }
            if self.converted + self.failed == 0 {
                line.insert_str(0, "no transcripts found: ");
            }
            output::note(&line);
        }
        // Nothing found is a failure, too: the path may be mistyped.
        if self.failed > 0 || self.converted == 0 { exit::FAILURE } else { exit::SUCCESS }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_known_by_its_extension() {
        for (out, expected) in [
            ("talk.srt", Some(Format::Srt)),
            ("a/talk.mp4.whisper.json", Some(Format::WhisperJson)),
            ("talk.json", Some(Format::Json)),
            ("s3://bucket/a.vtt", Some(Format::Vtt)),
            ("talk.srt/", None),
            ("out", None),
            (".srt", None),
        ] {
            assert_eq!(format_of_file(out), expected, "{out}");
        }
    }

    #[test]
    fn names_follow_the_recording_or_its_stem() {
        let recording = "s3://b/calls/talk.mp4";
        for (relative, name, expected) in [
            ("a/talk.mp4", None, "a/talk.mp4"),
            ("a/talk.mp4", Some(OutputName::Stem), "a/talk"),
            ("a/talk.mp4", Some(OutputName::Full), "a/talk.mp4"),
            ("talk", None, "talk"),
            ("talk", Some(OutputName::Stem), "talk"),
            ("talk", Some(OutputName::Full), "talk.mp4"),
            // No extension of a recording.
            ("a.v2/talk.final", Some(OutputName::Stem), "a.v2/talk.final"),
            ("other", Some(OutputName::Full), "other"),
        ] {
            assert_eq!(renamed(relative, recording, name), expected, "{relative} {name:?}");
        }
    }
}
