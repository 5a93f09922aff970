use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use job::{Failure, FailureCode};
use location::Location;
use speech::pipeline::{self, Control, Outcome, Pipeline};
use store::{
    Capabilities, Condition, ErrorKind, ObjectMeta, PutOptions, ReadAhead, Reader, Store, Stores,
};
use tokio::runtime::Handle;
use transcript::{Format, Processing, SCHEMA_VERSION, Source, Transcript};

use crate::{
    failure::{audio_failure, failure, failure_of, output_failure, source_failure},
    now,
};

/// Metadata of a transcript object, by which it is recognized as up to date without reading it.
const META_FINGERPRINT: &str = "scriptorium-fingerprint";
const META_SOURCE_ETAG: &str = "scriptorium-source-etag";
/// Bytes read ahead, twice: minutes of compressed speech, and little for each job in flight.
const READ_AHEAD: u64 = 2 << 20;
/// A transcript JSON larger than this is not ours.
const MAX_TRANSCRIPT_BYTES: u64 = 256 << 20;

/// Takes recordings from store to store: reads one, runs the pipeline, writes the transcript. Shared
/// by all jobs in flight.
pub struct Transcriber {
    stores: Arc<Stores>,
    /// By name of the preset.
    pipelines: BTreeMap<String, Arc<Pipeline>>,
    default_preset: String,
    decoding: audio::Options,
    capabilities: Mutex<HashMap<String, Capabilities>>,
}

/// One recording to transcribe.
#[derive(Debug, Clone)]
pub struct Assignment {
    pub source: Location,
    /// Without the format's extension; `None` writes nothing.
    pub output: Option<Location>,
    /// Renderings beside the JSON, which is always written.
    pub formats: BTreeSet<Format>,
    /// Name of a loaded preset, or of a recognizer's model that one preset has; `None`: the default.
    pub preset: Option<String>,
    pub channels: Option<audio::ChannelMode>,
    pub options: pipeline::Options,
}

/// An assignment done.
#[derive(Debug, Clone)]
pub struct Transcription {
    pub transcript: Transcript,
    pub completed: Completed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Completed {
    Transcribed,
    /// The transcript stood already: same recording, same fingerprint.
    UpToDate,
}

/// What stands where the transcript goes.
enum Standing {
    Nothing,
    UpToDate(Box<Transcript>),
    /// Another recording, or another pipeline; with its ETag.
    Stale(String),
}

impl Transcriber {
    /// `pipelines` by name of the preset; the first is the default.
    pub fn new(
        stores: Arc<Stores>,
        pipelines: Vec<(String, Pipeline)>,
        decoding: audio::Options,
    ) -> Self {
        let default_preset = pipelines.first().map_or_else(String::new, |(name, _)| name.clone());
        let pipelines =
            pipelines.into_iter().map(|(name, pipeline)| (name, Arc::new(pipeline))).collect();
        let capabilities = Mutex::default();
        Self { stores, pipelines, default_preset, decoding, capabilities }
    }

    pub fn stores(&self) -> &Stores {
        &self.stores
    }

