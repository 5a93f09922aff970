//! The jobs of a run: what each is about, how it gets into the queue, and how it must end.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::recordings::{Subject, Wrong};

/// The parts of the bucket.
pub(super) struct Places {
    pub(super) bucket: String,
    /// A bucket that the workers may name and not read.
    pub(super) locked: String,
}

impl Places {
    pub(super) fn uri(&self, key: &str) -> String {
        format!("s3://{}/{key}", self.bucket)
    }
}

/// How jobs get into the queue. Each has a batch of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Route {
    /// `submit` of a prefix.
    Prefix,
    /// `submit --manifest`.
    Manifest,
    /// Messages that this test publishes.
    Messages,
}

impl Route {
    pub(super) const ALL: [Self; 3] = [Self::Prefix, Self::Manifest, Self::Messages];

    /// Returns the folder of the transcripts.
    pub(super) fn folder(self) -> &'static str {
        match self {
            Self::Prefix => "out/prefix",
            Self::Manifest => "out/manifest",
            Self::Messages => "out/messages",
        }
    }
}

/// A job.
#[derive(Debug, Clone)]
pub(super) struct Planned {
    pub(super) subject: Subject,
    pub(super) route: Route,
    /// Queue of the message, after the prefix of all queues.
    pub(super) queue: &'static str,
    pub(super) source: String,
    pub(super) output: String,
    pub(super) options: Value,
    /// Formats besides JSON.
    pub(super) formats: Vec<&'static str>,
    /// Further copies of its message, published with the first.
    pub(super) copies: usize,
}

impl Planned {
    /// Returns the wrong thing about it.
    pub(super) fn wrong(&self) -> Option<Wrong> {
        match self.subject {
            Subject::Sound(_) => None,
            Subject::Wrong(wrong) => Some(wrong),
        }
    }

    pub(super) fn is_recorded(&self) -> bool {
        self.wrong().is_none_or(Wrong::is_recorded)
    }

    /// Returns its id, as docs/jobs.md defines it.
    pub(super) fn id(&self, batch: &str) -> String {
        let text = [batch, &self.source, &self.output].join("\0");
        hex::encode(Sha256::digest(text))[..32].to_owned()
    }

    /// Returns the prefix of the records of its batch.
    pub(super) fn records(&self, places: &Places, batch: &str) -> String {
        let folder = match self.wrong() {
            // Records are below the same prefix as the output.
            Some(Wrong::OutputElsewhere | Wrong::NoBucket) => {
                let (folder, _) = self.output.rsplit_once('/').unwrap();
                folder.to_owned()
            }
            _ => places.uri(self.route.folder()),
        };
        format!("{folder}/.scriptorium/{batch}")
    }

    /// Returns its message, as docs/jobs.md defines it.
    pub(super) fn message(&self, places: &Places, batch: &str) -> Value {
        json!({
            "version": 1,
            "id": self.id(batch),
            "batch": batch,
            "source": self.source,
            "output": self.output,
            "records": self.records(places, batch),
            "options": self.options,
        })
    }
}

/// Bodies of messages that are no jobs.
pub(super) fn no_jobs(planned: &Value) -> Vec<String> {
    let mut newer = planned.clone();
    newer["version"] = 9.into();
    let mut unknown = planned.clone();
    unknown["colour"] = "blue".into();
    let mut other = planned.clone();
    other["id"] = "not an id".into();
    let mut large = planned.clone();
    large["options"]["prompt"] = "x".repeat(70_000).into();
    vec![
        "not json".to_owned(),
        String::new(),
        newer.to_string(),
        unknown.to_string(),
        other.to_string(),
        large.to_string(),
    ]
}

/// An object that there is before the jobs are published.
pub(super) struct Upload {
    pub(super) bucket: String,
    pub(super) key: String,
    pub(super) body: Vec<u8>,
}

