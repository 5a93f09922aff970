//! The conformance suite. Each function tests one property, against local files, against an S3
//! server in this process, and against the server named by `SCRIPTORIUM_TEST_S3_ENDPOINT` if it is
//! set.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, future::join_all};
use location::Location;
use store::{
    Condition, Error, ErrorKind, ObjectMeta, PutOptions, S3Config, Secret, Store, StoreConfig,
    Stores,
};

use crate::server::{BUCKET, Server};

/// A store, and a prefix in it that no other test uses.
pub(crate) struct Subject {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) prefix: String,
    /// Whether the store accepts any key, or only those that are paths.
    any_key: bool,
    keeps_metadata: bool,
    /// Whether the server honours `IfMatch` on writes. Some do not.
    has_if_match: bool,
    _folder: Option<tempfile::TempDir>,
}

impl Subject {
    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    async fn put(&self, key: &str, body: &str, condition: Condition) -> Result<String, Error> {
        let options = PutOptions { condition, ..PutOptions::default() };
        self.store.put(key, Bytes::from(body.to_owned()), options).await
    }

    async fn write(&self, key: &str, body: &str) -> String {
        self.put(key, body, Condition::Always).await.unwrap()
    }

    async fn body(&self, key: &str) -> Bytes {
        self.store.get(key, 1 << 20).await.unwrap().1
    }

    async fn listed(&self, prefix: &str) -> Vec<ObjectMeta> {
        self.store.list(prefix).try_collect().await.unwrap()
    }
}

pub(crate) fn local() -> Subject {
    let folder = tempfile::tempdir().unwrap();
    let stores = Stores::new(StoreConfig::default()).unwrap();
    let root = Location::from_path(folder.path()).unwrap().as_prefix();
    let (store, prefix) = stores.open(&root).unwrap();
    Subject {
        store,
        prefix,
        any_key: false,
        keeps_metadata: false,
        has_if_match: true,
        _folder: Some(folder),
    }
}

pub(crate) fn s3(config: S3Config, bucket: &str, prefix: &str) -> Subject {
    let stores = Stores::new(StoreConfig { s3: config, ..StoreConfig::default() }).unwrap();
    let (store, prefix) = stores.open(&Location::s3(bucket, prefix).unwrap()).unwrap();
    Subject {
        store,
        prefix,
        any_key: true,
        keeps_metadata: true,
        has_if_match: true,
        _folder: None,
    }
}

async fn local_files() -> Option<Subject> {
    Some(local())
}

async fn in_process() -> Option<Subject> {
    Some(s3(Server::start().await.config(), BUCKET, "a prefix/"))
}

async fn real_server() -> Option<Subject> {
    let env = |name: &str| std::env::var(format!("SCRIPTORIUM_TEST_S3_{name}")).ok();
    let config = S3Config {
        endpoint: Some(env("ENDPOINT")?),
        force_path_style: true,
        access_key: env("ACCESS_KEY"),
        secret_key: env("SECRET_KEY").map(Secret::new),
        ..S3Config::default()
    };
    let bucket = env("BUCKET").unwrap_or_else(|| "scriptorium-conformance".into());
    create_bucket(&config, &bucket).await;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let id = format!("{}-{:?}/", now.as_nanos(), std::thread::current().id());
    let mut subject = s3(config, &bucket, &id);
    subject.has_if_match = subject.store.probe(&id).await.unwrap().if_match;
    Some(subject)
}

async fn create_bucket(config: &S3Config, bucket: &str) {
    use aws_sdk_s3::config::{BehaviorVersion, Builder, Credentials, Region};
    let secret = config.secret_key.as_ref().unwrap().reveal();
    let access = config.access_key.as_ref().unwrap();
    let client = Builder::new()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(config.endpoint.as_ref().unwrap())
        .region(Region::new("us-east-1"))
        .force_path_style(true)
        .credentials_provider(Credentials::new(access, secret, None, None, "test"));
    let client = aws_sdk_s3::Client::from_conf(client.build());
    // It may exist already. If the creation failed, the tests fail.
    let _ = client.create_bucket().bucket(bucket).send().await;
}

macro_rules! suite {
    ($($property:ident),* $(,)?) => {
        suite!(@ local_files $($property)*);
        suite!(@ in_process $($property)*);
        suite!(@ real_server $($property)*);
    };
    (@ $backend:ident $($property:ident)*) => {
        mod $backend {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $property() {
                    if let Some(subject) = super::$backend().await {
                        super::$property(subject).await;
                    }
                }
            )*
        }
    };
}

