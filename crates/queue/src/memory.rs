//! A queue in the memory of this process, for tests and as the reference for the trait.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use crate::{
    Announcement, Consumer, Counts, DeadLetter, DeadLetterReason, DeadLetters, Destination, Error,
    ErrorKind, Lease, Message, Origin, Queue, QueueDepth, Wanted,
};

const DEFAULT_DELIVERY_LIMIT: u32 = 20;
const DEFAULT_LEASE_TIME: Duration = Duration::from_secs(900);

/// A queue in memory. All clones are the same queue.
#[derive(Debug, Clone)]
pub struct MemoryQueue {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    delivery_limit: u32,
    lease_time: Duration,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    ready: HashMap<Origin, VecDeque<Entry>>,
    delayed: Vec<(Instant, Entry)>,
    parked: Vec<(Instant, Entry)>,
    leased: BTreeMap<u64, Entry>,
    held: Vec<Message>,
    announcements: Vec<Announcement>,
    dead: VecDeque<DeadLetter>,
    next_lease: u64,
}

#[derive(Debug, Clone)]
struct Entry {
    message: Message,
    origin: Origin,
    since: SystemTime,
    /// Number of times that this copy of the message came back unsettled.
    redeliveries: u32,
}

impl Entry {
    fn new(message: Message, origin: Origin) -> Self {
        Self { message, origin, since: SystemTime::now(), redeliveries: 0 }
    }
}

impl MemoryQueue {
    /// Creates an empty queue with a delivery limit of 20 and a lease time of 15 minutes.
    pub fn new() -> Self {
        Self::with_limits(DEFAULT_DELIVERY_LIMIT, DEFAULT_LEASE_TIME)
    }

    /// Creates an empty queue in which a message that came back unsettled more than
    /// `delivery_limit` times becomes a dead letter, and a parked message comes back after
    /// `lease_time`.
    pub fn with_limits(delivery_limit: u32, lease_time: Duration) -> Self {
        let (state, changed) = (Mutex::default(), Notify::new());
        Self { shared: Arc::new(Shared { delivery_limit, lease_time, state, changed }) }
    }

    /// Simulates a broken connection: every unsettled lease is lost and its message is delivered
    /// again.
    #[cfg(feature = "test-util")]
    pub fn lose_leases(&self) {
        let leased = std::mem::take(&mut self.shared.lock().leased);
        leased.into_values().for_each(|entry| self.shared.requeue(entry));
    }
}

impl MemoryQueue {
    /// Removes and returns what was announced.
    #[cfg(feature = "test-util")]
    pub fn take_announcements(&self) -> Vec<Announcement> {
        std::mem::take(&mut self.shared.lock().announcements)
    }
}

impl Default for MemoryQueue {
    fn default() -> Self {
        Self::new()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // No code panics while it holds the lock, so a poisoned lock still guards a consistent state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn requeue(&self, mut entry: Entry) {
        entry.redeliveries += 1;
        self.update(|state| {
            let is_kept = matches!(entry.origin, Origin::Undelivered | Origin::Watches);
            if entry.redeliveries > self.delivery_limit && !is_kept {
                state.push(Entry::new(entry.message, Origin::Undelivered));
            } else {
                state.ready.entry(entry.origin).or_default().push_front(entry);
            }
        });
    }

    fn update(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changed.notify_waiters();
    }
}

impl State {
    fn push(&mut self, entry: Entry) {
        self.ready.entry(entry.origin).or_default().push_back(entry);
    }

    /// Leases the next message from `origin`. If there is none, returns when the next message that
    /// waits is due.
    fn lease(&mut self, origin: Origin) -> Result<(u64, Entry), Option<Instant>> {
        let now = Instant::now();
        let due = |(at, _): &mut (Instant, Entry)| *at <= now;
        let delayed = self.delayed.extract_if(.., due);
        let due: Vec<_> = delayed.chain(self.parked.extract_if(.., due)).collect();
        due.into_iter().for_each(|(_, entry)| self.push(entry));
        let Some(entry) = self.ready.entry(origin).or_default().pop_front() else {
            return Err(self.delayed.iter().chain(&self.parked).map(|(at, _)| *at).min());
        };
        let id = self.next_lease;
        self.next_lease += 1;
        self.leased.insert(id, entry.clone());
        Ok((id, entry))
    }
}

