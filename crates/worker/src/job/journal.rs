//! The journal of one run of a job, in memory: what earlier runs have computed, and what this one has
//! computed and not written yet. `checkpoint` moves it from and to the store.

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    mem,
    sync::Mutex,
};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use speech::pipeline::{Journal, TaskKey, TaskResult};
use tokio::sync::Notify;

use crate::lock;

/// A checkpoint that grows beyond this is written at once.
const CHECKPOINT_BYTES: usize = 4 << 20;
/// What may wait for a store that does not answer. Results beyond that are not kept: whoever needs
/// them computes them again.
const MAX_PENDING_BYTES: usize = 32 << 20;

/// Windows that were recognized and the seconds of audio in them.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Amount {
    pub(crate) windows: usize,
    pub(crate) audio_seconds: f64,
}

#[derive(Debug, Default)]
pub(crate) struct TaskJournal {
    /// Lines of earlier runs that have not been recalled. They are read when they are needed, so that
    /// their memory is bounded by what was loaded.
    earlier: Mutex<HashMap<TaskKey, Bytes>>,
    recalled: Mutex<Amount>,
    pending: Mutex<Pending>,
    full: Notify,
}

/// Lines of this run that have not been written.
#[derive(Debug, Default)]
struct Pending {
    lines: VecDeque<Bytes>,
    bytes: usize,
    /// Whether lines were left out because there were too many.
    overflowed: bool,
}

/// One line of a checkpoint.
#[derive(Serialize)]
struct Line<'a> {
    key: &'a TaskKey,
    result: &'a TaskResult,
}

/// The key of a line, without its result.
#[derive(Deserialize)]
struct KeyOfLine {
    key: TaskKey,
}

#[derive(Deserialize)]
struct ResultOfLine {
    result: TaskResult,
}

impl Amount {
    fn add(&mut self, key: &TaskKey) {
        let audio_seconds = key.audio_seconds();
        self.windows += usize::from(audio_seconds > 0.0);
        self.audio_seconds += audio_seconds;
    }
}

impl TaskJournal {
    /// Adds lines that earlier runs have written. Returns how much they stand for, and the number of
    /// lines that cannot be read.
    pub(super) fn add(&self, lines: Vec<Bytes>) -> (Amount, usize) {
        let mut earlier = lock(&self.earlier);
        let (mut added, mut unreadable) = (Amount::default(), 0);
        for line in lines {
            match serde_json::from_slice::<KeyOfLine>(&line) {
                Ok(KeyOfLine { key }) => {
                    // Two holders of the job may have computed the same window.
                    if let Entry::Vacant(place) = earlier.entry(key) {
                        added.add(place.key());
                        place.insert(line);
                    }
                }
                Err(_) => unreadable += 1,
            }
        }
        (added, unreadable)
    }

    /// Returns how much has been recalled so far.
    pub(super) fn recalled(&self) -> Amount {
        *lock(&self.recalled)
    }

    /// Takes the oldest lines that have not been written, enough for one checkpoint.
    pub(super) fn take(&self) -> Vec<Bytes> {
        let mut pending = lock(&self.pending);
        let (mut taken, mut bytes) = (Vec::new(), 0);
        while bytes < CHECKPOINT_BYTES
            && let Some(line) = pending.lines.pop_front()
        {
            bytes += line.len();
            taken.push(line);
        }
        pending.bytes -= bytes;
        taken
    }

    /// Puts lines back that could not be written.
    pub(super) fn put_back(&self, lines: Vec<Bytes>) {
        let mut pending = lock(&self.pending);
        for line in lines.into_iter().rev() {
            pending.bytes += line.len();
            pending.lines.push_front(line);
        }
    }

    /// Waits until there is enough for a checkpoint.
    pub(super) async fn full(&self) {
        self.full.notified().await;
    }
}

impl Journal for TaskJournal {
    fn recall(&self, key: &TaskKey) -> Option<TaskResult> {
        let line = lock(&self.earlier).remove(key)?;
        let Ok(ResultOfLine { result }) = serde_json::from_slice(&line) else {
            tracing::warn!("a window of a checkpoint cannot be read: it is computed again");
            return None;
        };
        lock(&self.recalled).add(key);
        Some(result)
    }

