//! What the jobs are about: recordings, and how each must end because of how it was made.

use std::{collections::BTreeMap, fs, path::Path};

use serde_json::{Value, json};

use crate::support::{
    SENTENCE, SENTENCES, Scriptorium, fixture, read_json, sentence_samples, speech, text_of,
};

/// Limits of the workers' configuration, which some recordings exceed.
pub(super) const MAX_BYTES: usize = 12_000_000;
pub(super) const MAX_SECONDS: usize = 600;

/// A recording of speech, or of silence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Sound {
    /// The sentence in one of the formats.
    Sentence(&'static str),
    /// The sentence on the left, and again on the right.
    TwoSided,
    /// The sentence so often that it takes several windows.
    Long(usize),
    Silence,
}

impl Sound {
    /// Returns the name of a file with this content.
    pub(super) fn name(self) -> String {
        match self {
            Self::Sentence(name) => name.to_owned(),
            Self::TwoSided => "two-sided.wav".to_owned(),
            Self::Long(times) => format!("long-{times}.wav"),
            Self::Silence => "silence.wav".to_owned(),
        }
    }

    pub(super) fn body(self) -> Vec<u8> {
        match self {
            Self::Sentence(name) => fs::read(speech(name)).unwrap(),
            Self::TwoSided => {
                let left = sentence_samples();
                let silence = vec![0; left.len()];
                let right = [&silence[..], &left].concat();
                let left = [&left[..], &silence].concat();
                let frames = left.into_iter().zip(right).flat_map(|(left, right)| [left, right]);
                pcm(2, frames)
            }
            Self::Long(times) => {
                let sentence = sentence_samples();
                let samples = sentence.len() * times;
                pcm(1, sentence.into_iter().cycle().take(samples))
            }
            Self::Silence => pcm(1, std::iter::repeat_n(0, 32_000)),
        }
    }

    fn options(self) -> Value {
        if self == Self::TwoSided { json!({"channels": "split"}) } else { json!({}) }
    }

    fn random(random: &mut fastrand::Rng) -> Self {
        match random.u8(0..10) {
            0..5 => Self::Sentence(SENTENCES[random.usize(0..SENTENCES.len())]),
            5..7 => Self::Silence,
            7 => Self::TwoSided,
            8 => Self::Long(10),
            _ => Self::Long(20),
        }
    }

    fn all() -> impl Iterator<Item = Self> {
        let sentences = SENTENCES.into_iter().map(Self::Sentence);
        sentences.chain([Self::TwoSided, Self::Long(10), Self::Long(20), Self::Silence])
    }
}

/// Something that is wrong with a job. Its message is that of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wrong {
    Text,
    Empty,
    ZeroChannels,
    Truncated,
    NoTrack,
    TooLong,
    TooLarge,
    Missing,
    Denied,
    SourceElsewhere,
    UnknownModel,
    Translation,
    UnknownLanguage,
    Occupied,
    OutputElsewhere,
    NoBucket,
    /// Whoever runs it is killed.
    Deadly,
}

impl Wrong {
    /// Without [`Self::Deadly`].
    pub(super) const ALL: [Self; 16] = [
        Self::Text,
        Self::Empty,
        Self::ZeroChannels,
        Self::Truncated,
        Self::NoTrack,
        Self::TooLong,
        Self::TooLarge,
        Self::Missing,
        Self::Denied,
        Self::SourceElsewhere,
        Self::UnknownModel,
        Self::Translation,
        Self::UnknownLanguage,
        Self::Occupied,
        Self::OutputElsewhere,
        Self::NoBucket,
    ];

    /// Returns the codes of which one must be the reason.
    pub(super) fn codes(self) -> &'static [&'static str] {
        match self {
            Self::Text => &["audio_unrecognized"],
            Self::Empty => &["audio_empty"],
            Self::ZeroChannels => &["audio_corrupt", "audio_unrecognized", "audio_unsupported"],
            Self::Truncated => &["audio_truncated"],
            Self::NoTrack => &["audio_no_track"],
            Self::TooLong => &["audio_too_long"],
            Self::TooLarge => &["source_too_large"],
            Self::Missing => &["source_missing"],
            Self::Denied => &["source_denied"],
            Self::SourceElsewhere => &["source_not_allowed"],
            Self::UnknownModel | Self::Translation => &["model_unavailable"],
            Self::UnknownLanguage => &["option_unsupported"],
            Self::Occupied => &["output_occupied"],
            Self::OutputElsewhere => &["output_not_allowed"],
            Self::NoBucket => &["output_denied"],
            Self::Deadly => &["worker_lost"],
        }
    }

    /// Returns the extension and the content of the recording; `None`: there is none.
    pub(super) fn recording(self) -> (&'static str, Option<Vec<u8>>) {
        let good = || fs::read(speech("sentence.opus")).unwrap();
        match self {
            Self::Text => ("mp3", Some(b"Minutes of the meeting: nobody came.\n".to_vec())),
            Self::Empty => ("wav", Some(Vec::new())),
            Self::ZeroChannels => {
                let mut wav = fs::read(speech("sentence.wav")).unwrap();
                wav[22..24].copy_from_slice(&[0, 0]);
                ("wav", Some(wav))
            }
            Self::Truncated => {
                let flac = fs::read(speech("sentence.flac")).unwrap();
                ("flac", Some(flac[..flac.len() * 6 / 10].to_vec()))
            }
            Self::NoTrack => ("mp4", Some(fs::read(fixture("audio/silent-video.mp4")).unwrap())),
            // Silence in G.711, 8000 bytes per second.
            Self::TooLong => {
                let silence = vec![0xff; 8000 * (MAX_SECONDS + 60)];
                ("wav", Some(wav(7, 8, 8000, 1, &silence)))
            }
            Self::TooLarge => ("wav", Some(vec![0; MAX_BYTES + 1])),
            Self::Missing => ("opus", None),
            Self::Deadly => ("wav", Some(Sound::Long(100).body())),
            _ => ("opus", Some(good())),
        }
    }

    pub(super) fn options(self) -> Value {
        match self {
            Self::UnknownModel => json!({"model": "nonesuch"}),
            Self::Translation => json!({"task": "translate"}),
            Self::UnknownLanguage => json!({"language": "de"}),
            _ => json!({}),
        }
    }

    /// Returns whether a submission of a prefix can have it: with its own recording and the submission's
    /// options.
    pub(super) fn is_of_recording(self) -> bool {
        matches!(
            self,
            Self::Text
                | Self::Empty
                | Self::ZeroChannels
                | Self::Truncated
                | Self::NoTrack
                | Self::TooLong
                | Self::TooLarge
        )
    }

    /// Returns whether a row of a manifest can have it.
    pub(super) fn is_of_row(self) -> bool {
        self.is_of_recording()
            || matches!(
                self,
                Self::Missing | Self::UnknownModel | Self::Translation | Self::UnknownLanguage
            )
    }

    /// Returns whether the failure is recorded in the batch: not where the workers cannot or must not
    /// write.
    pub(super) fn is_recorded(self) -> bool {
        !matches!(self, Self::OutputElsewhere | Self::NoBucket)
    }
}

