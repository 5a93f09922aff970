//! The reader on a store in memory that fails, changes its object and sends short responses on
//! request.

use std::{
    io::{self, Read, Seek, SeekFrom},
    ops::Range,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use store::{Error, ErrorKind, ObjectMeta, PutOptions, ReadAhead, Reader, Store};
use tokio::runtime::Handle;

#[derive(Debug)]
struct Fake {
    body: Bytes,
    /// Failures of the next requests, in reverse order.
    failures: Mutex<Vec<ErrorKind>>,
    /// Limit for the bytes of a response.
    max_response: u64,
    changed: AtomicBool,
    requests: Mutex<Vec<Range<u64>>>,
}

impl Fake {
    fn new(size: usize) -> Self {
        let body = (0..size).map(|i| (i * i % 251) as u8).collect();
        Self {
            body,
            failures: Mutex::default(),
            max_response: u64::MAX,
            changed: AtomicBool::new(false),
            requests: Mutex::default(),
        }
    }

    fn meta(&self) -> ObjectMeta {
        ObjectMeta {
            modified: None,
            key: "k".into(),
            size: self.body.len() as u64,
            etag: "v1".into(),
            metadata: Default::default(),
        }
    }

    fn requests(&self) -> Vec<Range<u64>> {
        self.requests.lock().unwrap().clone()
    }
}

#[async_trait]
impl Store for Fake {
    async fn read(&self, key: &str, range: Range<u64>, etag: &str) -> Result<Bytes, Error> {
        assert_eq!((key, etag), ("k", "v1"));
        self.requests.lock().unwrap().push(range.clone());
        if let Some(kind) = self.failures.lock().unwrap().pop() {
            return Err(Error::new(kind, "read", key, "injected failure"));
        }
        if self.changed.load(Ordering::SeqCst) {
            return Err(Error::new(ErrorKind::Changed, "read", key, "another version"));
        }
        let end = range.end.min(range.start.saturating_add(self.max_response));
        Ok(self.body.slice(range.start as usize..end as usize))
    }

    async fn head(&self, _: &str) -> Result<ObjectMeta, Error> {
        unreachable!()
    }
    async fn get(&self, _: &str, _: u64) -> Result<(ObjectMeta, Bytes), Error> {
        unreachable!()
    }
    async fn put(&self, _: &str, _: Bytes, _: PutOptions) -> Result<String, Error> {
        unreachable!()
    }
    async fn delete(&self, _: &str) -> Result<(), Error> {
        unreachable!()
    }
    fn list(&self, _: &str) -> BoxStream<'_, Result<ObjectMeta, Error>> {
        unreachable!()
    }
}

const SMALL: ReadAhead = ReadAhead {
    first_bytes: 100,
    max_bytes: 400,
    attempts: 4,
    min_delay: Duration::from_millis(1),
};

/// Runs `body` on a thread that may block, with a reader over `fake`.
async fn with_reader<T: Send + 'static>(
    fake: Fake,
    body: impl FnOnce(Reader, Arc<Fake>) -> T + Send + 'static,
) -> T {
    let fake = Arc::new(fake);
    let reader = Reader::with_read_ahead(fake.clone(), fake.meta(), Handle::current(), SMALL);
    tokio::task::spawn_blocking(move || body(reader, fake)).await.unwrap()
}

fn store_error(error: &io::Error) -> &Error {
    error
        .get_ref()
        .and_then(|inner| inner.downcast_ref())
        .expect("the io::Error contains a store::Error")
}

#[tokio::test]
async fn the_whole_object_is_read_in_growing_requests() {
    with_reader(Fake::new(2000), |mut reader, fake| {
        let mut body = Vec::new();
        reader.read_to_end(&mut body).unwrap();
        assert!(body == fake.body);
        let expected = [0..100, 100..300, 300..700, 700..1100, 1100..1500, 1500..1900, 1900..2000];
        assert_eq!(fake.requests(), expected);
    })
    .await;
}