    fn record(&self, key: TaskKey, result: &TaskResult) {
        let line = match serde_json::to_vec(&Line { key: &key, result }) {
            Ok(line) => Bytes::from(line),
            Err(error) => return tracing::warn!(%error, "a window cannot be recorded"),
        };
        let mut pending = lock(&self.pending);
        if pending.bytes + line.len() > MAX_PENDING_BYTES {
            if !mem::replace(&mut pending.overflowed, true) {
                tracing::warn!(
                    "too many windows wait for the store of the checkpoints: further ones are not kept"
                );
            }
            return;
        }
        pending.overflowed = false;
        let before = pending.bytes;
        pending.bytes += line.len();
        pending.lines.push_back(line);
        if before < CHECKPOINT_BYTES && pending.bytes >= CHECKPOINT_BYTES {
            self.full.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use speech::compute::thread_cpu_seconds;

    use super::*;

    fn key(number: u64) -> TaskKey {
        let key = json!({
            "track": 1, "decoder": null, "channels": 1, "channel": 0,
            "input": {"Window": {
                "pieces": [[number * 16_000, (number + 1) * 16_000]], "language": null,
                "word_times": false,
            }},
        });
        serde_json::from_value(key).unwrap()
    }

    fn result(text: &str) -> TaskResult {
        let window = json!({
            "hypotheses": [{"start": 0, "end": 0, "text": text, "tokens": [], "log_probability": 0,
                "words": [], "emotion": null, "event": null}],
            "language": null, "text_language": null,
        });
        let result = json!({"output": {"Window": window}, "seconds": 0});
        serde_json::from_value(result).unwrap()
    }

    #[test]
    fn what_one_run_records_the_next_one_recalls_once() {
        let (first, second) = (TaskJournal::default(), TaskJournal::default());
        first.record(key(0), &result("a"));
        first.record(key(1), &result("b"));
        assert_eq!(first.recall(&key(0)), None, "a run computes no window twice");
        let mut lines = first.take();
        assert_eq!((lines.len(), first.take().len()), (2, 0));
        lines.extend(lines.clone());
        lines.push(Bytes::from_static(b"{\"key\": {}}"));
        let added = second.add(lines);
        assert_eq!(added, (Amount { windows: 2, audio_seconds: 2.0 }, 1));
        assert_eq!(second.recall(&key(1)), Some(result("b")));
        assert_eq!(second.recall(&key(1)), None);
        assert_eq!(second.recall(&key(2)), None);
        assert_eq!(second.recalled(), Amount { windows: 1, audio_seconds: 1.0 });
        assert!(second.take().is_empty(), "what was recalled is in the store already");
    }

    #[test]
    fn a_result_that_cannot_be_read_is_computed_again() {
        let journal = TaskJournal::default();
        let line = json!({"key": serde_json::to_value(key(0)).unwrap(), "result": {"text": "a"}});
        let (added, unreadable) = journal.add(vec![line.to_string().into()]);
        assert_eq!((added.windows, unreadable), (1, 0));
        assert_eq!(journal.recall(&key(0)), None);
        assert_eq!(journal.recalled(), Amount::default());
    }

    #[tokio::test]
    async fn lines_are_kept_in_order_and_within_limits() {
        let journal = TaskJournal::default();
        let large = "x".repeat(CHECKPOINT_BYTES / 2);
        for number in 0..20 {
            journal.record(key(number), &result(&large));
        }
        journal.full().await;
        let first = journal.take();
        assert_eq!(first.len(), 2, "each is more than a half");
        let again = first.clone();
        journal.put_back(first);
        assert_eq!(journal.take(), again);
        let mut rest = 0;
        while !journal.take().is_empty() {
            rest += 1;
        }
        // 15 windows of 2 MB and a little fit into 32 MB.
        assert_eq!(rest, 7);
        journal.record(key(30), &result("b"));
        assert_eq!(journal.take().len(), 1);
    }

    /// Windows take at least 300 ms of CPU time, batches of embeddings 100 ms.
    #[test]
    fn a_task_is_recorded_in_less_than_a_hundredth_of_its_cost() {
        let words: Vec<_> = (0..80_u64)
            .map(|n| {
                let bits = (n as f64 / 7.0).to_bits();
                json!({"start": bits, "end": bits, "text": "amiable", "log_probability": 3_200_000_000_u32})
            })
            .collect();
        let window = json!({"Window": {
            "hypotheses": [{"start": 0, "end": 0, "text": "amiable ".repeat(80),
                "tokens": vec![50_000; 150], "log_probability": 0, "words": words,
                "emotion": null, "event": null}],
            "language": "en", "text_language": "en",
        }});
        let voices = json!({"Speakers": {"Windows": {
            "width": 192, "vectors": "0123456789abcdef".repeat(16 * 192 / 4),
        }}});
        for (name, output, most) in [("window", window, 0.003), ("voices", voices, 0.001)] {
            let result: TaskResult =
                serde_json::from_value(json!({"output": output, "seconds": 0})).unwrap();
            let journal = TaskJournal::default();
            let start = thread_cpu_seconds();
            for number in 0..50 {
                journal.record(key(number), &result);
            }
            let seconds = (thread_cpu_seconds() - start) / 50.0;
            let bytes = journal.take()[0].len();
            println!("{name}: {bytes} bytes, {:.3} ms", seconds * 1000.0);
            assert!(seconds < most, "{seconds} s");
        }
    }
}