#[async_trait]
impl Queue for MemoryQueue {
    async fn publish(&self, message: Message) -> Result<(), Error> {
        let origin = Origin::Jobs(message.lane);
        self.shared.update(|state| state.push(Entry::new(message, origin)));
        Ok(())
    }

    async fn publish_watch(&self, message: Message) -> Result<(), Error> {
        self.shared.update(|state| state.push(Entry::new(message, Origin::Watches)));
        Ok(())
    }

    async fn consume(&self, origin: Origin, in_flight: u16) -> Result<Box<dyn Consumer>, Error> {
        if in_flight == 0 {
            return Err(Error::new(ErrorKind::Other, "in_flight must be at least 1"));
        }
        let slots = Arc::new(Semaphore::new(in_flight.into()));
        Ok(Box::new(MemoryConsumer { shared: self.shared.clone(), origin, slots, stopped: false }))
    }

    fn lease_time(&self) -> Duration {
        self.shared.lease_time
    }

    fn is_connected(&self) -> bool {
        true
    }

    async fn depth(&self) -> Result<QueueDepth, Error> {
        let state = self.shared.lock();
        let is_watch = |(_, entry): &&(Instant, Entry)| entry.origin == Origin::Watches;
        let delayed_watches = state.delayed.iter().filter(is_watch).count();
        let ready_watches = state.ready.get(&Origin::Watches).map_or(0, VecDeque::len);
        Ok(QueueDepth {
            ready: state
                .ready
                .iter()
                .filter(|(origin, _)| !matches!(origin, Origin::Uploads | Origin::Watches))
                .map(|(_, entries)| entries.len() as u64)
                .sum(),
            delayed: (state.delayed.len() - delayed_watches) as u64,
            parked: state.parked.len() as u64,
            held: state.held.len() as u64,
            dead: state.dead.len() as u64,
            watches: (ready_watches + delayed_watches) as u64,
        })
    }

    async fn release_held(&self, wanted: Wanted<'_>) -> Result<u64, Error> {
        let mut released = 0;
        self.shared.update(|state| {
            let messages: Vec<_> = state.held.extract_if(.., |message| wanted(message)).collect();
            released = messages.len() as u64;
            for message in messages {
                let origin = Origin::Jobs(message.lane);
                state.push(Entry::new(message, origin));
            }
        });
        Ok(released)
    }

    async fn announce(&self, announcement: Announcement) -> Result<(), Error> {
        self.shared.lock().announcements.push(announcement);
        Ok(())
    }

    async fn dead_letters(&self) -> Result<Box<dyn DeadLetters>, Error> {
        let letters = std::mem::take(&mut self.shared.lock().dead);
        let reader = MemoryDeadLetters {
            shared: self.shared.clone(),
            letters,
            last: None,
            kept: Vec::new(),
        };
        Ok(Box::new(reader))
    }
}

#[derive(Debug)]
struct MemoryDeadLetters {
    shared: Arc<Shared>,
    /// Not read yet.
    letters: VecDeque<DeadLetter>,
    last: Option<DeadLetter>,
    /// Read before, and neither removed nor retried.
    kept: Vec<DeadLetter>,
}

impl MemoryDeadLetters {
    fn last(&mut self) -> Result<DeadLetter, Error> {
        self.last.take().ok_or_else(|| Error::new(ErrorKind::Other, "no dead letter was read"))
    }
}

#[async_trait]
impl DeadLetters for MemoryDeadLetters {
    async fn next(&mut self) -> Result<Option<DeadLetter>, Error> {
        self.kept.extend(self.last.take());
        self.last = self.letters.pop_front();
        Ok(self.last.clone())
    }

    async fn remove(&mut self) -> Result<(), Error> {
        self.last().map(drop)
    }

    async fn retry(&mut self, counts: Counts) -> Result<(), Error> {
        let message = Message { counts, ..self.last()?.message };
        let origin = Origin::Returned(message.lane);
        self.shared.update(|state| state.push(Entry::new(message, origin)));
        Ok(())
    }

