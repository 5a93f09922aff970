//! Configuration comes in layers: defaults < file < environment < flags.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fmt::Write,
    path::{Path, PathBuf},
};

use anyhow::Context;
use config::{ConfigError, File, FileFormat, Map, Source, Value, ValueKind};

use super::Config;
use crate::{
    UsageError,
    args::{Arguments, Command, ModelArgs},
};

/// `SCRIPTORIUM__SECTION__KEY`
const PREFIX: &str = "SCRIPTORIUM__";
const DEFAULT: &str = "default";
const FLAG: &str = "flag";

/// The effective configuration and where each value comes from.
#[derive(Debug)]
pub(crate) struct Layered {
    pub(crate) config: Config,
    /// By dotted key, in order: the value as text, secrets hidden, and its origin.
    pub(crate) values: BTreeMap<String, (serde_json::Value, String)>,
}

/// Reads all layers. Every error is a [`UsageError`] that names key and origin.
pub(crate) fn load(arguments: &Arguments) -> anyhow::Result<Layered> {
    let file = file_of(arguments)?;
    environment(std::env::vars_os())
        .and_then(|variables| {
            let flags = flags_of(&arguments.command);
            load_from(file.as_deref(), variables.into_iter(), &flags)
        })
        .map_err(|error| UsageError(format!("configuration: {error:#}")).into())
}

/// The variables that are ours. What others put into the environment need not be text.
fn environment(
    variables: impl Iterator<Item = (OsString, OsString)>,
) -> anyhow::Result<Vec<(String, String)>> {
    variables
        .filter(|(name, _)| name.as_encoded_bytes().starts_with(PREFIX.as_bytes()))
        .map(|(name, value)| {
            let wrong = |what: &str| {
                anyhow::anyhow!("environment variable {}: its {what} is not UTF-8", name.display())
            };
            let text = value.to_str().ok_or_else(|| wrong("value"))?.to_owned();
            Ok((name.to_str().ok_or_else(|| wrong("name"))?.to_owned(), text))
        })
        .collect()
}

fn load_from(
    file: Option<&Path>,
    environment: impl Iterator<Item = (String, String)>,
    flags: &[(&str, Option<Value>)],
) -> anyhow::Result<Layered> {
    let known = known_keys()?;
    let defaults = config::Config::try_from(&Config::default())?;
    let mut builder = config::Config::builder().add_source(defaults);
    if let Some(path) = file {
        builder = builder.add_source(File::from(path).format(FileFormat::Toml));
    }
    builder = builder.add_source(EnvironmentLayer::new(environment, &known));
    for (key, value) in flags {
        builder = builder.set_override_option(*key, value.clone())?;
    }
    let merged = builder.build()?;

    let found = flatten(&merged.collect()?);
    let flagged = |key: &str| flags.iter().any(|(flag, value)| *flag == key && value.is_some());
    let mut values: BTreeMap<_, _> = known
        .iter()
        .map(|(key, default)| (key.clone(), (default.clone(), DEFAULT.to_owned())))
        .collect();
    for (key, value) in &found {
        let origin = if flagged(key) { FLAG } else { value.origin().unwrap_or(DEFAULT) };
        if !known.contains_key(key) {
            anyhow::bail!("unknown key `{key}` ({origin}){}", suggestion(key, &known));
        }
        values.insert(key.clone(), (shown(key, value), origin.to_owned()));
    }
    let config = merged.try_deserialize::<Config>()?;
    Ok(Layered { config, values })
}

/// The file named on the command line, which must exist, or the first default one that does.
fn file_of(arguments: &Arguments) -> anyhow::Result<Option<PathBuf>> {
    if let Some(path) = &arguments.config {
        std::fs::metadata(path)
            .with_context(|| format!("configuration file {}", path.display()))
            .map_err(|error| UsageError(format!("{error:#}")))?;
        return Ok(Some(path.clone()));
    }
    let user = super::home_directory("XDG_CONFIG_HOME", ".config").join("config.toml");
    let candidates = [user, PathBuf::from("/etc/scriptorium/config.toml")];
    Ok(candidates.into_iter().find(|path| path.is_file()))
}

fn flags_of(command: &Command) -> Vec<(&'static str, Option<Value>)> {
    let threads = |threads: Option<usize>| threads.map(|n| Value::from(n as u64));
    let pin = |pin: bool| ("compute.pin", pin.then(|| Value::from(true)));
    let text = |text: &Option<String>| text.clone().map(Value::from);
    let models = |args: &ModelArgs| {
        [
            ("models.recognizer", text(&args.model)),
            ("models.punctuation", text(&args.punctuation_model)),
            ("models.speakers", text(&args.speaker_model)),
            ("recognizer.precision", text(&args.precision)),
        ]
    };
    match command {
        Command::Transcribe(args) => [
            ("compute.threads", threads(args.threads)),
            pin(args.pin),
            ("audio.allow_truncated", args.allow_truncated.then(|| Value::from(true))),
        ]
        .into_iter()
        .chain(models(&args.models))
        .collect(),
        Command::Worker(args) => {
            let threads = ("compute.threads", threads(args.threads));
            [threads, pin(args.pin)].into_iter().chain(models(&args.models)).collect()
        }
        Command::Bench(args) => {
            std::iter::once(pin(args.pin)).chain(models(&args.models)).collect()
        }
        _ => Vec::new(),
    }
}