#[tokio::test]
async fn a_start_that_was_read_already_is_not_requested() {
    for (start, expected) in
        [(0, vec![0..100, 100..300, 300..350]), (60, vec![60..180, 180..350]), (350, vec![])]
    {
        with_reader(Fake::new(350), move |reader, fake| {
            let mut reader = reader.with_start(fake.body.slice(..start));
            let mut body = Vec::new();
            reader.read_to_end(&mut body).unwrap();
            assert!(body == fake.body);
            assert_eq!(fake.requests(), expected);
            reader.seek(SeekFrom::Start(10)).unwrap();
            assert_eq!(reader.read(&mut [0; 3]).unwrap(), 3);
        })
        .await;
    }
}

#[tokio::test]
async fn never_holds_more_than_two_windows() {
    with_reader(Fake::new(10_000), |mut reader, fake| {
        let mut byte = [0];
        for position in 0..5000_u64 {
            reader.read_exact(&mut byte).unwrap();
            let requested = fake.requests().last().unwrap().end;
            assert!(requested <= position + 2 * SMALL.max_bytes, "{requested} at {position}");
        }
    })
    .await;
}

#[tokio::test]
async fn seeks_agree_with_a_cursor_at_random() {
    with_reader(Fake::new(3001), |mut reader, fake| {
        let mut cursor = io::Cursor::new(fake.body.clone());
        let mut seed = 7_u64;
        let mut random = move |below: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) % below
        };
        for _ in 0..3000 {
            let to = match random(4) {
                0 => SeekFrom::Start(random(3300)),
                1 => SeekFrom::Current(random(400) as i64 - 200),
                2 => SeekFrom::End(-(random(3400) as i64) + 100),
                _ => SeekFrom::Current(0),
            };
            assert_eq!(reader.seek(to).ok(), cursor.seek(to).ok(), "{to:?}");
            let mut ours = vec![0; random(150) as usize];
            let mut theirs = ours.clone();
            let read = |source: &mut dyn Read, out: &mut [u8]| {
                let mut count = 0;
                while count < out.len() {
                    match source.read(&mut out[count..]).unwrap() {
                        0 => break,
                        n => count += n,
                    }
                }
                count
            };
            assert_eq!(read(&mut reader, &mut ours), read(&mut cursor, &mut theirs));
            assert_eq!(ours, theirs);
        }
        assert!(fake.requests().iter().all(|range| range.start < range.end && range.end <= 3001));
    })
    .await;
}

#[tokio::test]
async fn seeks_within_the_window_are_free() {
    with_reader(Fake::new(2000), |mut reader, fake| {
        let mut ten = [0; 10];
        reader.read_exact(&mut ten).unwrap();
        for position in [30, 0, 20, 35] {
            reader.seek(SeekFrom::Start(position)).unwrap();
            reader.read_exact(&mut ten).unwrap();
        }
        // A seek to the end and back, as for an MP4's index, sends no request.
        reader.seek(SeekFrom::End(0)).unwrap();
        reader.seek(SeekFrom::Start(3)).unwrap();
        reader.read_exact(&mut ten).unwrap();
        // Time for a request that must not happen.
        std::thread::sleep(Duration::from_millis(20));
        assert_eq!(fake.requests().len(), 1);
        reader.seek(SeekFrom::Start(1500)).unwrap();
        reader.read_exact(&mut ten).unwrap();
        assert_eq!(fake.requests(), [0..100, 1500..1600]);
    })
    .await;
}

#[tokio::test]
async fn transient_failures_are_retried() {
    let fake = Fake::new(500);
    *fake.failures.lock().unwrap() = vec![ErrorKind::Unavailable; 3];
    with_reader(fake, |mut reader, fake| {
        let mut body = Vec::new();
        reader.read_to_end(&mut body).unwrap();
        assert!(body == fake.body);
    })
    .await;
}

