//! Estimates the hours of audio of recordings from a few of them.

use std::{collections::BTreeMap, fmt};

use audio::{Block, ChannelMode, DecodeOptions, Decoder, Fallback};
use location::Location;
use serde::Serialize;
use store::{ReadAhead, Reader, Stores};
use tokio::runtime::Handle;
use worker::SeekableObject;

use crate::sources::Item;

/// Seconds of audio per core-second, if `--speed` does not say: what whisper-base, the default, does in int8
/// on ten minutes of speech (docs/models.md). Larger models are slower.
pub(super) const SPEED: f64 = 29.0;
/// Recordings that are opened of each extension.
const SAMPLED_PER_EXTENSION: usize = 5;
/// Extensions that are told apart; recordings with others are taken together.
const MAX_EXTENSIONS: usize = 32;
/// Name for the others.
const OTHER: &str = "other";
/// Seconds that are decoded of a recording whose header does not state its duration.
const DECODED_SECONDS: f64 = 60.0;
/// Bytes that are read ahead of a recording.
const READ_AHEAD: ReadAhead = ReadAhead {
    first_bytes: 256 << 10,
    max_bytes: 1 << 20,
    attempts: 2,
    min_delay: std::time::Duration::from_millis(250),
};

/// Recordings by extension, a few of them chosen at random. The choice is the same on every run.
#[derive(Debug)]
pub(super) struct Sample {
    extensions: BTreeMap<String, Group>,
    random: fastrand::Rng,
}

#[derive(Debug, Default)]
struct Group {
    recordings: u64,
    bytes: u64,
    chosen: Vec<Location>,
}

/// The size of the work.
#[derive(Debug, Default, PartialEq, Serialize)]
pub(super) struct Estimate {
    /// Of all recordings; of a manifest's it is not known.
    bytes: Option<u64>,
    audio_hours: f64,
    core_hours: f64,
    audio_seconds_per_core_second: f64,
    /// Recordings that were opened for the estimate.
    sampled: usize,
    /// Recordings that it does not include, because none of their kind could be opened.
    not_estimated: u64,
    by_extension: BTreeMap<String, Extension>,
}

#[derive(Debug, Default, PartialEq, Serialize)]
struct Extension {
    recordings: u64,
    bytes: Option<u64>,
    sampled: usize,
    audio_hours: Option<f64>,
}

/// What one recording of a sample shows.
#[derive(Debug, Clone, Copy)]
struct Measured {
    seconds: f64,
    bytes: u64,
}

impl Default for Sample {
    fn default() -> Self {
        Self { extensions: BTreeMap::new(), random: fastrand::Rng::with_seed(1) }
    }
}

impl Sample {
    /// Counts a recording, and perhaps chooses it: each of an extension with the same probability.
    pub(super) fn add(&mut self, item: &Item) {
        let name = item.relative.rsplit('/').next().unwrap_or_default();
        let extension = name.rsplit_once('.').map_or(OTHER, |(_, extension)| extension);
        let mut extension = extension.to_lowercase();
        if !self.extensions.contains_key(&extension) && self.extensions.len() >= MAX_EXTENSIONS {
            OTHER.clone_into(&mut extension);
        }
        let group = self.extensions.entry(extension).or_default();
        group.recordings += 1;
        group.bytes += item.size;
        if group.chosen.len() < SAMPLED_PER_EXTENSION {
            group.chosen.push(item.source.clone());
        } else {
            let place = self.random.u64(..group.recordings);
            let chosen = usize::try_from(place).ok().and_then(|place| group.chosen.get_mut(place));
            if let Some(chosen) = chosen {
                *chosen = item.source.clone();
            }
        }
    }

    /// Opens the chosen recordings.
    pub(super) async fn measure(
        self,
        stores: &Stores,
        options: DecodeOptions,
        speed: f64,
    ) -> Estimate {
        // Without a child process for recordings that only FFmpeg can decode.
        let options = DecodeOptions {
            channels: ChannelMode::Mix,
            fallback: Fallback::Off,
            track: None,
            ..options
        };
        let mut measured = BTreeMap::new();
        for (extension, group) in &self.extensions {
            let mut of_extension = Vec::new();
            for location in &group.chosen {
                of_extension.extend(measure_one(stores, location, options.clone()).await);
            }
            measured.insert(extension.clone(), of_extension);
        }
        self.estimate(&measured, speed)
    }

