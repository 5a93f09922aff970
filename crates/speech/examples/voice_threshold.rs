//! Measures how well voice prints tell people apart: prints of a few seconds against other speech, of the same
//! person and of others.
//!
//! ```text
//! cargo run --release -p speech --example voice_threshold -- MODELS/campplus FOLDER
//! ```
//!
//! FOLDER has a folder for each person and session, `PERSON@SESSION`, with recordings (16 kHz mono, WAV) in
//! which nobody else speaks and nothing but speech is heard.

#![allow(clippy::print_stdout, reason = "it prints its results")]

use std::{collections::BTreeMap, error::Error, fs, path::Path};

use speech::speakers::{
    SpeakerEncoder,
    voices::{Direction, cosine, halves, window_ranges},
};

const RATE: f64 = 16_000.0;
/// Seconds of speech of the prints, and of the speakers that they are compared with.
const ENROLLED: [f64; 3] = [5.0, 10.0, 30.0];
const TESTED: [f64; 3] = [2.0, 5.0, 10.0];
/// Samples of each kind that one session gives at most, so that long ones do not decide everything.
const SAMPLES: usize = 8;

/// A window of speech: where it is in the session's speech, in seconds, and its embedding.
struct Window {
    start: f64,
    end: f64,
    embedding: Vec<f32>,
}

struct Session {
    person: String,
    name: String,
    seconds: f64,
    windows: Vec<Window>,
}

/// The mean of part of a session.
struct Sample<'a> {
    session: &'a Session,
    start: f64,
    end: f64,
    mean: Vec<f32>,
}

impl Session {
    fn read(encoder: &SpeakerEncoder, folder: &Path) -> Result<Self, Box<dyn Error>> {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let person = name.split('@').next().unwrap_or_default().to_owned();
        let mut session = Self { person, name, seconds: 0.0, windows: Vec::new() };
        let mut files: Vec<_> = fs::read_dir(folder)?.flatten().map(|entry| entry.path()).collect();
        files.sort();
        for file in files {
            let samples: Result<Vec<f32>, _> = hound::WavReader::open(&file)?
                .samples::<i16>()
                .map(|sample| sample.map(|sample| f32::from(sample) / 32768.0))
                .collect();
            let samples = samples?;
            let ranges: Vec<_> = window_ranges(samples.len()).collect();
            let windows: Vec<&[f32]> = ranges.iter().map(|r| &samples[r.clone()]).collect();
            for (range, embedding) in ranges.iter().zip(encoder.embed(&windows)?) {
                let at = |sample: usize| session.seconds + sample as f64 / RATE;
                let (start, end) = (at(range.start), at(range.end));
                session.windows.push(Window { start, end, embedding });
            }
            session.seconds += samples.len() as f64 / RATE;
        }
        Ok(session)
    }

    /// Returns samples of this many seconds, one after the other, spread over the session.
    fn samples(&self, seconds: f64) -> Vec<Sample<'_>> {
        // Short sessions give what they have, if it is nearly enough.
        let count = ((self.seconds + 0.1 * seconds) / seconds).floor() as usize;
        let chosen = count.min(SAMPLES);
        let starts = (0..chosen).map(|i| (i * count / chosen) as f64 * seconds);
        let sample = |start: f64| {
            let end = start + seconds;
            let mut direction = Direction::default();
            for window in self.windows.iter().filter(|w| w.start >= start && w.end <= end) {
                direction.add(&window.embedding, window.end - window.start);
            }
            direction.unit().map(|mean| Sample { session: self, start, end, mean })
        };
        starts.filter_map(sample).collect()
    }
}

/// Cosines of prints and speech, by whose they are.
#[derive(Default)]
struct Cosines {
    same_session: Vec<f32>,
    other_session: Vec<f32>,
    others: Vec<f32>,
    /// Of each speech, the highest with a print of somebody else: one print of each.
    best_of_others: Vec<f32>,
}

fn quantile(values: &mut [f32], share: f64) -> f32 {
    values.sort_by(f32::total_cmp);
    values.get(((values.len() as f64 - 1.0) * share).round() as usize).copied().unwrap_or(f32::NAN)
}

fn percent(values: &[f32], is: impl Fn(f32) -> bool) -> String {
    let count = values.iter().filter(|&&value| is(value)).count();
    if values.is_empty() {
        "-".to_owned()
    } else {
        format!("{:.1}", 100.0 * count as f64 / values.len() as f64)
    }
}