#[tokio::test]
async fn a_persistent_failure_is_returned_after_the_last_attempt() {
    let fake = Fake::new(500);
    *fake.failures.lock().unwrap() = vec![ErrorKind::Unavailable; 4];
    with_reader(fake, |mut reader, fake| {
        let error = reader.read(&mut [0; 10]).unwrap_err();
        assert_eq!(store_error(&error).kind, ErrorKind::Unavailable);
        assert!(store_error(&error).message.contains("4 attempts"), "{error}");
        assert!(error.kind() != io::ErrorKind::Interrupted);
        assert_eq!(fake.requests().len(), 4);
        // The next read starts over.
        reader.read_exact(&mut [0; 500]).unwrap();
    })
    .await;
}

#[tokio::test]
async fn permanent_failures_are_not_retried() {
    for kind in [ErrorKind::Denied, ErrorKind::NotFound, ErrorKind::Changed, ErrorKind::Other] {
        let fake = Fake::new(500);
        *fake.failures.lock().unwrap() = vec![kind];
        with_reader(fake, move |mut reader, fake| {
            let error = reader.read(&mut [0; 10]).unwrap_err();
            assert_eq!(store_error(&error).kind, kind);
            assert_eq!(fake.requests().len(), 1);
        })
        .await;
    }
}

#[tokio::test]
async fn a_change_between_reads_is_an_error() {
    with_reader(Fake::new(5000), |mut reader, fake| {
        reader.read_exact(&mut [0; 40]).unwrap();
        fake.changed.store(true, Ordering::SeqCst);
        let mut rest = Vec::new();
        let error = reader.read_to_end(&mut rest).unwrap_err();
        assert_eq!(store_error(&error).kind, ErrorKind::Changed);
        assert_eq!(rest, fake.body[40..100]);
    })
    .await;
}

#[tokio::test]
async fn short_responses_are_joined() {
    for max_response in [1, 7, 99, 100, 101] {
        let fake = Fake { max_response, ..Fake::new(777) };
        with_reader(fake, |mut reader, fake| {
            let mut body = Vec::new();
            reader.read_to_end(&mut body).unwrap();
            assert!(body == fake.body);
            // To a position in the pending request, but after the end of its response.
            reader.seek(SeekFrom::Start(0)).unwrap();
            reader.read_exact(&mut [0; 90]).unwrap();
            reader.seek(SeekFrom::Current(150)).unwrap();
            let mut ten = [0; 10];
            reader.read_exact(&mut ten).unwrap();
            assert_eq!(ten, fake.body[240..250]);
        })
        .await;
    }
}

#[tokio::test]
async fn empty_responses_are_failures() {
    let fake = Fake { max_response: 0, ..Fake::new(777) };
    with_reader(fake, |mut reader, fake| {
        let error = reader.read(&mut [0; 10]).unwrap_err();
        assert_eq!(store_error(&error).kind, ErrorKind::Unavailable);
        assert_eq!(fake.requests().len(), 4);
    })
    .await;
}

#[tokio::test]
async fn an_empty_object_is_never_requested() {
    with_reader(Fake::new(0), |mut reader, fake| {
        assert_eq!(reader.read(&mut [0; 10]).unwrap(), 0);
        assert_eq!(reader.seek(SeekFrom::Start(10)).unwrap(), 10);
        assert_eq!(reader.read(&mut [0; 10]).unwrap(), 0);
        let error = reader.seek(SeekFrom::Current(-11)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert_eq!(fake.requests(), []);
    })
    .await;
}

#[test]
fn a_stopped_runtime_is_an_error() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let fake = Arc::new(Fake::new(500));
    let mut reader =
        Reader::with_read_ahead(fake.clone(), fake.meta(), runtime.handle().clone(), SMALL);
    drop(runtime);
    let error = reader.read(&mut [0; 10]).unwrap_err();
    assert_eq!(store_error(&error).kind, ErrorKind::Unavailable);
}

#[test]
fn a_reader_can_be_sent_to_any_thread() {
    fn any_thread<T: Send + Sync + 'static>() {}
    any_thread::<Reader>();
}