/// The environment as a layer. Values are strings, which the types of the configuration parse;
/// where the default is a list, they are split at commas.
#[derive(Debug, Clone)]
struct EnvironmentLayer {
    values: Map<String, Value>,
}

impl EnvironmentLayer {
    fn new(
        variables: impl Iterator<Item = (String, String)>,
        known: &BTreeMap<String, serde_json::Value>,
    ) -> Self {
        let mut values = Map::new();
        for (name, text) in variables {
            let Some(rest) = name.strip_prefix(PREFIX) else { continue };
            let key = rest.to_lowercase().replace("__", ".");
            let origin = format!("environment variable {name}");
            let is_list = known.get(&key).is_some_and(serde_json::Value::is_array);
            let kind = if is_list {
                let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
                ValueKind::Array(items.map(|item| Value::new(Some(&origin), item)).collect())
            } else {
                ValueKind::String(text)
            };
            values.insert(key, Value::new(Some(&origin), kind));
        }
        Self { values }
    }
}

impl Source for EnvironmentLayer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        Ok(self.values.clone())
    }
}

/// Every key there is, with its default: also what is unset or an empty list, which the layer of
/// defaults leaves out.
fn known_keys() -> anyhow::Result<BTreeMap<String, serde_json::Value>> {
    fn walk(key: String, value: serde_json::Value, keys: &mut BTreeMap<String, serde_json::Value>) {
        match value {
            serde_json::Value::Object(fields) => {
                for (name, field) in fields {
                    let dot = if key.is_empty() { "" } else { "." };
                    walk(format!("{key}{dot}{name}"), field, keys);
                }
            }
            leaf => drop(keys.insert(key, leaf)),
        }
    }
    let mut keys = BTreeMap::new();
    walk(String::new(), serde_json::to_value(Config::default())?, &mut keys);
    Ok(keys)
}

/// Leaves of the tree by dotted key.
fn flatten(tree: &Map<String, Value>) -> BTreeMap<String, Value> {
    fn walk(prefix: &str, tree: &Map<String, Value>, leaves: &mut BTreeMap<String, Value>) {
        for (name, value) in tree {
            let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
            match &value.kind {
                ValueKind::Table(inner) => walk(&key, inner, leaves),
                _ => drop(leaves.insert(key, value.clone())),
            }
        }
    }
    let mut leaves = BTreeMap::new();
    walk("", tree, &mut leaves);
    leaves
}

fn suggestion(key: &str, known: &BTreeMap<String, serde_json::Value>) -> String {
    let section = key.rsplit_once('.').map_or("", |(section, _)| section);
    let mut siblings = known
        .keys()
        .filter(|k| k.rsplit_once('.').map_or("", |(s, _)| s) == section)
        .map(|k| k.rsplit_once('.').map_or(k.as_str(), |(_, name)| name))
        .collect::<Vec<_>>();
    siblings.sort_unstable();
    let mut text = String::new();
    if siblings.is_empty() {
        let sections =
            known.keys().filter_map(|k| k.split_once('.')).map(|(s, _)| s).collect::<Vec<_>>();
        let mut sections = sections;
        sections.dedup();
        let _ = write!(text, "; sections are {}", sections.join(", "));
    } else {
        let _ = write!(text, "; `{section}` has {}", siblings.join(", "));
    }
    text
}

/// A value as it may be shown: passwords hidden.
fn shown(key: &str, value: &Value) -> serde_json::Value {
    let text = match &value.kind {
        ValueKind::Nil => return serde_json::Value::Null,
        ValueKind::Boolean(value) => return (*value).into(),
        ValueKind::I64(value) => return (*value).into(),
        ValueKind::U64(value) => return (*value).into(),
        ValueKind::Float(value) => return (*value).into(),
        ValueKind::Array(items) => {
            return items.iter().map(|item| shown(key, item)).collect::<Vec<_>>().into();
        }
        ValueKind::String(text) => text.clone(),
        _ => value.to_string(),
    };
    let secret = ["secret", "password", "token"].iter().any(|word| key.contains(word));
    if secret && !text.is_empty() { "***".into() } else { without_password(&text).into() }
}