fn measure(sessions: &[Session], enrolled: f64, tested: f64) -> Cosines {
    let mut cosines = Cosines::default();
    let prints: Vec<Sample> =
        sessions.iter().flat_map(|session| session.samples(enrolled)).collect();
    for speech in sessions.iter().flat_map(|session| session.samples(tested)) {
        let mut first: BTreeMap<&str, f32> = BTreeMap::new();
        for print in &prints {
            let cosine = cosine(&print.mean, &speech.mean);
            let is_same_session = print.session.name == speech.session.name;
            if print.session.person != speech.session.person {
                cosines.others.push(cosine);
                first.entry(&print.session.person).or_insert(cosine);
            } else if !is_same_session {
                cosines.other_session.push(cosine);
            } else if print.end <= speech.start || speech.end <= print.start {
                cosines.same_session.push(cosine);
            }
        }
        cosines.best_of_others.extend(first.into_values().max_by(f32::total_cmp));
    }
    cosines
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(model), Some(folder)) = (arguments.next(), arguments.next()) else {
        return Err("arguments: MODEL_DIRECTORY FOLDER".into());
    };
    let encoder = SpeakerEncoder::open(Path::new(&model), "campplus")?;
    let mut folders: Vec<_> = fs::read_dir(folder)?.flatten().map(|entry| entry.path()).collect();
    folders.sort();
    let sessions = folders
        .iter()
        .map(|folder| Session::read(&encoder, folder))
        .collect::<Result<Vec<_>, _>>()?;
    let people: std::collections::BTreeSet<&str> =
        sessions.iter().map(|s| s.person.as_str()).collect();
    println!("{} people in {} sessions\n", people.len(), sessions.len());

    println!(
        "enrolled tested | same session: n, 1 %, 10 %, 50 % | another session: n, 1 %, 10 %, 50 % | others: n, 50 %, 99 %, max"
    );
    for enrolled in ENROLLED {
        for tested in TESTED {
            let mut c = measure(&sessions, enrolled, tested);
            let low = |values: &mut Vec<f32>| {
                let q = [0.01, 0.1, 0.5].map(|share| format!("{:.2}", quantile(values, share)));
                format!("{} {}", values.len(), q.join(" "))
            };
            let high =
                [0.5, 0.99, 1.0].map(|share| format!("{:.2}", quantile(&mut c.others, share)));
            println!(
                "{enrolled:>4} s {tested:>4} s | {} | {} | {} {}",
                low(&mut c.same_session),
                low(&mut c.other_session),
                c.others.len(),
                high.join(" ")
            );
        }
    }
    println!(
        "\nof all seconds: % of own voices that are refused in the same session / in another, % of pairs with others that are accepted, % of speakers that get a name of another, if each other person has one print"
    );
    for (enrolled, tested) in [(5.0, 2.0), (5.0, 5.0), (10.0, 5.0), (10.0, 10.0), (30.0, 10.0)] {
        let c = measure(&sessions, enrolled, tested);
        println!("enrolled {enrolled} s, tested {tested} s");
        for step in 0..=14 {
            let threshold = 0.3 + 0.05 * step as f32;
            println!(
                "  {threshold:.2}: {} / {} | {} | {}",
                percent(&c.same_session, |value| value < threshold),
                percent(&c.other_session, |value| value < threshold),
                percent(&c.others, |value| value >= threshold),
                percent(&c.best_of_others, |value| value >= threshold),
            );
        }
    }
    println!(
        "\ncosine of the halves of 5, 10 and 30 s: of one person, and of two people with half of it each"
    );
    for seconds in [5.0, 10.0, 30.0] {
        let all = |start: f64, seconds: f64, session: &Session| -> Vec<(Vec<f32>, f64)> {
            let windows =
                session.windows.iter().filter(|w| w.start >= start && w.end <= start + seconds);
            windows.map(|w| (w.embedding.clone(), w.end - w.start)).collect()
        };
        let of = |windows: Vec<(Vec<f32>, f64)>| {
            let (embeddings, seconds): (Vec<_>, Vec<_>) = windows.into_iter().unzip();
            halves(&embeddings, &seconds)
        };
        let (mut one, mut two) = (Vec::new(), Vec::new());
        let (mut none, mut missed) = (0, 0);
        for sample in sessions.iter().flat_map(|session| session.samples(seconds)) {
            match of(all(sample.start, seconds, sample.session)) {
                Some(value) => one.push(value),
                None => none += 1,
            }
        }
        let samples: Vec<Sample> = sessions.iter().flat_map(|s| s.samples(seconds / 2.0)).collect();
        for (index, a) in samples.iter().enumerate() {
            for b in samples[index + 1..].iter().filter(|b| b.session.person != a.session.person) {
                let windows = [a, b].map(|s| all(s.start, seconds / 2.0, s.session));
                match of(windows.concat()) {
                    Some(value) => two.push(value),
                    None => missed += 1,
                }
            }
        }
        let q = |values: &mut Vec<f32>| {
            [0.0, 0.01, 0.05, 0.5, 0.95, 0.99, 1.0]
                .map(|share| format!("{:.2}", quantile(values, share)))
                .join(" ")
        };
        println!(
            "{seconds:>4} s: one {} ({none} undivided): {} | two {} ({missed} undivided): {}",
            one.len(),
            q(&mut one),
            two.len(),
            q(&mut two)
        );
    }
    Ok(())
}