/// Plans `count` jobs, the first of them with everything that can be wrong.
pub(super) fn plan(
    random: &mut fastrand::Rng,
    places: &Places,
    count: usize,
) -> (Vec<Planned>, Vec<Upload>) {
    let prefix_queue = ["jobs", "jobs.urgent"][random.usize(0..2)];
    let (mut jobs, mut uploads) = (Vec::new(), Vec::new());
    let mut all_wrong = Wrong::ALL.into_iter().chain([Wrong::Deadly]);
    for number in 0..count {
        let first = all_wrong.next();
        let route = match first {
            Some(_) => Route::Messages,
            None => Route::ALL[random.usize(0..3)],
        };
        let accept = |wrong: Wrong| match route {
            Route::Prefix => wrong.is_of_recording(),
            Route::Manifest => wrong.is_of_row(),
            Route::Messages => true,
        };
        let subject = match first {
            Some(wrong) => Subject::Wrong(wrong),
            None => Subject::random(random, accept),
        };
        let subject = match (subject, route) {
            // The prefix has one set of options for all.
            (Subject::Sound(_), Route::Prefix) if subject.options() != json!({}) => {
                Subject::Sound(super::recordings::Sound::Silence)
            }
            _ => subject,
        };
        let queue = match route {
            Route::Prefix => prefix_queue,
            Route::Manifest => "jobs.bulk",
            Route::Messages => ["jobs", "jobs.urgent", "jobs.bulk"][random.usize(0..3)],
        };
        let (job, upload) = planned(random, places, number, subject, route, queue);
        uploads.extend(upload);
        jobs.push(job);
    }
    (jobs, uploads)
}

fn planned(
    random: &mut fastrand::Rng,
    places: &Places,
    number: usize,
    subject: Subject,
    route: Route,
    queue: &'static str,
) -> (Planned, Vec<Upload>) {
    let (name, body) = subject.recording();
    let name = format!("{number:03}-{name}");
    let wrong = if let Subject::Wrong(wrong) = subject { Some(wrong) } else { None };
    let (bucket, folder) = match (wrong, route) {
        (Some(Wrong::Denied), _) => (&places.locked, "in"),
        (Some(Wrong::SourceElsewhere), _) => (&places.bucket, "private"),
        (_, Route::Prefix) => (&places.bucket, "in/prefix"),
        (_, Route::Manifest) => (&places.bucket, "in/manifest"),
        (_, Route::Messages) => (&places.bucket, "in/messages"),
    };
    let key = format!("{folder}/{name}");
    let output = match wrong {
        Some(Wrong::OutputElsewhere) => places.uri(&format!("elsewhere/{name}")),
        Some(Wrong::NoBucket) => format!("s3://no-bucket-of-{}/{name}", places.bucket),
        _ => places.uri(&format!("{}/{name}", route.folder())),
    };
    let mut options = subject.options();
    let formats = match route {
        Route::Prefix => vec!["srt"],
        Route::Manifest | Route::Messages if random.u8(0..3) == 0 => vec!["vtt", "txt"],
        Route::Manifest | Route::Messages => Vec::new(),
    };
    if !formats.is_empty() {
        options["formats"] = formats.clone().into();
    }
    let copies = match random.u8(0..10) {
        0..7 => 0,
        7..9 => 1,
        _ => 2,
    };
    let source = format!("s3://{bucket}/{key}");
    let upload = |bucket: &String, key, body| Upload { bucket: bucket.clone(), key, body };
    let mut uploads: Vec<_> = body.map(|body| upload(bucket, key, body)).into_iter().collect();
    if wrong == Some(Wrong::Occupied) {
        let key = format!("{}/{name}.json", route.folder());
        uploads.push(upload(&places.bucket, key, b"A diary.".to_vec()));
    }
    let job = Planned { subject, route, queue, source, output, options, formats, copies };
    // Each of these is a failure of its message alone.
    let copies = if job.is_recorded() { job.copies } else { 0 };
    (Planned { copies, ..job }, uploads)
}
