//! Merges the layers of the configuration: defaults < file < environment < flags.

use std::{
    collections::BTreeMap,
    error::Error as StdError,
    fmt::Write,
    path::{Path, PathBuf},
};

use ::config::{ConfigError as LayerError, File, FileFormat, Map, Source, Value, ValueKind};

use super::{Config, redact::redacted};
use crate::{
    ConfigError, Error,
    environment::{self, KEY_PREFIX},
};

/// Value of a command line flag: a boolean, a `u64` or a string.
pub type FlagValue = Value;

/// Origin of a value that no layer sets.
const DEFAULT: &str = "default";
/// Origin of a value that the command line sets.
const FLAG: &str = "flag";

/// The effective configuration and the origin of each value.
#[derive(Debug)]
pub struct LayeredConfig {
    pub config: Config,
    /// Value, with secrets hidden, and origin by dotted key, in order.
    pub values: BTreeMap<String, (serde_json::Value, String)>,
}

/// Loads the configuration from all layers. `file` is the file that the command line names; without
/// it, the first default file that exists is read. `flags` are pairs of dotted key and value;
/// `None` leaves the key to the other layers.
///
/// # Errors
/// [`Error::Config`], which names the key and its origin.
pub fn load(
    file: Option<&Path>,
    flags: &[(&str, Option<FlagValue>)],
) -> Result<LayeredConfig, Error> {
    let file = find_file(file)?;
    let loaded = environment::configuration_variables()
        .map_err(Into::into)
        .and_then(|variables| merge(file.as_deref(), variables.into_iter(), flags));
    Ok(loaded.map_err(|error| ConfigError::caused("configuration", error))?)
}

/// Returns `named`, which must exist, or the first default file that exists.
fn find_file(named: Option<&Path>) -> Result<Option<PathBuf>, ConfigError> {
    if let Some(path) = named {
        std::fs::metadata(path).map_err(|error| {
            ConfigError::caused(format!("configuration file {}", path.display()), error)
        })?;
        return Ok(Some(path.to_owned()));
    }
    let user = environment::config_directory().join("config.toml");
    let candidates = [user, PathBuf::from("/etc/scriptorium/config.toml")];
    Ok(candidates.into_iter().find(|path| path.is_file()))
}

fn merge(
    file: Option<&Path>,
    environment: impl Iterator<Item = (String, String)>,
    flags: &[(&str, Option<FlagValue>)],
) -> Result<LayeredConfig, Box<dyn StdError + Send + Sync>> {
    let known = known_keys()?;
    let defaults = ::config::Config::try_from(&Config::default())?;
    let mut builder = ::config::Config::builder().add_source(defaults);
    if let Some(path) = file {
        builder = builder.add_source(File::from(path).format(FileFormat::Toml));
    }
    builder = builder.add_source(EnvironmentLayer::new(environment, &known)?);
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
            let suggestion = suggestion(key, &known);
            return Err(format!("unknown key `{key}` ({origin}){suggestion}").into());
        }
        values.insert(key.clone(), (redacted(key, value), origin.to_owned()));
    }
    let config = merged.try_deserialize::<Config>()?;
    Ok(LayeredConfig { config, values })
}

/// The environment as a layer. Values are strings, which the types of the configuration parse; if
/// the default is a list, they are split at commas.
#[derive(Debug, Clone)]
struct EnvironmentLayer {
    values: Map<String, Value>,
}

impl EnvironmentLayer {
    /// A variable whose name ends in `_FILE` names a file that contains the value: so secrets are
    /// mounted, instead of being visible in the environment of the process.
    fn new(
        variables: impl Iterator<Item = (String, String)>,
        known: &BTreeMap<String, serde_json::Value>,
    ) -> Result<Self, ConfigError> {
        let mut values = Map::new();
        for (name, text) in variables {
            let Some(rest) = name.strip_prefix(KEY_PREFIX) else { continue };
            let key = rest.to_lowercase().replace("__", ".");
            let in_file = key
                .strip_suffix("_file")
                .filter(|in_file| !known.contains_key(&key) && known.contains_key(*in_file));
            let (key, text, origin) = match in_file {
                Some(in_file) => {
                    let value = read_value(&name, &text)?;
                    (in_file.to_owned(), value, format!("{text}, which {name} names"))
                }
                None => (key, text, format!("environment variable {name}")),
            };
            let is_list = known.get(&key).is_some_and(serde_json::Value::is_array);
            let kind = if is_list {
                let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
                ValueKind::Array(items.map(|item| Value::new(Some(&origin), item)).collect())
            } else {
                ValueKind::String(text)
            };
            if values.insert(key.clone(), Value::new(Some(&origin), kind)).is_some() {
                let message = format!("`{key}` is set by two environment variables, one is {name}");
                return Err(ConfigError::new(message));
            }
        }
        Ok(Self { values })
    }
}

/// Reads the value of a key from the file that a variable names. A line feed at its end does not belong
/// to it.
fn read_value(variable: &str, path: &str) -> Result<String, ConfigError> {
    let context = || format!("{path}, which {variable} names");
    let text =
        std::fs::read_to_string(path).map_err(|error| ConfigError::caused(context(), error))?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
}

impl Source for EnvironmentLayer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, LayerError> {
        Ok(self.values.clone())
    }
}

