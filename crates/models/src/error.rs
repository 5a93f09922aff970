use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("no model named `{name}`; known: {known}")]
    Unknown { name: String, known: String },
    #[error("model `{name}` is not installed; `scriptorium models pull {name}` fetches it")]
    NotInstalled { name: String },
    #[error("{}: {message}", path.display())]
    Damaged { path: PathBuf, message: String },
    #[error("cannot fetch {file}: {}", attempts.join("; "))]
    Fetch { file: String, attempts: Vec<String> },
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: std::io::Error },
}
