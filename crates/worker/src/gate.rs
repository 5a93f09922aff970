//! Lets jobs run together, or one of them alone.

use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard, watch};

/// A gate that suspects pass alone and all other jobs together. First come, first served: jobs that
/// arrive after a waiting suspect wait for it.
#[derive(Debug)]
pub(crate) struct Gate {
    lock: RwLock<()>,
    wanted: watch::Sender<usize>,
}

/// Held while a job runs beside others.
pub(crate) struct Together<'a> {
    _guard: RwLockReadGuard<'a, ()>,
}

/// Held while a job runs alone.
pub(crate) struct Alone<'a> {
    _guard: RwLockWriteGuard<'a, ()>,
    _wanted: Wanted<'a>,
}

/// Counts one job that waits to run alone, or does.
struct Wanted<'a>(&'a watch::Sender<usize>);

impl Default for Gate {
    fn default() -> Self {
        Self { lock: RwLock::new(()), wanted: watch::Sender::new(0) }
    }
}

impl Gate {
    pub(crate) async fn together(&self) -> Together<'_> {
        Together { _guard: self.lock.read().await }
    }

    pub(crate) async fn alone(&self) -> Alone<'_> {
        let wanted = Wanted(&self.wanted);
        self.wanted.send_modify(|count| *count += 1);
        Alone { _guard: self.lock.write().await, _wanted: wanted }
    }

    /// Returns the number of jobs that wait to run alone, or do: no other job should be leased.
    pub(crate) fn wanted(&self) -> watch::Receiver<usize> {
        self.wanted.subscribe()
    }
}

impl Drop for Wanted<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    const PAUSE: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn a_suspect_runs_alone() {
        let gate = Gate::default();
        let wanted = gate.wanted();
        let (first, second) = (gate.together().await, gate.together().await);
        assert_eq!(*wanted.borrow(), 0);
        {
            let alone = gate.alone();
            tokio::pin!(alone);
            assert!(timeout(PAUSE, &mut alone).await.is_err());
            assert_eq!(*wanted.borrow(), 1);
            // Nobody overtakes it.
            assert!(timeout(PAUSE, gate.together()).await.is_err());
            drop((first, second));
            let alone = alone.await;
            assert!(timeout(PAUSE, gate.together()).await.is_err());
            drop(alone);
        }
        assert_eq!(*wanted.borrow(), 0);
        gate.together().await;
    }

    #[tokio::test]
    async fn a_suspect_that_gives_up_blocks_nobody() {
        let gate = Gate::default();
        let running = gate.together().await;
        assert!(timeout(PAUSE, gate.alone()).await.is_err());
        assert_eq!(*gate.wanted().borrow(), 0);
        assert!(timeout(PAUSE, gate.together()).await.is_ok());
        drop(running);
    }
}