/// What a job is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject {
    Sound(Sound),
    Wrong(Wrong),
}

impl Subject {
    /// Returns a subject; about a third are wrong.
    pub(super) fn random(random: &mut fastrand::Rng, accept: impl Fn(Wrong) -> bool) -> Self {
        if random.u8(0..100) < 65 {
            return Self::Sound(Sound::random(random));
        }
        let wrong: Vec<_> = Wrong::ALL.into_iter().filter(|wrong| accept(*wrong)).collect();
        Self::Wrong(wrong[random.usize(0..wrong.len())])
    }

    pub(super) fn recording(self) -> (String, Option<Vec<u8>>) {
        match self {
            Self::Sound(sound) => (sound.name(), Some(sound.body())),
            Self::Wrong(wrong) => {
                let (extension, body) = wrong.recording();
                (format!("{wrong:?}.{extension}").to_lowercase(), body)
            }
        }
    }

    pub(super) fn options(self) -> Value {
        match self {
            Self::Sound(sound) => sound.options(),
            Self::Wrong(wrong) => wrong.options(),
        }
    }
}

/// The segments of each recording, as the command `transcribe` finds them.
pub(super) type References = BTreeMap<Sound, Value>;

/// Transcribes all recordings without a queue, a worker or a fault.
pub(super) fn references(scriptorium: &Scriptorium, directory: &Path) -> References {
    let folders = ["mix", "split"].map(|channels| (channels, directory.join(channels)));
    for (_, folder) in &folders {
        fs::create_dir(folder).unwrap();
    }
    let folder_of = |sound: Sound| &folders[usize::from(sound == Sound::TwoSided)].1;
    for sound in Sound::all() {
        fs::write(folder_of(sound).join(sound.name()), sound.body()).unwrap();
    }
    for (channels, folder) in &folders {
        let folder = folder.to_str().unwrap();
        let arguments = ["transcribe", folder, "--out", folder, "--channels", channels];
        scriptorium.run(arguments).expect_code(0);
    }
    let reference = |sound: Sound| {
        let path = folder_of(sound).join(format!("{}.json", sound.name()));
        let transcript = read_json(&path);
        let text = text_of(&transcript);
        match sound {
            Sound::Sentence(_) => assert_eq!(text, SENTENCE),
            Sound::TwoSided => assert_eq!(text, [SENTENCE, SENTENCE].join(" ")),
            Sound::Long(_) => assert!(text.starts_with(SENTENCE), "{text}"),
            Sound::Silence => assert_eq!(text, ""),
        }
        (sound, transcript["segments"].clone())
    };
    Sound::all().map(reference).collect()
}

/// Returns a WAV file with 16-bit samples at 16 kHz.
fn pcm(channels: u16, samples: impl Iterator<Item = i16>) -> Vec<u8> {
    let data: Vec<u8> = samples.flat_map(i16::to_le_bytes).collect();
    wav(1, 16, 16_000, channels, &data)
}

fn wav(format: u16, bits: u16, rate: u32, channels: u16, data: &[u8]) -> Vec<u8> {
    let frame = channels * bits / 8;
    let size = u32::try_from(data.len()).unwrap();
    let mut wav = b"RIFF".to_vec();
    wav.extend((size + 36).to_le_bytes());
    wav.extend(b"WAVEfmt \x10\0\0\0");
    wav.extend(format.to_le_bytes());
    wav.extend(channels.to_le_bytes());
    wav.extend(rate.to_le_bytes());
    wav.extend((rate * u32::from(frame)).to_le_bytes());
    wav.extend(frame.to_le_bytes());
    wav.extend(bits.to_le_bytes());
    wav.extend(b"data");
    wav.extend(size.to_le_bytes());
    wav.extend(data);
    wav
}
