//! `transcribe --dry-run`: what would be transcribed, and where the transcripts would go. No model is
//! loaded, nothing is written.

use job::{Cursor, Failure};
use serde::Serialize;
use store::{ErrorKind, Stores};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use transcript::Format;

use crate::{
    commands::{print_json, print_line},
    exit,
    ignored::Ignored,
    names::{message, shown},
    naming::{AllRenamed, Named, Naming},
    output,
    sources::{self, Found, Item},
};

/// What a run would do.
#[derive(Debug, Default, Serialize)]
struct Survey {
    dry_run: bool,
    recordings: u64,
    bytes: u64,
    /// Recordings that have a transcript, whether it is up to date or not.
    with_transcript: u64,
    failed: u64,
    #[serde(flatten)]
    renamed: AllRenamed,
    #[serde(flatten)]
    ignored: Ignored,
}

/// Lists the recordings of a request.
pub(super) async fn run(
    stores: &Stores,
    request: &sources::Request,
    naming: Option<&Naming>,
    json: bool,
    stop: &CancellationToken,
) -> anyhow::Result<u8> {
    let mut survey = Survey { dry_run: true, ..Survey::default() };
    let (sender, mut listed) = mpsc::channel(1);
    let list = async move { sources::list(stores, request, Cursor::default(), &sender).await };
    let show = async {
        while let Some(found) = listed.recv().await {
            let failure = match found {
                Found::Recording(item) => match survey.add(stores, naming, &item).await {
                    Ok(Some(line)) if !json => {
                        print_line(&line)?;
                        continue;
                    }
                    Ok(_) => continue,
                    Err(failure) => failure,
                },
                Found::Ignored(file) => {
                    survey.ignored.add(file).into_iter().for_each(|line| output::note(&line));
                    continue;
                }
                Found::Failed(failure) | Found::Broken(failure) => failure,
                Found::Reached(_) => continue,
            };
            survey.failed += 1;
            output::say(&format!(
                "failed: {}: {}: {}",
                shown(&failure.source),
                failure.code,
                message(&failure)
            ));
        }
        anyhow::Ok(())
    };
    let complete = tokio::select! {
        (complete, shown) = async { tokio::join!(list, show) } => {
            shown?;
            complete
        }
        () = stop.cancelled() => return Ok(exit::INTERRUPTED),
    };
    if json {
        print_json(&survey)?;
    } else {
        let Survey { recordings, bytes, with_transcript, failed, ignored, .. } = &survey;
        let size = indicatif::HumanBytes(*bytes);
        let mut line = format!("{recordings} recordings, {size}");
        if *with_transcript > 0 {
            line += &format!(
                ", {with_transcript} with a transcript (transcribed again if it is stale)"
            );
        }
        if *failed > 0 {
            line += &format!(", {failed} failed");
        }
        output::note(&format!("{line}{ignored}"));
    }
    let found = survey.recordings > 0 && survey.failed == 0 && complete;
    Ok(if found { exit::SUCCESS } else { exit::FAILURE })
}

impl Survey {
    /// Counts a recording; returns the line to show, unless it was listed before.
    async fn add(
        &mut self,
        stores: &Stores,
        naming: Option<&Naming>,
        item: &Item,
    ) -> Result<Option<String>, Failure> {
        let source = shown(&item.source.to_string());
        let mut line = source;
        if let Some(naming) = naming {
            let output = match naming.name(item)? {
                Named::Repeated => return Ok(None),
                Named::Output(output, renamed) => {
                    if let Some(renamed) = renamed {
                        output::note(&self.renamed.add(renamed));
                    }
                    format!("{output}.{}", Format::Json.extension())
                }
            };
            line += &format!(" -> {}", shown(&output));
            if exists(stores, &output).await {
                self.with_transcript += 1;
                line += " (exists)";
            }
        }
        self.recordings += 1;
        self.bytes += item.size;
        Ok(Some(line))
    }
}

/// Returns whether there is a transcript, as far as its store answers.
async fn exists(stores: &Stores, uri: &str) -> bool {
    let Ok(location) = uri.parse() else { return false };
    let Ok((store, key)) = stores.open(&location) else { return false };
    match store.head(&key).await {
        Ok(_) => true,
        Err(error) => {
            error.kind != ErrorKind::NotFound && {
                tracing::debug!(error = error.message, uri, "cannot look for the transcript");
                false
            }
        }
    }
}
