//! Failures and properties that only a file system has.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use store::{Condition, Error, ErrorKind, LocalStore, NotListed, PutOptions, Store};

async fn put(store: &LocalStore, key: &str, body: &[u8]) -> Result<String, Error> {
    store.put(key, Bytes::copy_from_slice(body), PutOptions::default()).await
}

fn entries(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    names.map(|name| name.into_string().unwrap()).collect()
}

#[tokio::test]
async fn nothing_outside_of_the_root_is_touched() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("secret"), "s").unwrap();
    let root = dir.path().join("root");
    fs::create_dir(&root).unwrap();
    let store = LocalStore::new(&root);
    for key in ["../secret", "a/../../secret", "..", "/etc/hostname"] {
        assert_eq!(store.head(key).await.unwrap_err().kind, ErrorKind::Invalid, "{key}");
        assert_eq!(store.get(key, 9).await.unwrap_err().kind, ErrorKind::Invalid, "{key}");
        assert_eq!(put(&store, key, b"x").await.unwrap_err().kind, ErrorKind::Invalid, "{key}");
        assert_eq!(store.delete(key).await.unwrap_err().kind, ErrorKind::Invalid, "{key}");
    }
    let listing = store.list("../").try_collect::<Vec<_>>().await;
    assert_eq!(listing.unwrap_err().kind, ErrorKind::Invalid);
    assert_eq!(fs::read(dir.path().join("secret")).unwrap(), b"s");
    assert_eq!(entries(&root), [""; 0]);
}

#[tokio::test]
async fn an_edit_in_place_is_a_change() {
    let dir = tempfile::tempdir().unwrap();
    let store = LocalStore::new(dir.path());
    let file = dir.path().join("a");
    fs::write(&file, "one").unwrap();
    let meta = store.head("a").await.unwrap();
    let later = std::time::SystemTime::now() + std::time::Duration::from_secs(1);
    fs::write(&file, "two").unwrap();
    fs::File::options().write(true).open(&file).unwrap().set_modified(later).unwrap();
    let error = store.read("a", 0..3, &meta.etag).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Changed);
    assert!(error.uri.starts_with("file:///"), "{error}");
}

#[tokio::test]
async fn a_copy_that_keeps_its_time_is_the_same_recording() {
    let dir = tempfile::tempdir().unwrap();
    let store = LocalStore::new(dir.path());
    let (original, copy) = (dir.path().join("a"), dir.path().join("copy/a"));
    fs::write(&original, "recording").unwrap();
    fs::create_dir(dir.path().join("copy")).unwrap();
    fs::copy(&original, &copy).unwrap();
    let modified = fs::metadata(&original).unwrap().modified().unwrap();
    let set_modified = |time| {
        fs::File::options().write(true).open(&copy).unwrap().set_modified(time).unwrap();
    };
    set_modified(modified);
    let etag = store.head("a").await.unwrap().etag;
    assert_eq!(store.head("copy/a").await.unwrap().etag, etag);
    assert_eq!(store.read("copy/a", 0..3, &etag).await.unwrap(), "rec");

    // As an exFAT disk and SFTP keep the time.
    let since = modified.duration_since(std::time::UNIX_EPOCH).unwrap();
    for unit in [10_000_000, 1_000_000_000] {
        let kept = since.as_nanos() / unit * unit;
        set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_nanos(kept as u64));
        let copied = store.head("copy/a").await.unwrap().etag;
        assert!(store.same_content(&etag, &copied), "{etag} {copied}");
    }
    set_modified(modified + std::time::Duration::from_secs(3));
    let edited = store.head("copy/a").await.unwrap().etag;
    assert!(!store.same_content(&etag, &edited), "{etag} {edited}");
}

#[tokio::test]
async fn every_write_changes_the_etag_however_fast_they_follow() {
    let dir = tempfile::tempdir().unwrap();
    let store = LocalStore::new(dir.path());
    let mut etag = put(&store, "a", b"0").await.unwrap();
    for round in 1..50_u8 {
        let condition =
            if round % 2 == 0 { Condition::Always } else { Condition::IfMatch(etag.clone()) };
        let options = PutOptions { condition, ..PutOptions::default() };
        let new = store.put("a", Bytes::from(vec![round]), options).await.unwrap();
        assert_ne!(new, etag);
        assert_eq!(store.read("a", 0..1, &etag).await.unwrap_err().kind, ErrorKind::Changed);
        assert_eq!(store.head("a").await.unwrap().etag, new);
        etag = new;
    }
}