    async fn close(self: Box<Self>) -> Result<(), Error> {
        Ok(())
    }
}

impl Drop for MemoryDeadLetters {
    fn drop(&mut self) {
        self.kept.extend(self.last.take());
        let mut state = self.shared.lock();
        for letter in self.letters.drain(..).rev().chain(self.kept.drain(..).rev()) {
            state.dead.push_front(letter);
        }
    }
}

#[derive(Debug)]
struct MemoryConsumer {
    shared: Arc<Shared>,
    origin: Origin,
    slots: Arc<Semaphore>,
    stopped: bool,
}

#[async_trait]
impl Consumer for MemoryConsumer {
    async fn next(&mut self) -> Option<Box<dyn Lease>> {
        if self.stopped {
            return None;
        }
        let slot = self.slots.clone().acquire_owned().await.ok()?;
        loop {
            // Registered before the state is read, so that no change in between is missed.
            let changed = self.shared.changed.notified();
            let leased = self.shared.lock().lease(self.origin);
            match leased {
                Ok((id, entry)) => {
                    let shared = self.shared.clone();
                    return Some(Box::new(MemoryLease { shared, id, entry, _slot: slot }));
                }
                Err(None) => changed.await,
                Err(Some(due)) => tokio::select! {
                    () = changed => {}
                    () = tokio::time::sleep_until(due) => {}
                },
            }
        }
    }

    /// Nothing is sent ahead in memory.
    async fn pause(&mut self) {}

    async fn stop(&mut self) {
        self.stopped = true;
    }
}

struct MemoryLease {
    shared: Arc<Shared>,
    id: u64,
    entry: Entry,
    _slot: OwnedSemaphorePermit,
}

impl fmt::Debug for MemoryLease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryLease").field("id", &self.id).field("entry", &self.entry).finish()
    }
}

impl MemoryLease {
    fn settle(&self) -> Result<Entry, Error> {
        let settled = self.shared.lock().leased.remove(&self.id);
        settled.ok_or_else(|| Error::new(ErrorKind::LeaseLost, "the lease is lost"))
    }
}

#[async_trait]
impl Lease for MemoryLease {
    fn message(&self) -> &Message {
        &self.entry.message
    }

    fn origin(&self) -> Origin {
        self.entry.origin
    }

    fn since(&self) -> Option<SystemTime> {
        Some(self.entry.since)
    }

    fn is_redelivered(&self) -> bool {
        self.entry.redeliveries > 0
    }

    fn given_up(&self) -> Option<DeadLetterReason> {
        let limit = self.shared.delivery_limit.into();
        (self.entry.origin == Origin::Undelivered).then(|| DeadLetterReason::delivery_limit(limit))
    }

    fn is_lost(&self) -> bool {
        !self.shared.lock().leased.contains_key(&self.id)
    }

    async fn ack(self: Box<Self>) -> Result<(), Error> {
        self.settle().map(drop)
    }

    async fn forward(
        self: Box<Self>,
        destination: Destination,
        counts: Counts,
    ) -> Result<(), Error> {
        let Entry { message, origin, .. } = self.settle()?;
        let message = Message { counts, ..message };
        let lane = message.lane;
        let back = origin.back(lane);
        let lease_time = self.shared.lease_time;
        let destination = destination.of(origin, lease_time);
        self.shared.update(|state| match destination {
            Destination::Returned => state.push(Entry::new(message, back)),
            Destination::Delayed(delay) => {
                state.delayed.push((Instant::now() + delay, Entry::new(message, back)));
            }
            Destination::Parked => {
                let due = Instant::now() + lease_time;
                state.parked.push((due, Entry::new(message, back)));
            }
            Destination::Long => state.push(Entry::new(message, Origin::Long(lane))),
            Destination::Held => state.held.push(message),
            Destination::Quarantine => state.push(Entry::new(message, Origin::Quarantine)),
            Destination::Dead(reason) => {
                let since = Some(SystemTime::now());
                state.dead.push_back(DeadLetter { message, reason, since });
            }
        });
        Ok(())
    }
}

impl Drop for MemoryLease {
    fn drop(&mut self) {
        if let Ok(entry) = self.settle() {
            self.shared.requeue(entry);
        }
    }
}