    /// Does one assignment. Every error is about this recording only.
    pub async fn transcribe(
        &self,
        assignment: &Assignment,
        control: &Arc<Control>,
    ) -> Result<Transcription, Failure> {
        let uri = assignment.source.to_string();
        let pipeline = self.pipeline(assignment.preset.as_deref(), &uri)?;
        let options = &assignment.options;
        pipeline.check(options).map_err(|error| failure_of(&error, &uri))?;
        let decoding = audio::Options {
            channels: assignment.channels.unwrap_or(self.decoding.channels),
            ..self.decoding.clone()
        };
        let fingerprint = pipeline.fingerprint(&decoding, options);

        let open = |location: &Location| self.stores.open(location);
        let (source, key) = open(&assignment.source).map_err(|e| source_failure(&e, &uri))?;
        let meta = source.head(&key).await.map_err(|e| source_failure(&e, &uri))?;
        self.check_size(&meta, &uri)?;

        // Begins when it is awaited: not where the transcript stands already.
        let transcribed = async {
            let outcome = run(&pipeline, source, &meta, decoding, options, control, &uri).await?;
            Ok(describe(&uri, &meta, &pipeline, fingerprint.clone(), outcome))
        };
        let Some(base) = &assignment.output else {
            let transcript = transcribed.await?;
            return Ok(Transcription { transcript, completed: Completed::Transcribed });
        };
        let (target, base_key) = open(base).map_err(|e| output_failure(&e, &uri))?;
        let output = Output { store: target, base: base_key, uri: &uri };

        let standing = output.standing(&fingerprint, &meta.etag).await?;
        let stale = match standing {
            Standing::UpToDate(transcript) => {
                output.render(&transcript, &assignment.formats).await?;
                return Ok(Transcription {
                    transcript: *transcript,
                    completed: Completed::UpToDate,
                });
            }
            Standing::Stale(etag) => Some(etag),
            Standing::Nothing => None,
        };

        let transcript = transcribed.await?;
        let capabilities = self.capabilities(base, &output).await?;
        let condition = match stale {
            None if capabilities.if_absent => Condition::IfAbsent,
            Some(etag) if capabilities.if_match => Condition::IfMatch(etag),
            _ => Condition::Always,
        };
        let completed = output.write(&transcript, &assignment.formats, condition).await?;
        Ok(Transcription { transcript, completed })
    }

    /// The pipeline of a preset, or the only one around the recognizer's model of this name.
    fn pipeline(&self, name: Option<&str>, uri: &str) -> Result<Arc<Pipeline>, Failure> {
        let name = name.unwrap_or(&self.default_preset);
        if let Some(pipeline) = self.pipelines.get(name) {
            return Ok(Arc::clone(pipeline));
        }
        let mut around =
            self.pipelines.iter().filter(|(_, pipeline)| pipeline.recognizer().name == name);
        let list = |names: Vec<&String>| {
            names.into_iter().map(String::as_str).collect::<Vec<_>>().join(", ")
        };
        let message = match (around.next(), around.next()) {
            (Some((_, pipeline)), None) => return Ok(Arc::clone(pipeline)),
            (Some((first, _)), Some((second, _))) => {
                let presets = [first, second].into_iter().chain(around.map(|(preset, _)| preset));
                let presets = list(presets.collect());
                format!("model `{name}` is in several presets: name one of them: {presets}")
            }
            (None, _) => {
                let loaded = list(self.pipelines.keys().collect());
                format!("preset `{name}` is not loaded here; loaded: {loaded}")
            }
        };
        Err(failure(FailureCode::ModelUnavailable, uri, message))
    }

    fn check_size(&self, meta: &ObjectMeta, uri: &str) -> Result<(), Failure> {
        let limit = self.decoding.limits.max_bytes;
        if meta.size == 0 {
            return Err(audio_failure(&audio::Error::Empty, uri));
        }
        if meta.size > limit {
            let message = format!("the recording has {} bytes, the limit is {limit}", meta.size);
            return Err(failure(FailureCode::SourceTooLarge, uri, message));
        }
        Ok(())
    }

    /// What the store of `location` honours, tried out once per bucket.
    async fn capabilities(
        &self,
        location: &Location,
        output: &Output<'_>,
    ) -> Result<Capabilities, Failure> {
        let Location::S3 { bucket, .. } = location else {
            return Ok(Capabilities { if_absent: true, if_match: true });
        };
        let known = |map: &Mutex<HashMap<String, Capabilities>>| {
            map.lock().unwrap_or_else(PoisonError::into_inner).get(bucket).copied()
        };
        if let Some(capabilities) = known(&self.capabilities) {
            return Ok(capabilities);
        }
        let probed = output.store.probe(&output.probe_prefix()).await;
        let capabilities = probed.map_err(|e| output_failure(&e, output.uri))?;
        self.remember(bucket, capabilities);
        Ok(capabilities)
    }

    /// Probes the store of `location` ahead of the first job, and keeps what it honours.
    pub async fn probe(&self, location: &Location) -> Result<Capabilities, store::Error> {
        let (store, key) = self.stores.open(location)?;
        let capabilities = store.probe(&key).await?;
        if let Location::S3 { bucket, .. } = location {
            self.remember(bucket, capabilities);
        }
        Ok(capabilities)
    }