suite! {
    a_written_object_is_read_back,
    ranges_end_with_the_object,
    a_read_of_a_changed_object_fails,
    a_missing_object_is_not_found,
    get_has_a_limit,
    the_beginning_of_an_object_is_no_more_than_wanted,
    if_absent_never_overwrites,
    if_match_overwrites_one_version_only,
    one_of_many_if_absent_writes_succeeds,
    one_of_many_if_match_writes_succeeds,
    a_second_delete_succeeds,
    listings_have_more_than_one_page,
    a_prefix_may_end_within_a_name,
    any_key_is_stored_or_refused,
    metadata_is_read_back,
    the_probe_is_right_and_cleans_up,
}

async fn a_written_object_is_read_back(s: Subject) {
    let key = s.key("deep/er/object.json");
    for body in ["", "short", &"long ".repeat(100_000)] {
        let etag = s.write(&key, body).await;
        let meta = s.store.head(&key).await.unwrap();
        assert_eq!(meta.key, key);
        assert_eq!((meta.size, &meta.etag), (body.len() as u64, &etag));
        assert!(!etag.is_empty() && !etag.contains('"'), "{etag}");
        let (got, bytes) = s.store.get(&key, 1 << 20).await.unwrap();
        assert_eq!(got, meta);
        assert!(bytes == body.as_bytes());
    }
}

async fn ranges_end_with_the_object(s: Subject) {
    let key = s.key("digits");
    let etag = s.write(&key, "0123456789").await;
    let read = async |range| s.store.read(&key, range, &etag).await.unwrap();
    assert_eq!(read(0..10).await, "0123456789");
    assert_eq!(read(3..5).await, "34");
    assert_eq!(read(9..10).await, "9");
    assert_eq!(read(8..100).await, "89");
    assert_eq!(read(0..u64::MAX).await, "0123456789");
    for nothing in [10..11, 10..u64::MAX, 1000..2000, 4..4, u64::MAX - 1..u64::MAX] {
        assert_eq!(read(nothing).await, "");
    }
    let empty = s.key("empty");
    let etag = s.write(&empty, "").await;
    assert_eq!(s.store.read(&empty, 0..10, &etag).await.unwrap(), "");
}

async fn a_read_of_a_changed_object_fails(s: Subject) {
    let key = s.key("changing");
    let etag = s.write(&key, "the first version").await;
    assert_eq!(s.store.read(&key, 0..3, &etag).await.unwrap(), "the");
    s.write(&key, "the other version").await;
    let error = s.store.read(&key, 3..9, &etag).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Changed, "{error}");
    // The end of a shorter version is not the end of the first one.
    s.write(&key, "short").await;
    let error = s.store.read(&key, 9..12, &etag).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Changed, "{error}");
    s.store.delete(&key).await.unwrap();
    let error = s.store.read(&key, 3..9, &etag).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound, "{error}");
}

async fn a_missing_object_is_not_found(s: Subject) {
    let key = s.key("nowhere/to be found");
    let etag = "00000000000000000000000000000000";
    let errors = [
        s.store.head(&key).await.unwrap_err(),
        s.store.get(&key, 10).await.unwrap_err(),
        s.store.read(&key, 0..1, etag).await.unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind, ErrorKind::NotFound, "{error}");
        assert!(error.uri.contains("nowhere"), "{error}");
        assert!(!error.is_transient());
    }
    assert_eq!(s.listed(&key).await, []);
    assert_eq!(s.store.head("").await.unwrap_err().kind, ErrorKind::Invalid);
}

async fn the_beginning_of_an_object_is_no_more_than_wanted(s: Subject) {
    let key = s.key("digits");
    for body in ["", "0123456789"] {
        s.write(&key, body).await;
        let meta = s.store.head(&key).await.unwrap();
        for bytes in [0, 1, 4, 10, 1000, u64::MAX] {
            let (begun, start) = s.store.begin(&key, bytes).await.unwrap();
            assert_eq!(begun, meta);
            assert!(body.as_bytes().starts_with(&start), "{start:?}");
            assert!(start.len() as u64 <= bytes.max(1), "{bytes}: {start:?}");
        }
    }
    s.store.delete(&key).await.unwrap();
    assert_eq!(s.store.begin(&key, 4).await.unwrap_err().kind, ErrorKind::NotFound);
}

async fn get_has_a_limit(s: Subject) {
    let key = s.key("ten");
    s.write(&key, "0123456789").await;
    assert_eq!(s.store.get(&key, 10).await.unwrap().1, "0123456789");
    let error = s.store.get(&key, 9).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::TooLarge, "{error}");
}

