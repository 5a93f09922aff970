//! Listings of folders.

use std::{
    fs,
    os::unix::{ffi::OsStrExt, fs::symlink},
};

use job::FailureCode;
use tokio::sync::mpsc;

use super::*;

/// Last part of the URI, and reason.
fn ignored(found: &[Found]) -> Vec<(&str, Reason)> {
    found
        .iter()
        .filter_map(|found| match found {
            Found::Ignored(file) => {
                let source = file.source.trim_end_matches('/');
                Some((&source[source.rfind('/')? + 1..], file.reason))
            }
            _ => None,
        })
        .collect()
}

async fn listed<P: AsRef<OsStr>>(paths: &[P], all_files: bool) -> Vec<Found> {
    let paths = paths.iter().map(|path| path.as_ref().to_owned()).collect();
    let filter = Filter::all_files(all_files);
    listed_for(Request { paths, filter, name: OutputName::Full }).await
}

async fn listed_for(mut request: Request) -> Vec<Found> {
    request.sort();
    listed_from(&request, Cursor::default()).await
}

/// Everything but the places of the listing.
async fn listed_from(request: &Request, from: Cursor) -> Vec<Found> {
    let mut found = all_from(request, from).await;
    found.retain(|found| !matches!(found, Found::Reached(_)));
    found
}

async fn all_from(request: &Request, from: Cursor) -> Vec<Found> {
    let stores = Stores::new(store::StoreConfig::default()).unwrap();
    let (sender, mut receiver) = mpsc::channel(100);
    let request = request.clone();
    let listing = tokio::spawn(async move { list(&stores, &request, from, &sender).await });
    let mut found = Vec::new();
    while let Some(item) = receiver.recv().await {
        found.push(item);
    }
    assert!(listing.await.unwrap());
    found
}

fn relatives(found: &[Found]) -> Vec<&str> {
    let recording = |f: &'_ Found| matches!(f, Found::Recording(_));
    let mut names: Vec<_> = found
        .iter()
        .filter(|f| recording(f))
        .map(|f| match f {
            Found::Recording(item) => item.relative.as_str(),
            _ => "",
        })
        .collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn lists_recordings_in_folders_and_ignores_other_files() {
    let root = tempfile::tempdir().unwrap();
    let write = |name: &str| {
        let path = root.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, b"x").unwrap();
    };
    for name in [
        "a.WAV",
        "b/c.mp3",
        "b/notes.txt",
        "b/d",
        ".scriptorium/x/y.wav",
        ".scriptorium/x/z.wav",
        "b/.scriptorium/z.wav",
    ] {
        write(name);
    }
    let paths = [root.path()];
    let found = listed(&paths, false).await;
    assert_eq!(relatives(&found), ["a.WAV", "b/c.mp3"]);
    assert_eq!(ignored(&found), [("d", Reason::Extension), ("notes.txt", Reason::Extension)]);
    let found = listed(&paths, true).await;
    assert_eq!(relatives(&found), ["a.WAV", "b/c.mp3", "b/d", "b/notes.txt"]);
}

#[tokio::test]
async fn lists_explicit_files_with_any_name_and_reports_missing_ones() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("odd name.xyz");
    std::fs::write(&path, b"abc").unwrap();
    let missing = root.path().join("missing.wav").to_str().unwrap().to_owned();
    let found = listed(&[path.to_str().unwrap(), &missing], false).await;
    assert_eq!(relatives(&found), ["odd name.xyz"]);
    let Some(Found::Failed(failure)) = found.last() else { panic!("{found:?}") };
    assert_eq!((failure.code, &failure.source), (FailureCode::SourceMissing, &missing));
}

#[tokio::test]
async fn what_systems_leave_in_folders_is_named_and_not_taken() {
    let root = tempfile::tempdir().unwrap();
    for name in [
        "call.mkv",
        "._call.mkv",
        ".Trashes/501/deleted.mkv",
        "tape.mp2",
        "memo.3g2",
        "voice.amr",
        "real/a.wav",
    ] {
        let path = root.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, b"x").unwrap();
    }
    symlink(root.path().join("real"), root.path().join("linked")).unwrap();
    symlink("nowhere.wav", root.path().join("broken.wav")).unwrap();
    for all_files in [false, true] {
        let found = listed(&[root.path()], all_files).await;
        let recordings = ["call.mkv", "memo.3g2", "real/a.wav", "tape.mp2", "voice.amr"];
        assert_eq!(relatives(&found), recordings);
        let expected = [
            ("deleted.mkv", Reason::SystemFolder),
            ("._call.mkv", Reason::AppleDouble),
            ("broken.wav", Reason::BrokenLink),
            ("linked", Reason::LinkedFolder),
        ];
        assert_eq!(ignored(&found), expected);
    }
    // Whoever names them wants them.
    let found = listed(&["linked", "._call.mkv"].map(|name| root.path().join(name)), false).await;
    assert_eq!(relatives(&found), ["._call.mkv", "a.wav"]);
}