    fn remember(&self, bucket: &str, capabilities: Capabilities) {
        if !capabilities.if_absent {
            tracing::warn!(
                bucket,
                "the store ignores If-None-Match: two workers that hold the same job may both \
                 write its transcript (the same text; the last one stays)"
            );
        }
        let mut known = self.capabilities.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(bucket.to_owned(), capabilities);
    }
}

/// Decodes and recognizes on a thread that may block.
async fn run(
    pipeline: &Arc<Pipeline>,
    source: Arc<dyn Store>,
    meta: &ObjectMeta,
    decoding: audio::Options,
    options: &pipeline::Options,
    control: &Arc<Control>,
    uri: &str,
) -> Result<Outcome, Failure> {
    let (pipeline, options, control) = (Arc::clone(pipeline), options.clone(), Arc::clone(control));
    let read_ahead = ReadAhead { max_bytes: READ_AHEAD, ..ReadAhead::default() };
    let reader = Reader::with_read_ahead(source, meta.clone(), Handle::current(), read_ahead);
    let span = tracing::Span::current();
    let work = tokio::task::spawn_blocking(move || {
        let _entered = span.enter();
        let decoder = audio::Decoder::open(Box::new(SeekableObject(reader)), &decoding)?;
        pipeline.transcribe(decoder, &options, &control)
    });
    match work.await {
        Ok(result) => result.map_err(|error| failure_of(&error, uri)),
        Err(panic) => Err(failure(FailureCode::Internal, uri, panic)),
    }
}

/// An object in a store, as the decoders see it.
struct SeekableObject(Reader);

impl std::io::Read for SeekableObject {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(buffer)
    }
}

impl std::io::Seek for SeekableObject {
    fn seek(&mut self, position: std::io::SeekFrom) -> std::io::Result<u64> {
        self.0.seek(position)
    }
}

impl audio::MediaSource for SeekableObject {
    fn is_seekable(&self) -> bool {
        true
    }

    fn byte_len(&self) -> Option<u64> {
        Some(self.0.meta().size)
    }
}

fn describe(
    uri: &str,
    meta: &ObjectMeta,
    pipeline: &Pipeline,
    fingerprint: String,
    outcome: Outcome,
) -> Transcript {
    let recognizer = pipeline.recognizer();
    let cpu_seconds = outcome.stages.iter().map(|stage| stage.seconds).sum::<f64>();
    let duration = outcome.report.duration;
    Transcript {
        version: SCHEMA_VERSION,
        source: Source {
            uri: uri.to_owned(),
            size: meta.size,
            etag: meta.etag.clone(),
            duration,
            channels: u32::try_from(outcome.info.channels).unwrap_or(u32::MAX),
            sample_rate: outcome.info.sample_rate,
            container: outcome.info.container,
            codec: outcome.info.codec,
            warnings: [outcome.report.warnings, outcome.warnings].concat(),
        },
        pipeline: transcript::Pipeline {
            version: concat!("scriptorium ", env!("CARGO_PKG_VERSION")).to_owned(),
            recognizer: recognizer.name.clone(),
            vad: pipeline.vad_name().to_owned(),
            punctuation: outcome.punctuation,
            speakers: outcome.speakers,
            precision: recognizer.precision.to_owned(),
            fingerprint,
        },
        segments: outcome.segments,
        processing: Processing {
            finished_at: now(),
            wall_seconds: outcome.wall_seconds,
            cpu_seconds,
            audio_seconds_per_core_second: if cpu_seconds > 0.0 {
                duration / cpu_seconds
            } else {
                0.0
            },
            stages: outcome.stages,
        },
    }
}

/// The place of one transcript and its renderings.
struct Output<'a> {
    store: Arc<dyn Store>,
    /// Key without extension.
    base: String,
    /// The recording, for failures.
    uri: &'a str,
}

