//! Failures and properties that only a file system has.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use store::{Condition, Error, ErrorKind, LocalStore, PutOptions, Store};

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
    assert_eq!(store.list("").count().await, 0);
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