#[tokio::test]
async fn a_path_that_is_not_utf8_is_one_failure() {
    let root = tempfile::tempdir().unwrap();
    let [good, odd] = [&b"good.wav"[..], b"m\xff.wav"].map(|name| {
        let path = root.path().join(OsStr::from_bytes(name));
        fs::write(&path, b"x").unwrap();
        path
    });
    let found = listed(&[odd, good], false).await;
    assert_eq!(relatives(&found), ["good.wav"]);
    let Some(Found::Failed(failure)) = found.first() else { panic!("{found:?}") };
    assert_eq!(failure.code, FailureCode::SourceInvalid);
    assert!(failure.source.ends_with("/m%FF.wav"), "{failure:?}");
    assert!(failure.message.contains("rename it"), "{failure:?}");
}

#[tokio::test]
async fn stems_are_the_same_whatever_is_listed_in_which_order() {
    let root = tempfile::tempdir().unwrap();
    for name in ["talk.mp4", "talk.wav", "talk.txt", "other.wav"] {
        fs::write(root.path().join(name), b"x").unwrap();
    }
    let path = |name: &str| root.path().join(name).into_os_string();
    let by_name = |found: Vec<Found>| {
        let mut stems: Vec<_> = found
            .into_iter()
            .filter_map(|found| match found {
                Found::Recording(item) => Some((item.relative, item.stem)),
                _ => None,
            })
            .collect();
        stems.sort_by(|a, b| a.0.cmp(&b.0));
        stems
    };
    let request = |paths| Request { paths, filter: Filter::default(), name: OutputName::Stem };
    let folder = by_name(listed_for(request(vec![path("")])).await);
    let expected = Location::from_path(path("talk.mp4")).unwrap().to_string();
    assert_eq!(
        folder,
        [
            ("other.wav".to_owned(), Stem::Free),
            ("talk.mp4".to_owned(), Stem::Free),
            ("talk.wav".to_owned(), Stem::TakenBy(expected)),
        ]
    );
    let files = ["talk.wav", "other.wav", "talk.mp4"].map(path).to_vec();
    assert_eq!(by_name(listed_for(request(files)).await), folder);
    assert_eq!(by_name(listed_for(request(vec![path("talk.wav")])).await), folder[2..]);
}

/// A listing that goes on behind any of its places finds the rest, and names it as before.
#[tokio::test]
async fn a_listing_goes_on_where_it_was() {
    let root = tempfile::tempdir().unwrap();
    for folder in ["a", "b"] {
        fs::create_dir(root.path().join(folder)).unwrap();
        for number in 0..1500 {
            let extension = ["mp4", "wav", "txt"][number % 3];
            let name = format!("{folder}/talk-{}.{extension}", number / 2);
            fs::write(root.path().join(name), b"x").unwrap();
        }
    }
    let paths = ["a", "b/", "b/talk-7.mp4", "missing"].map(|path| root.path().join(path).into());
    for name in [OutputName::Full, OutputName::Stem] {
        let mut request = Request { paths: paths.to_vec(), filter: Filter::default(), name };
        request.sort();
        let all = all_from(&request, Cursor::default()).await;
        let places: Vec<_> = all
            .iter()
            .enumerate()
            .filter_map(|(index, found)| match found {
                Found::Reached(cursor) => Some((index, cursor.clone())),
                _ => None,
            })
            .collect();
        assert_eq!(places.len(), 6, "one per path, and one in each folder");
        for (index, cursor) in places {
            // What is recorded comes back from its JSON.
            let cursor = serde_json::from_slice(&serde_json::to_vec(&cursor).unwrap()).unwrap();
            let rest = listed_from(&request, cursor).await;
            let mut expected = all[index..].to_vec();
            expected.retain(|found| !matches!(found, Found::Reached(_)));
            assert_eq!(rest, expected);
        }
    }
}

#[tokio::test]
async fn a_listing_that_broke_off_is_completed_first() {
    let root = tempfile::tempdir().unwrap();
    for name in ["a/1.wav", "a/2.wav", "b/3.wav", "c/4.wav"] {
        let path = root.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, b"x").unwrap();
    }
    let paths = ["a", "b", "c"].map(|path| root.path().join(path).into()).to_vec();
    let request = Request { paths, filter: Filter::default(), name: OutputName::Full };
    let key = |name: &str| root.path().join(name).to_str().unwrap()[1..].to_owned();
    let broken = |path, after: &str| {
        let after = if after.is_empty() { String::new() } else { key(after) };
        Place { path, after, stems: Vec::new() }
    };
    let at = Place { path: 2, ..Place::default() };
    let cursor = Cursor::Listed { at, broken: vec![broken(1, ""), broken(0, "a/1.wav")] };
    let all = all_from(&request, cursor).await;
    let found: Vec<_> = all
        .iter()
        .filter_map(|found| match found {
            Found::Recording(item) => Some(item.relative.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(found, ["3.wav", "2.wav", "4.wav"]);
    let Some(Found::Reached(Cursor::Listed { at, broken })) = all.last() else { panic!("{all:?}") };
    assert!(at.path == 3 && broken.is_empty());
}