/// `scheme://user:password@host` with the password replaced, as often as it occurs: a mirror is two
/// addresses. A password may hold an `@`: the last one before the path ends it.
fn without_password(text: &str) -> String {
    let mut parts = text.split("://");
    let mut hidden = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (authority, path) = part.split_at(part.find(['/', '?', '#']).unwrap_or(part.len()));
        let userinfo = authority.rsplit_once('@');
        let user = userinfo.and_then(|(info, host)| Some((info.split_once(':')?.0, host)));
        hidden.push_str("://");
        match user {
            Some((user, host)) => hidden.extend([user, ":***@", host]),
            None => hidden.push_str(authority),
        }
        hidden.push_str(path);
    }
    hidden
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(
        file: Option<&str>,
        environment: &[(&str, &str)],
        flags: &[(&str, Option<Value>)],
    ) -> anyhow::Result<Layered> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.toml");
        if let Some(text) = file {
            std::fs::write(&path, text).unwrap();
        }
        let variables =
            environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        load_from(file.map(|_| path.as_path()), variables, flags)
    }

    #[test]
    fn flags_beat_environment_beats_file_beats_defaults() {
        let file = "[compute]\nthreads = 2\n[worker]\njobs = 7\ndrain_seconds = 9\n";
        let environment =
            [("SCRIPTORIUM__COMPUTE__THREADS", "3"), ("SCRIPTORIUM__WORKER__JOBS", "5")];
        let flags = [("compute.threads", Some(Value::from(4_u64)))];
        let layered = load(Some(file), &environment, &flags).unwrap();
        assert_eq!(layered.config.compute.threads, 4);
        assert_eq!(layered.config.worker.jobs, 5);
        assert_eq!(layered.config.worker.drain_seconds, 9);
        assert_eq!(layered.config.models.recognizer, models::DEFAULT_RECOGNIZER);
        assert_eq!(layered.values["compute.threads"].1, FLAG);
        assert!(layered.values["worker.jobs"].1.contains("SCRIPTORIUM__WORKER__JOBS"));
        assert!(layered.values["worker.drain_seconds"].1.contains("config.toml"));
        assert_eq!(layered.values["models.recognizer"].1, DEFAULT);
    }

    #[test]
    fn unknown_keys_are_errors_that_name_key_and_origin() {
        let error = load(Some("[worker]\njobz = 3\n"), &[], &[]).unwrap_err().to_string();
        assert!(error.contains("`worker.jobz`"), "{error}");
        assert!(error.contains("config.toml"), "{error}");
        assert!(error.contains("drain_seconds"), "{error}");
        let environment = [("SCRIPTORIUM__WORKERS__JOBS", "3")];
        let error = load(None, &environment, &[]).unwrap_err().to_string();
        assert!(error.contains("SCRIPTORIUM__WORKERS__JOBS"), "{error}");
        assert!(error.contains("sections are"), "{error}");
    }

    #[test]
    fn wrong_types_are_errors_that_name_the_key() {
        let error = load(None, &[("SCRIPTORIUM__WORKER__JOBS", "many")], &[]).unwrap_err();
        assert!(format!("{error:#}").contains("worker.jobs"), "{error:#}");
    }

    #[test]
    fn lists_come_from_the_environment_too() {
        let environment = [("SCRIPTORIUM__WORKER__RETRY_DELAYS", "1, 2,3")];
        let layered = load(None, &environment, &[]).unwrap();
        assert_eq!(layered.config.worker.retry_delays, [1, 2, 3]);
    }

    #[test]
    fn an_empty_list_is_a_key_like_any_other() {
        let layered = load(None, &[("SCRIPTORIUM__WORKER__PROBE", "s3://a/")], &[]).unwrap();
        assert_eq!(layered.config.worker.probe, ["s3://a/"]);
        assert_eq!(load(None, &[], &[]).unwrap().values["worker.probe"].1, DEFAULT);
    }

    #[test]
    fn secrets_are_hidden() {
        let environment = [
            ("SCRIPTORIUM__QUEUE__URL", "amqp://me:hunter2@broker:5672/vhost"),
            ("SCRIPTORIUM__STORE__S3__SECRET_KEY", "hunter3"),
        ];
        let layered = load(None, &environment, &[]).unwrap();
        let printed = format!("{:?}", layered.values);
        assert!(!printed.contains("hunter"), "{printed}");
        assert_eq!(layered.values["queue.url"].0, "amqp://me:***@broker:5672/vhost");
        for (text, shown) in [
            ("amqp://me:p@ss:w@broker/a@b", "amqp://me:***@broker/a@b"),
            ("https://hub/=https://me:p@ss@mirror", "https://hub/=https://me:***@mirror"),
            ("http://me@host:9000/x", "http://me@host:9000/x"),
            ("s3://bucket/a:b@c", "s3://bucket/a:b@c"),
            ("info,lapin=warn", "info,lapin=warn"),
        ] {
            assert_eq!(without_password(text), shown);
        }
    }
}
