//! `scriptorium speakers enroll`: makes the print of a person's voice.

use std::sync::Arc;

use anyhow::{Context, bail};
use app::{Config, VoiceModels};
use audio::{Block, ChannelMode, DecodeOptions, Decoder};
use job::Cursor;
use speech::{
    segmenter::{SegmentationConfig, Segmenter},
    speakers::voices::{
        self, Encoder, Enrolment, LIKELY_SEVERAL, MIN_SIMILARITY, Voice, VoicePrints, cosine,
    },
};
use store::{ReadAhead, Reader, Stores};
use tokio::{runtime::Handle, sync::mpsc};
use worker::SeekableObject;

use super::{EnrollArgs, file};
use crate::{
    UsageError,
    commands::print_line,
    exit,
    filter::Filter,
    names::{message, shown},
    output,
    progress::download_bar,
    sources::{self, Found, Item},
    termination::termination,
};

/// Less speech than this makes a poor print: the command warns.
const FEW_SECONDS: f64 = 10.0;
/// Bytes of a recording that are read with its description: all of a short one.
const START_BYTES: u64 = 1 << 20;
/// More speech than this does not make a better print: the rest is left out.
const ENOUGH_SECONDS: f64 = 600.0;

pub(super) async fn run(config: &Config, args: EnrollArgs) -> anyhow::Result<u8> {
    let stop = termination()?;
    tokio::select! {
        done = enroll(config, args) => done,
        () = stop.cancelled() => Ok(exit::INTERRUPTED),
    }
}

async fn enroll(config: &Config, args: EnrollArgs) -> anyhow::Result<u8> {
    let EnrollArgs { name, paths, file, replace, .. } = args;
    let path = file.voices;
    voices::check_name(&name).map_err(|error| UsageError(error.to_string()))?;
    let known = file::read_if_there(&path)?;
    let is_known = known.iter().flat_map(VoicePrints::voices).any(|voice| voice.name == name);
    if is_known && !replace {
        let message = format!("{} has a voice of `{name}`: --replace replaces it", path.display());
        return Err(UsageError(message).into());
    }
    let stores = app::stores(config)?;
    let recordings = list(&stores, paths).await?;
    let models = app::open_voice_models(config, &download_bar()).await?;
    let encoder = Encoder::from(&*models.encoder);
    let mut prints = known.unwrap_or_else(|| VoicePrints::new(encoder.clone()));
    let matching = prints.check_encoder(&encoder);
    matching.map_err(|error| UsageError(format!("{}: {error}", path.display())))?;

    let decoding = DecodeOptions { channels: ChannelMode::Mix, ..config.audio.options()? };
    let work = Work { name: name.clone(), decoding, segmentation: config.segmentation.clone() };
    let opened = open(&stores, &recordings).await?;
    let voice = tokio::task::spawn_blocking(move || work.make(&models, opened)).await??;
    warn_of_similar(&prints, &voice);
    let Voice { seconds, recordings, .. } = voice;
    prints.insert(voice).map_err(|error| UsageError(format!("{}: {error}", path.display())))?;
    file::write(&path, &prints)?;
    let of = if recordings == 1 { "recording" } else { "recordings" };
    print_line(&format!("{name}: {seconds:.1} s of {recordings} {of}"))?;
    Ok(exit::SUCCESS)
}

/// Lists the recordings. One that cannot be found fails all: a print of a part would be taken for one of all.
async fn list(stores: &Stores, paths: Vec<std::ffi::OsString>) -> anyhow::Result<Vec<Item>> {
    let (sender, mut listed) = mpsc::channel(1);
    let request =
        sources::Request { paths, filter: Filter::default(), name: job::OutputName::Full };
    let list = async move { sources::list(stores, &request, Cursor::default(), &sender).await };
    let gather = async {
        let mut items = Vec::new();
        while let Some(found) = listed.recv().await {
            match found {
                Found::Recording(item) => items.push(item),
                Found::Failed(failure) | Found::Broken(failure) => {
                    bail!("{}: {}", shown(&failure.source), message(&failure));
                }
                Found::Ignored(_) | Found::Reached(_) => {}
            }
        }
        Ok(items)
    };
    let (_, items) = tokio::join!(list, gather);
    let items = items?;
    if items.is_empty() {
        return Err(UsageError("there are no recordings there".to_owned()).into());
    }
    Ok(items)
}