impl Output<'_> {
    fn key(&self, format: Format) -> String {
        format!("{}.{}", self.base, format.extension())
    }

    fn probe_prefix(&self) -> String {
        self.base.rsplit_once('/').map_or_else(String::new, |(parent, _)| format!("{parent}/"))
    }

    fn failed(&self, error: &store::Error) -> Failure {
        output_failure(error, self.uri)
    }

    /// Looks at what is there. Metadata tells most of the time; where the store keeps none, or the
    /// transcript is needed anyway, the JSON does.
    async fn standing(&self, fingerprint: &str, etag: &str) -> Result<Standing, Failure> {
        let key = self.key(Format::Json);
        let meta = match self.store.head(&key).await {
            Ok(meta) => meta,
            Err(error) if error.kind == ErrorKind::NotFound => return Ok(Standing::Nothing),
            Err(error) => return Err(self.failed(&error)),
        };
        let field = |name: &str| meta.metadata.get(name).map(String::as_str);
        let differs = |name: &str, wanted: &str| field(name).is_some_and(|found| found != wanted);
        if differs(META_FINGERPRINT, fingerprint) || differs(META_SOURCE_ETAG, etag) {
            return Ok(Standing::Stale(meta.etag));
        }
        let (meta, body) = match self.store.get(&key, MAX_TRANSCRIPT_BYTES).await {
            Ok(found) => found,
            Err(error) if error.kind == ErrorKind::NotFound => return Ok(Standing::Nothing),
            Err(error) if error.kind == ErrorKind::TooLarge => {
                return Ok(Standing::Stale(meta.etag));
            }
            Err(error) => return Err(self.failed(&error)),
        };
        Ok(match Transcript::from_json(&body) {
            Ok(transcript)
                if transcript.pipeline.fingerprint == fingerprint
                    && transcript.source.etag == etag =>
            {
                Standing::UpToDate(Box::new(transcript))
            }
            _ => Standing::Stale(meta.etag),
        })
    }

    /// Sees to it that the renderings beside an up-to-date transcript are its own: some were not
    /// asked for when it was made, and may be missing, or left over from an earlier transcript.
    async fn render(
        &self,
        transcript: &Transcript,
        formats: &BTreeSet<Format>,
    ) -> Result<(), Failure> {
        for &format in formats.iter().filter(|&&format| format != Format::Json) {
            match self.store.get(&self.key(format), MAX_TRANSCRIPT_BYTES).await {
                Ok((_, body)) if body == transcript.render(format).as_bytes() => continue,
                Ok(_) => {}
                Err(error) if matches!(error.kind, ErrorKind::NotFound | ErrorKind::TooLarge) => {}
                Err(error) => return Err(self.failed(&error)),
            }
            self.put(transcript, format, Condition::Always).await.map_err(|e| self.failed(&e))?;
        }
        Ok(())
    }

    /// Writes the renderings, and last the JSON: once it stands, the job is done.
    async fn write(
        &self,
        transcript: &Transcript,
        formats: &BTreeSet<Format>,
        condition: Condition,
    ) -> Result<Completed, Failure> {
        for &format in formats.iter().filter(|&&format| format != Format::Json) {
            self.put(transcript, format, Condition::Always).await.map_err(|e| self.failed(&e))?;
        }
        match self.put(transcript, Format::Json, condition).await {
            Ok(()) => Ok(Completed::Transcribed),
            Err(error) if error.kind == ErrorKind::Precondition => {
                // Somebody else wrote while we worked: fine if it is the same transcript.
                let (fingerprint, etag) =
                    (&transcript.pipeline.fingerprint, &transcript.source.etag);
                match self.standing(fingerprint, etag).await? {
                    Standing::UpToDate(_) => Ok(Completed::UpToDate),
                    _ => {
                        let message = format!("{error:#}");
                        Err(failure(FailureCode::OutputUnavailable, self.uri, message))
                    }
                }
            }
            Err(error) => Err(self.failed(&error)),
        }
    }

    async fn put(
        &self,
        transcript: &Transcript,
        format: Format,
        condition: Condition,
    ) -> Result<(), store::Error> {
        let metadata = BTreeMap::from([
            (META_FINGERPRINT.to_owned(), transcript.pipeline.fingerprint.clone()),
            (META_SOURCE_ETAG.to_owned(), transcript.source.etag.clone()),
        ]);
        let options = PutOptions { condition, content_type: Some(format.content_type()), metadata };
        let body = Bytes::from(transcript.render(format));
        self.store.put(&self.key(format), body, options).await.map(drop)
    }
}
