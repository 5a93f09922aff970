//! A queue in the memory of this process, for tests and as the reference for the trait.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use crate::{
    Consumer, DeadLetter, DeadLetterReason, Error, ErrorKind, Lease, Message, Queue, QueueDepth,
};

const DEFAULT_DELIVERY_LIMIT: u32 = 20;

/// A queue in memory. All clones are the same queue.
#[derive(Debug, Clone)]
pub struct MemoryQueue {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    delivery_limit: u32,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    ready: VecDeque<Entry>,
    delayed: Vec<(Instant, Entry)>,
    leased: BTreeMap<u64, Entry>,
    dead: VecDeque<DeadLetter>,
    next_lease: u64,
}

#[derive(Debug, Clone)]
struct Entry {
    message: Message,
    redeliveries: u32,
}

impl MemoryQueue {
    /// Creates an empty queue with a delivery limit of 20.
    pub fn new() -> Self {
        Self::with_delivery_limit(DEFAULT_DELIVERY_LIMIT)
    }

    /// Creates an empty queue in which a message that came back unsettled more than
    /// `delivery_limit` times becomes a dead letter.
    pub fn with_delivery_limit(delivery_limit: u32) -> Self {
        let shared = Shared { delivery_limit, state: Mutex::default(), changed: Notify::new() };
        Self { shared: Arc::new(shared) }
    }

    /// Simulates a broken connection: every unsettled lease is lost and its message is delivered
    /// again.
    #[cfg(feature = "test-util")]
    pub fn lose_leases(&self) {
        let leased = std::mem::take(&mut self.shared.lock().leased);
        leased.into_values().for_each(|entry| self.shared.requeue(entry));
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
        let mut state = self.lock();
        if entry.redeliveries > self.delivery_limit {
            let reason = DeadLetterReason::delivery_limit(self.delivery_limit.into());
            state.dead.push_back(DeadLetter { message: entry.message, reason });
        } else {
            state.ready.push_front(entry);
        }
        drop(state);
        self.changed.notify_waiters();
    }

    fn update(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changed.notify_waiters();
    }
}

impl State {
    /// Leases the next message. If there is none, returns when the next delayed message is due.
    fn lease(&mut self) -> Result<(u64, Entry), Option<Instant>> {
        let now = Instant::now();
        let due = |(at, _): &mut (Instant, Entry)| *at <= now;
        self.ready.extend(self.delayed.extract_if(.., due).map(|(_, entry)| entry));
        let Some(entry) = self.ready.pop_front() else {
            return Err(self.delayed.iter().map(|(at, _)| *at).min());
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
        self.shared.update(|state| state.ready.push_back(Entry { message, redeliveries: 0 }));
        Ok(())
    }

    async fn consume(&self, in_flight: u16) -> Result<Box<dyn Consumer>, Error> {
        if in_flight == 0 {
            return Err(Error::new(ErrorKind::Other, "in_flight must be at least 1"));
        }
        let slots = Arc::new(Semaphore::new(in_flight.into()));
        Ok(Box::new(MemoryConsumer { shared: self.shared.clone(), slots, stopped: false }))
    }

    async fn depth(&self) -> Result<QueueDepth, Error> {
        let state = self.shared.lock();
        Ok(QueueDepth {
            ready: state.ready.len() as u64,
            delayed: state.delayed.len() as u64,
            dead: state.dead.len() as u64,
        })
    }

    async fn take_dead_letters(&self, limit: usize) -> Result<Vec<DeadLetter>, Error> {
        let mut state = self.shared.lock();
        let taken = limit.min(state.dead.len());
        Ok(state.dead.drain(..taken).collect())
    }
}

#[derive(Debug)]
struct MemoryConsumer {
    shared: Arc<Shared>,
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
            let leased = self.shared.lock().lease();
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

    fn redeliveries(&self) -> u32 {
        self.entry.redeliveries
    }

    async fn ack(self: Box<Self>) -> Result<(), Error> {
        self.settle().map(drop)
    }

    async fn retry(self: Box<Self>, delay: Duration) -> Result<(), Error> {
        let mut message = self.settle()?.message;
        message.attempt = message.attempt.saturating_add(1);
        let entry = Entry { message, redeliveries: 0 };
        self.shared.update(|state| state.delayed.push((Instant::now() + delay, entry)));
        Ok(())
    }

    async fn dead_letter(self: Box<Self>, reason: DeadLetterReason) -> Result<(), Error> {
        let message = self.settle()?.message;
        self.shared.update(|state| state.dead.push_back(DeadLetter { message, reason }));
        Ok(())
    }

    async fn release(self: Box<Self>) -> Result<(), Error> {
        self.shared.requeue(self.settle()?);
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
