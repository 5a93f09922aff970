//! Pulls a model: fetches the missing files, verifies and converts them, and installs the directory
//! in one rename.

mod blocking;
mod content;
mod fetcher;
mod http;
mod options;
mod source_error;
mod staging;
mod wheel;

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use fetcher::{Fetched, Fetcher};
use staging::{Staging, link};

pub(crate) use blocking::blocking;
pub use options::{PullOptions, PullProgress, Pulled};

use crate::convert;
use crate::digest::{check_file, sha256};
use crate::pins::{Pin, PinFile};
use crate::{Entry, Error, FileEntry, licence};

/// Pulls `entry` into its directory below `root`. Returns the checksums that it pinned.
pub(crate) async fn pull(
    root: &Path,
    options: &PullOptions,
    entry: &Entry,
    progress: &(dyn Fn(PullProgress<'_>) + Send + Sync),
) -> Result<Vec<Pin>, Error> {
    let target = root.join(&entry.name);
    // Held until the pull ends. A pull that waited for it then finds the model installed.
    let _lock = lock_model(root, &entry.name).await?;

    let pins = PinFile::of(root, entry);
    let entry = pins.fill(entry)?;
    let staging = Staging::open(partial(root).join(&entry.name))?;
    let mut fetcher = Fetcher::new(options, &staging, target.clone());
    let mut is_installed = target.is_dir();
    let mut pinned = Vec::new();
    for file in &entry.files {
        let report = |done, total| progress(PullProgress { file: &file.path, done, total });
        let installed = target.join(&file.path);
        let done = staging.done.join(&file.path);
        if is_right(&installed, file).await {
            link(&installed, &done)?;
        } else if !is_right(&done, file).await {
            let Some(fetched) = fetcher.fetch(&entry, file, &report).await? else { continue };
            is_installed = false;
            // The pin comes first, so that the files in `done` can always be verified.
            if file.sha256.is_none() || file.size.is_none() {
                let pin = pin(file, &fetched).await?;
                pins.add(pin.clone())?;
                pinned.extend(file.sha256.is_none().then_some(pin));
            }
            fs::rename(&fetched.part, &done).map_err(Error::io(&done))?;
        } else {
            is_installed = false;
        }
        let size = fs::metadata(&done).map_err(Error::io(&done))?.len();
        report(size, Some(size));
    }
    for file in &entry.files {
        let checkpoint = staging.done.join(&file.path);
        if let Some(name) = convert::converted_name(entry.family, file)
            && checkpoint.is_file()
        {
            let (installed, done) = (target.join(name), staging.done.join(name));
            is_installed &= blocking(move || convert_to(&checkpoint, &installed, &done)).await?;
        }
    }
    if let Some(text) = licence::text(&entry).map_err(Error::Catalogue)? {
        is_installed &= fs::read_to_string(target.join(licence::FILE)).is_ok_and(|t| t == text);
        let path = staging.done.join(licence::FILE);
        fs::write(&path, &text).map_err(Error::writing(&path, text.len() as u64))?;
    }
    if !is_installed {
        staging.install(&target)?;
    }
    staging.remove()?;
    Ok(pinned)
}

/// Converts a checkpoint to `done`. Returns whether `installed` is that file already.
fn convert_to(checkpoint: &Path, installed: &Path, done: &Path) -> Result<bool, Error> {
    let converted = convert::to_onnx(checkpoint)?;
    if fs::read(installed).is_ok_and(|bytes| bytes == converted.onnx) {
        link(installed, done)?;
        return Ok(true);
    }
    convert::write(&converted, done)?;
    Ok(false)
}

async fn is_right(path: &Path, file: &FileEntry) -> bool {
    let (path, file) = (path.to_owned(), file.clone());
    blocking(move || check_file(&path, &file)).await.is_ok()
}

/// Returns the pin of a file that was fetched.
async fn pin(file: &FileEntry, fetched: &Fetched) -> Result<Pin, Error> {
    let (path, source, part) = (file.path.clone(), fetched.source.clone(), fetched.part.clone());
    blocking(move || {
        let size = fs::metadata(&part).map_err(Error::io(&part))?.len();
        Ok(Pin { path, size, sha256: sha256(&part)?, source })
    })
    .await
}

/// Returns the directory of pulls under way in the library at `root`.
pub(crate) fn partial(root: &Path) -> PathBuf {
    root.join(".partial")
}

/// Waits until no other process pulls or removes the model `name`, and keeps them from it.
pub(crate) async fn lock_model(root: &Path, name: &str) -> Result<File, Error> {
    let partial = partial(root);
    fs::create_dir_all(&partial).map_err(Error::io(&partial))?;
    lock(partial.join(format!("{name}.lock"))).await
}

/// Locks the file at `path`, which other processes may hold.
async fn lock(path: PathBuf) -> Result<File, Error> {
    let lock = File::create(&path).map_err(Error::io(&path))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(fs::TryLockError::WouldBlock) => {
            tracing::info!(lock = %path.display(), "waiting: another process is pulling or removing this model");
            blocking(move || lock.lock().map(|()| lock).map_err(Error::io(&path))).await
        }
        Err(fs::TryLockError::Error(source)) => Err(Error::Io { path, source }),
    }
}