/// Returns every key with its default, including keys that are unset or empty lists, which the
/// layer of defaults leaves out.
fn known_keys() -> serde_json::Result<BTreeMap<String, serde_json::Value>> {
    fn collect_leaves(
        key: String,
        value: serde_json::Value,
        keys: &mut BTreeMap<String, serde_json::Value>,
    ) {
        match value {
            serde_json::Value::Object(fields) => {
                for (name, field) in fields {
                    let dot = if key.is_empty() { "" } else { "." };
                    collect_leaves(format!("{key}{dot}{name}"), field, keys);
                }
            }
            leaf => drop(keys.insert(key, leaf)),
        }
    }
    let mut keys = BTreeMap::new();
    collect_leaves(String::new(), serde_json::to_value(Config::default())?, &mut keys);
    Ok(keys)
}

/// Returns the leaves of the tree by dotted key.
fn flatten(tree: &Map<String, Value>) -> BTreeMap<String, Value> {
    fn collect_leaves(
        prefix: &str,
        tree: &Map<String, Value>,
        leaves: &mut BTreeMap<String, Value>,
    ) {
        for (name, value) in tree {
            let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
            match &value.kind {
                ValueKind::Table(inner) => collect_leaves(&key, inner, leaves),
                _ => drop(leaves.insert(key, value.clone())),
            }
        }
    }
    let mut leaves = BTreeMap::new();
    collect_leaves("", tree, &mut leaves);
    leaves
}

/// Lists the keys of the section of `key`, or the sections if that one is unknown.
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
        let mut sections =
            known.keys().filter_map(|k| k.split_once('.')).map(|(s, _)| s).collect::<Vec<_>>();
        sections.dedup();
        let _ = write!(text, "; sections are {}", sections.join(", "));
    } else {
        let _ = write!(text, "; `{section}` has {}", siblings.join(", "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(
        file: Option<&str>,
        environment: &[(&str, &str)],
        flags: &[(&str, Option<FlagValue>)],
    ) -> Result<LayeredConfig, Box<dyn StdError + Send + Sync>> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.toml");
        if let Some(text) = file {
            std::fs::write(&path, text).unwrap();
        }
        let variables =
            environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        merge(file.map(|_| path.as_path()), variables, flags)
    }

    #[test]
    fn flags_override_environment_overrides_file_overrides_defaults() {
        let file = "[compute]\nthreads = 2\n[worker]\njobs = 7\ndrain_seconds = 9\n";
        let environment =
            [("SCRIPTORIUM__COMPUTE__THREADS", "3"), ("SCRIPTORIUM__WORKER__JOBS", "5")];
        let flags = [("compute.threads", Some(FlagValue::from(4_u64)))];
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
    fn errors_about_unknown_keys_name_key_and_origin() {
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
    fn errors_about_types_name_the_key() {
        let error = load(None, &[("SCRIPTORIUM__WORKER__JOBS", "many")], &[]).unwrap_err();
        assert!(format!("{error:#}").contains("worker.jobs"), "{error:#}");
    }

    #[test]
    fn the_environment_can_set_lists() {
        let environment = [("SCRIPTORIUM__WORKER__RETRY_DELAYS", "1, 2,3")];
        let layered = load(None, &environment, &[]).unwrap();
        assert_eq!(layered.config.worker.retry_delays, [1, 2, 3]);
    }

    #[test]
    fn a_variable_may_name_a_file_with_the_value() {
        let directory = tempfile::tempdir().unwrap();
        let secret = directory.path().join("secret");
        std::fs::write(&secret, "hunter2 \n").unwrap();
        let path = secret.to_str().unwrap();
        let in_file = ("SCRIPTORIUM__STORE__S3__SECRET_KEY_FILE", path);
        let layered = load(None, &[in_file], &[]).unwrap();
        let found = layered.config.store.s3.secret_key.as_ref().map(store::Secret::reveal);
        assert_eq!(found, Some("hunter2 "));
        let (shown, origin) = &layered.values["store.s3.secret_key"];
        assert_eq!((shown, origin.contains(path)), (&"***".into(), true), "{origin}");

        let twice = [in_file, ("SCRIPTORIUM__STORE__S3__SECRET_KEY", "x")];
        let error = load(None, &twice, &[]).unwrap_err().to_string();
        assert!(error.contains("two environment variables"), "{error}");
        let missing = [("SCRIPTORIUM__QUEUE__URL_FILE", "/nonexistent/url")];
        let error = load(None, &missing, &[]).unwrap_err();
        assert!(error.to_string().contains("/nonexistent/url, which"), "{error}");
        let unknown = [("SCRIPTORIUM__QUEUE__URI_FILE", path)];
        let error = load(None, &unknown, &[]).unwrap_err().to_string();
        assert!(error.contains("unknown key `queue.uri_file`"), "{error}");
    }

    #[test]
    fn keys_with_empty_lists_are_known() {
        let layered = load(None, &[("SCRIPTORIUM__WORKER__PROBE", "s3://a/")], &[]).unwrap();
        assert_eq!(layered.config.worker.probe, ["s3://a/"]);
        assert_eq!(load(None, &[], &[]).unwrap().values["worker.probe"].1, DEFAULT);
    }

    #[test]
    fn listed_values_hide_secrets() {
        let environment = [
            ("SCRIPTORIUM__QUEUE__URL", "amqp://me:hunter2@broker:5672/vhost"),
            ("SCRIPTORIUM__STORE__S3__SECRET_KEY", "hunter3"),
            ("SCRIPTORIUM__NOTIFY__SECRET", "whsec_hunter4"),
        ];
        let layered = load(None, &environment, &[]).unwrap();
        let printed = format!("{:?}", layered.values);
        assert!(!printed.contains("hunter"), "{printed}");
        assert_eq!(layered.values["queue.url"].0, "amqp://me:***@broker:5672/vhost");
    }
}