/// Opens the recordings, with what each is called.
async fn open(stores: &Arc<Stores>, items: &[Item]) -> anyhow::Result<Vec<(String, Reader)>> {
    let mut opened = Vec::new();
    for item in items {
        let name = shown(&item.source.to_string());
        let reader = async {
            let (store, key) = stores.open(&item.source)?;
            let (meta, start) = store.begin(&key, START_BYTES).await?;
            let reader =
                Reader::with_read_ahead(store, meta, Handle::current(), ReadAhead::default());
            Ok::<_, store::Error>(reader.with_start(start))
        };
        let reader = reader.await.map_err(|error| anyhow::anyhow!("{name}: {error:#}"))?;
        opened.push((name, reader));
    }
    Ok(opened)
}

/// What makes a voice of recordings.
struct Work {
    name: String,
    decoding: DecodeOptions,
    segmentation: SegmentationConfig,
}

impl Work {
    fn make(
        &self,
        models: &VoiceModels,
        recordings: Vec<(String, Reader)>,
    ) -> anyhow::Result<Voice> {
        let mut enrolment = Enrolment::new(&models.encoder);
        let mut count = 0;
        for (recording, reader) in recordings {
            if enrolment.seconds() >= ENOUGH_SECONDS {
                output::note(&format!("left out: {recording}: there is enough speech"));
                continue;
            }
            let before = enrolment.seconds();
            self.add(models, reader, &mut enrolment).with_context(|| recording.clone())?;
            let seconds = enrolment.seconds() - before;
            output::note(&format!("{recording}: {seconds:.1} s of speech"));
            count += u32::from(seconds > 0.0);
        }
        let voice = enrolment.voice(&self.name, count)?;
        let voice =
            voice.context("no speech was found: a voice print needs half a minute of it")?;
        warn(&enrolment);
        Ok(voice)
    }

    /// Adds the speech of a recording, until there is enough.
    fn add(
        &self,
        models: &VoiceModels,
        reader: Reader,
        enrolment: &mut Enrolment<'_>,
    ) -> anyhow::Result<()> {
        let mut decoder = Decoder::open(Box::new(SeekableObject(reader)), &self.decoding)?;
        let mut segmenter = Segmenter::new(&*models.vad, self.segmentation.clone());
        let (mut block, mut segments) = (Block::default(), Vec::new());
        let mut more = true;
        while more && enrolment.seconds() < ENOUGH_SECONDS {
            more = decoder.next_block(&mut block)?;
            match block.channels.first().filter(|_| more) {
                Some(samples) => segmenter.push(samples, &mut segments)?,
                None => segmenter.finish(&mut segments)?,
            }
            for segment in segments.drain(..) {
                enrolment.add(&segment.samples)?;
            }
        }
        Ok(())
    }
}

/// Warns of speech that makes a poor print.
fn warn(enrolment: &Enrolment<'_>) {
    let seconds = enrolment.seconds();
    if seconds < FEW_SECONDS {
        output::note(&format!(
            "warning: {seconds:.1} s of speech are few: the voice may not be recognized, and others may be \
             taken for it; add recordings until there are 30 s"
        ));
    }
    if let Some(similarity) = enrolment.similarity_of_halves()
        && similarity < LIKELY_SEVERAL
    {
        output::note(&format!(
            "warning: the recordings sound like several people (the two halves into which the speech falls \
             have a similarity of {similarity:.2}, those of one voice {LIKELY_SEVERAL:.2} or more): take \
             recordings in which nobody else speaks"
        ));
    }
}

/// Warns of voices that may be taken for the new one.
fn warn_of_similar(prints: &VoicePrints, new: &Voice) {
    for voice in prints.voices().iter().filter(|voice| voice.name != new.name) {
        let similarity = cosine(&voice.print, &new.print);
        if similarity >= MIN_SIMILARITY {
            output::note(&format!(
                "warning: the voice is like that of `{}` (similarity {similarity:.2}): one may be taken for \
                 the other",
                voice.name
            ));
        }
    }
}