    /// Extends what was measured to all recordings.
    fn estimate(&self, measured: &BTreeMap<String, Vec<Measured>>, speed: f64) -> Estimate {
        // A size of 0 is that of the rows of a manifest.
        let total: u64 = self.extensions.values().map(|group| group.bytes).sum();
        let mut estimate = Estimate {
            bytes: (total > 0).then_some(total),
            audio_seconds_per_core_second: speed,
            ..Estimate::default()
        };
        for (name, group) in &self.extensions {
            let measured = measured.get(name).map(Vec::as_slice).unwrap_or_default();
            let seconds: f64 = measured.iter().map(|one| one.seconds).sum();
            let bytes: u64 = measured.iter().map(|one| one.bytes).sum();
            let hours = match (measured.len(), bytes) {
                (0, _) => None,
                (_, 1..) if group.bytes > 0 => Some(seconds / bytes as f64 * group.bytes as f64),
                (count, _) => Some(seconds / count as f64 * group.recordings as f64),
            };
            let hours = hours.map(|seconds| seconds / 3600.0);
            match hours {
                Some(hours) => estimate.audio_hours += hours,
                None => estimate.not_estimated += group.recordings,
            }
            estimate.sampled += measured.len();
            let extension = Extension {
                recordings: group.recordings,
                bytes: (total > 0).then_some(group.bytes),
                sampled: measured.len(),
                audio_hours: hours,
            };
            estimate.by_extension.insert(name.clone(), extension);
        }
        estimate.core_hours = estimate.audio_hours / speed;
        estimate
    }
}

/// Opens one recording; `None` if it cannot be opened, whatever the reason: its job will tell.
async fn measure_one(
    stores: &Stores,
    location: &Location,
    options: DecodeOptions,
) -> Option<Measured> {
    let (store, key) = stores.open(location).ok()?;
    let meta = store.head(&key).await.ok()?;
    let bytes = meta.size;
    let reader = Reader::with_read_ahead(store, meta, Handle::current(), READ_AHEAD);
    let measured = tokio::task::spawn_blocking(move || duration(reader, bytes, &options));
    match measured.await.ok()? {
        Ok(seconds) => Some(Measured { seconds, bytes }),
        Err(error) => {
            tracing::debug!(%location, %error, "cannot estimate the duration");
            None
        }
    }
}

/// Returns the duration that the header states, or else the one that the beginning suggests.
fn duration(reader: Reader, bytes: u64, options: &DecodeOptions) -> Result<f64, audio::Error> {
    let mut decoder = Decoder::open(Box::new(SeekableObject(reader)), options)?;
    if let Some(seconds) = decoder.info().declared_duration {
        return Ok(seconds);
    }
    let mut block = Block::default();
    while decoder.report().duration < DECODED_SECONDS {
        if !decoder.next_block(&mut block)? {
            return Ok(decoder.report().duration);
        }
    }
    let report = decoder.report();
    Ok(report.duration / report.bytes_read.max(1) as f64 * bytes as f64)
}

impl fmt::Display for Estimate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(bytes) = self.bytes {
            writeln!(f, "{:.2} GB in all", bytes as f64 / 1e9)?;
        }
        writeln!(
            f,
            "about {:.1} hours of audio, {:.2} core-hours at {} s of audio per core-second (--speed); \
             estimated from {} recordings of {} kinds",
            self.audio_hours,
            self.core_hours,
            self.audio_seconds_per_core_second,
            self.sampled,
            self.by_extension.len(),
        )?;
        if self.not_estimated > 0 {
            writeln!(
                f,
                "{} recordings are not in the estimate: none of their kind that was tried could be opened",
                self.not_estimated
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stems::Stem;

    fn item(name: &str, size: u64) -> Item {
        let source: Location = format!("s3://b/{name}").parse().unwrap();
        let relative = name.to_owned();
        Item { source, relative, size, modified: None, stem: Stem::None, row: None }
    }

    #[test]
    fn a_sample_is_extended_by_bytes_or_by_number() {
        let mut sample = Sample::default();
        for number in 0..100 {
            sample.add(&item(&format!("x/{number}.wav"), 1000));
        }
        sample.add(&item("a.MP3", 500));
        assert_eq!(sample.extensions["wav"].chosen.len(), SAMPLED_PER_EXTENSION);
        let one = Measured { seconds: 36.0, bytes: 2000 };
        let measured = BTreeMap::from([("wav".to_owned(), vec![one, one])]);
        let estimate = sample.estimate(&measured, 50.0);
        assert_eq!(
            (estimate.bytes, estimate.sampled, estimate.not_estimated),
            (Some(100_500), 2, 1)
        );
        assert!((estimate.audio_hours - 0.5).abs() < 1e-9, "{estimate:?}");
        assert!((estimate.core_hours - 0.01).abs() < 1e-9, "{estimate:?}");
        assert!(estimate.to_string().contains("1 recordings are not in the estimate"));

        let mut rows = Sample::default();
        (0..100).for_each(|number| rows.add(&item(&format!("{number}.wav"), 0)));
        let estimate = rows.estimate(&measured, 50.0);
        assert_eq!(estimate.bytes, None);
        assert!((estimate.audio_hours - 1.0).abs() < 1e-9, "{estimate:?}");
    }

    #[test]
    fn memory_is_bounded_whatever_the_names() {
        let mut sample = Sample::default();
        for number in 0..10_000 {
            sample.add(&item(&format!("a.{number}"), 1));
        }
        assert!(sample.extensions.len() <= MAX_EXTENSIONS + 1);
        let count: u64 = sample.extensions.values().map(|group| group.recordings).sum();
        assert_eq!(count, 10_000);
    }
}