async fn if_absent_never_overwrites(s: Subject) {
    let key = s.key("once");
    s.put(&key, "first", Condition::IfAbsent).await.unwrap();
    let error = s.put(&key, "second", Condition::IfAbsent).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Precondition, "{error}");
    assert_eq!(s.body(&key).await, "first");
    s.store.delete(&key).await.unwrap();
    s.put(&key, "third", Condition::IfAbsent).await.unwrap();
}

async fn if_match_overwrites_one_version_only(s: Subject) {
    if !s.has_if_match {
        return;
    }
    let key = s.key("versions");
    let first = s.write(&key, "first").await;
    let second = s.put(&key, "second", Condition::IfMatch(first.clone())).await.unwrap();
    assert_ne!(first, second);
    let error = s.put(&key, "third", Condition::IfMatch(first)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Precondition, "{error}");
    assert_eq!(s.body(&key).await, "second");
    s.store.delete(&key).await.unwrap();
    let error = s.put(&key, "fourth", Condition::IfMatch(second)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Precondition, "{error}");
}

/// Writes many times at once under the same condition. Exactly one write succeeds, and the object
/// has its body.
async fn race(s: &Subject, key: &str, condition: Condition) {
    let writers = join_all((0..16).map(|i| {
        let (store, key, condition) = (s.store.clone(), key.to_owned(), condition.clone());
        tokio::spawn(async move {
            let options = PutOptions { condition, ..PutOptions::default() };
            (i, store.put(&key, Bytes::from(format!("writer {i}")), options).await)
        })
    }));
    let mut winners = Vec::new();
    for outcome in writers.await {
        match outcome.unwrap() {
            (i, Ok(_)) => winners.push(i),
            (_, Err(error)) => assert_eq!(error.kind, ErrorKind::Precondition, "{error}"),
        }
    }
    assert_eq!(winners.len(), 1, "{winners:?}");
    assert_eq!(s.body(key).await, format!("writer {}", winners[0]));
}

async fn one_of_many_if_absent_writes_succeeds(s: Subject) {
    for round in 0..5 {
        race(&s, &s.key(&format!("race/{round}")), Condition::IfAbsent).await;
    }
}

async fn one_of_many_if_match_writes_succeeds(s: Subject) {
    if !s.has_if_match {
        return;
    }
    for round in 0..5 {
        let key = s.key(&format!("race/{round}"));
        let etag = s.write(&key, "before").await;
        race(&s, &key, Condition::IfMatch(etag)).await;
    }
}

async fn a_second_delete_succeeds(s: Subject) {
    let key = s.key("folder/object");
    s.write(&key, "x").await;
    s.store.delete(&key).await.unwrap();
    assert_eq!(s.store.head(&key).await.unwrap_err().kind, ErrorKind::NotFound);
    s.store.delete(&key).await.unwrap();
    s.store.delete(&s.key("never/was")).await.unwrap();
}

async fn listings_have_more_than_one_page(s: Subject) {
    let keys: Vec<_> = (0..1234).map(|i| s.key(&format!("{}/{i:04}", i % 7))).collect();
    let writes = futures::stream::iter(&keys).map(|key| s.write(key, "x"));
    writes.buffer_unordered(16).for_each(|_| async {}).await;
    let listed = s.listed(&s.prefix).await;
    let mut sorted = keys.clone();
    sorted.sort_unstable();
    assert!(listed.iter().map(|meta| &meta.key).eq(&sorted), "{} of 1234", listed.len());
    let head = s.store.head(&sorted[777]).await.unwrap();
    // Responses to HEAD have the time in whole seconds.
    let times = [listed[777].modified.unwrap(), head.modified.unwrap()];
    let difference = times[0].duration_since(times[1]).unwrap_or_else(|earlier| earlier.duration());
    assert!(difference < Duration::from_secs(1), "{times:?}");
    let age = SystemTime::now().duration_since(times[0]).unwrap_or_default();
    assert!(age < Duration::from_secs(600), "{age:?}");
    let modified = listed[777].modified;
    assert_eq!(listed[777], ObjectMeta { metadata: BTreeMap::new(), modified, ..head });
    let after = async |after: &str| -> Vec<String> {
        let listed = s.store.list_after(&s.prefix, after).try_collect::<Vec<_>>().await.unwrap();
        listed.into_iter().map(|meta| meta.key).collect()
    };
    assert_eq!(after("").await, sorted);
    assert_eq!(after(&sorted[1099]).await, sorted[1100..], "in the second page");
    assert_eq!(after(&format!("{}!", sorted[9])).await, sorted[10..], "after no object");
    assert_eq!(after(&sorted[1233]).await, [""; 0]);
    // A listing may be dropped before its end.
    assert_eq!(s.store.list(&s.prefix).take(3).count().await, 3);
}