#[tokio::test]
async fn what_cannot_be_written_is_known_before() {
    let dir = tempfile::tempdir().unwrap();
    let store = LocalStore::new(dir.path());
    fs::write(dir.path().join("file"), "x").unwrap();
    fs::create_dir(dir.path().join("folder")).unwrap();
    std::os::unix::fs::symlink("nowhere", dir.path().join("dangling")).unwrap();
    for key in ["a.json", "folder/a.json", "new/folder/a.json", "file"] {
        store.check_writable(key).await.unwrap();
    }
    let kind = async |key| store.check_writable(key).await.unwrap_err().kind;
    assert_eq!(kind("folder").await, ErrorKind::Invalid);
    assert_eq!(kind("file/a.json").await, ErrorKind::Invalid);
    assert_eq!(kind("file/new/a.json").await, ErrorKind::Invalid);
    assert_eq!(kind("dangling/a.json").await, ErrorKind::NotFound);
    assert_eq!(kind("../a.json").await, ErrorKind::Invalid);
    let mut left = entries(dir.path());
    left.sort();
    assert_eq!(left, ["dangling", "file", "folder"]);
    assert_eq!(entries(&dir.path().join("folder")), [""; 0]);
}

#[tokio::test]
async fn a_write_leaves_one_ordinary_file() {
    let dir = tempfile::tempdir().unwrap();
    let store = LocalStore::new(dir.path());
    put(&store, "new/a.json", b"{}").await.unwrap();
    let condition = Condition::IfAbsent;
    let options = PutOptions { condition, ..PutOptions::default() };
    store.put("new/a.json", Bytes::new(), options).await.unwrap_err();
    assert_eq!(entries(&dir.path().join("new")), ["a.json"]);
    let ordinary = dir.path().join("ordinary");
    fs::write(&ordinary, "").unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(&dir.path().join("new/a.json")), mode(&ordinary));
}

#[tokio::test]
async fn a_folder_is_not_a_file_and_a_file_is_not_a_folder() {
    let dir = tempfile::tempdir().unwrap();
    let store = LocalStore::new(dir.path());
    put(&store, "folder/file", b"x").await.unwrap();
    assert_eq!(store.head("folder").await.unwrap_err().kind, ErrorKind::NotFound);
    assert_eq!(store.get("folder", 9).await.unwrap_err().kind, ErrorKind::NotFound);
    let error = put(&store, "folder", b"x").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid, "{error}");
    for key in ["folder/file/below", "folder/file/far/below"] {
        assert_eq!(store.head(key).await.unwrap_err().kind, ErrorKind::NotFound);
        let error = put(&store, key, b"x").await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Invalid, "{error}");
    }
    store.delete("folder").await.unwrap();
    assert_eq!(entries(&dir.path().join("folder")), ["file"]);
}

#[tokio::test]
async fn a_pipe_does_not_block() {
    let dir = tempfile::tempdir().unwrap();
    assert!(Command::new("mkfifo").arg(dir.path().join("pipe")).status().unwrap().success());
    let store = LocalStore::new(dir.path());
    assert_eq!(store.head("pipe").await.unwrap_err().kind, ErrorKind::Invalid);
    assert_eq!(store.get("pipe", 9).await.unwrap_err().kind, ErrorKind::Invalid);
    let listed: Vec<_> = store.list("").collect().await;
    let [Err(error)] = &listed[..] else { panic!("{listed:?}") };
    assert_eq!(error.kind, ErrorKind::NotListed(NotListed::SpecialFile));
}

#[tokio::test]
async fn a_name_too_long_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = LocalStore::new(dir.path());
    let error = put(&store, &"x".repeat(300), b"").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid, "{error}");
    assert_eq!(entries(dir.path()), [""; 0]);
}

/// In a folder of the kernel, because the superuser may write in any other folder.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_write_without_permission_is_denied() {
    let store = LocalStore::new("/sys/kernel");
    let error = put(&store, "scriptorium-test", b"x").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Denied, "{error}");
    let error = store.check_writable("new/scriptorium-test").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Denied, "{error}");
}

const FULL_DISK: &str = "SCRIPTORIUM_TEST_FULL_DISK";

/// Runs the test below in its own namespace, in which it can mount a file system of 64 KB.
#[cfg(target_os = "linux")]
#[test]
fn a_write_to_a_full_disk_fails_and_keeps_the_old_file() {
    let dir = tempfile::tempdir().unwrap();
    let script = "mount -t tmpfs -o size=64k tmpfs \"$0\" || exit 77; exec \"$@\"";
    let run = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", script])
        .arg(dir.path())
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "local::on_a_full_disk", "--nocapture"])
        .env(FULL_DISK, dir.path())
        .output();
    match run {
        Ok(run) if run.status.success() => {
            let out = String::from_utf8_lossy(&run.stdout);
            assert!(out.contains("1 passed"), "{out}");
        }
        Ok(run) if run.status.code() == Some(101) => {
            panic!("{}", String::from_utf8_lossy(&run.stderr));
        }
        // Containers often forbid namespaces.
        other => eprintln!("skipped: cannot mount a tmpfs: {other:?}"),
    }
}

#[tokio::test]
async fn on_a_full_disk() {
    let Some(disk) = std::env::var_os(FULL_DISK) else { return };
    let store = LocalStore::new(&disk);
    put(&store, "a", b"old").await.unwrap();
    let error = put(&store, "a", &vec![0; 1 << 20]).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Full, "{error}");
    assert!(error.is_transient());
    assert_eq!(store.get("a", 9).await.unwrap().1, "old");
    assert_eq!(entries(Path::new(&disk)), ["a"]);
    put(&store, "a", b"new").await.unwrap();
}