async fn a_prefix_may_end_within_a_name(s: Subject) {
    for name in ["r/a", "r/ab/c", "r/b", "ra", "s"] {
        s.write(&s.key(name), "x").await;
    }
    let names = async |prefix: &str| -> Vec<String> {
        let listed = s.listed(&s.key(prefix)).await.into_iter();
        listed.map(|meta| meta.key[s.prefix.len()..].to_owned()).collect()
    };
    assert_eq!(names("r").await, ["r/a", "r/ab/c", "r/b", "ra"]);
    assert_eq!(names("r/").await, ["r/a", "r/ab/c", "r/b"]);
    assert_eq!(names("r/a").await, ["r/a", "r/ab/c"]);
    assert_eq!(names("s/").await, [""; 0]);
}

async fn any_key_is_stored_or_refused(s: Subject) {
    let paths = [
        "with space.wav",
        " both ends ",
        "quo'te\"s`.wav",
        "a+b=c&d?e#f;g,h@i:j$k!l*m(n)o[p]{q}|r^s~t",
        "back\\slash",
        "%2F%2e%2E%00%",
        "line\nbreak\r\ttab",
        "bell\u{7}escape\u{1b}",
        "電話/запись/تسجيل/\u{1f399}.wav",
        "e\u{301} and \u{e9} are two",
        "..hidden/...",
        "-dash/--",
    ];
    // If keys are paths, these would name other files, or files outside of the root.
    let not_paths = ["../up", "a/../b", "a/./b", "..", "/leading", "two//slashes", "trailing/"];
    let round_trip = async |name: &str| {
        let key = s.key(name);
        let etag = s.write(&key, name).await;
        assert_eq!(s.store.head(&key).await.unwrap().etag, etag, "{name:?}");
        assert_eq!(s.body(&key).await, name, "{name:?}");
        assert_eq!(
            s.store.read(&key, 1..2, &etag).await.unwrap(),
            name.as_bytes()[1..2],
            "{name:?}"
        );
        key
    };
    let mut stored = Vec::new();
    for name in paths {
        stored.push(round_trip(name).await);
    }
    for name in not_paths {
        if s.any_key {
            stored.push(round_trip(name).await);
            continue;
        }
        let key = s.key(name);
        assert_eq!(s.store.head(&key).await.unwrap_err().kind, ErrorKind::Invalid, "{name:?}");
        assert_eq!(s.store.delete(&key).await.unwrap_err().kind, ErrorKind::Invalid, "{name:?}");
        let error = s.put(&key, "x", Condition::Always).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Invalid, "{name:?}");
        assert!(!error.to_string().contains('\n'));
    }
    stored.sort_unstable();
    let listed = s.listed(&s.prefix).await;
    assert_eq!(listed.iter().map(|meta| meta.key.as_str()).collect::<Vec<_>>(), stored);
    for key in stored {
        s.store.delete(&key).await.unwrap();
    }
    assert_eq!(s.listed(&s.prefix).await, []);
}

async fn metadata_is_read_back(s: Subject) {
    let key = s.key("described");
    let metadata = BTreeMap::from([
        ("fingerprint".to_owned(), "0123456789abcdef".to_owned()),
        ("source-uri".to_owned(), "s3://b/電話 100% \"x\"\n.wav ".to_owned()),
        ("empty".to_owned(), String::new()),
    ]);
    let options = PutOptions {
        content_type: Some("application/json"),
        metadata: metadata.clone(),
        ..PutOptions::default()
    };
    s.store.put(&key, Bytes::from_static(b"{}"), options).await.unwrap();
    let mut kept = s.store.head(&key).await.unwrap().metadata;
    assert_eq!(kept, s.store.get(&key, 10).await.unwrap().0.metadata);
    if s.keeps_metadata {
        // Some servers drop a header without a value.
        kept.entry("empty".into()).or_default();
        assert_eq!(kept, metadata);
    } else {
        assert!(kept.is_empty());
    }
}

async fn the_probe_is_right_and_cleans_up(s: Subject) {
    let capabilities = s.store.probe(&s.prefix).await.unwrap();
    assert!(capabilities.if_absent);
    assert_eq!(capabilities.if_match, s.has_if_match);
    assert_eq!(s.listed(&s.prefix).await, []);
}
