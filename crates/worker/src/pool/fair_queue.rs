//! Entries that wait for a core, in the order that shares the cores fairly.

use std::collections::VecDeque;

use speech::compute::Owner;

/// Entries by class and owner. The next entry is of the class that has had the least of the cores for
/// its share, and there of the owner that has had the least. Who has had nothing to do meanwhile gets no
/// credit for that: it begins where the one that has had the least is.
#[derive(Debug)]
pub(super) struct FairQueue<T> {
    classes: Vec<Class<T>>,
    pushed: u64,
}

#[derive(Debug)]
struct Class<T> {
    share: f64,
    /// Core seconds per unit of the share.
    served: f64,
    /// Those that have entries, or a core.
    owners: Vec<Entries<T>>,
}

#[derive(Debug)]
struct Entries<T> {
    owner: Owner,
    /// Core seconds.
    served: f64,
    /// Cores in use.
    running: usize,
    waiting: VecDeque<(u64, T)>,
}

impl<T> FairQueue<T> {
    /// `shares` of the cores by class; without any, there is one class.
    pub(super) fn new(shares: &[f64]) -> Self {
        let shares = if shares.is_empty() { &[1.0] } else { shares };
        let class = |&share: &f64| Class { share, served: 0.0, owners: Vec::new() };
        Self { classes: shares.iter().map(class).collect(), pushed: 0 }
    }

    pub(super) fn push(&mut self, owner: Owner, entry: T) {
        self.pushed += 1;
        let class = self.class_of(owner);
        if self.classes[class].owners.is_empty() {
            let active = self.classes.iter().filter(|class| !class.owners.is_empty());
            let least = active.map(|class| class.served).min_by(f64::total_cmp);
            let served = &mut self.classes[class].served;
            *served = served.max(least.unwrap_or(0.0));
        }
        let owners = &mut self.classes[class].owners;
        let index = owners.iter().position(|entries| entries.owner == owner).unwrap_or_else(|| {
            let least = owners.iter().map(|entries| entries.served).min_by(f64::total_cmp);
            let served = least.unwrap_or(0.0);
            owners.push(Entries { owner, served, running: 0, waiting: VecDeque::new() });
            owners.len() - 1
        });
        owners[index].waiting.push_back((self.pushed, entry));
    }

    /// Returns the next entry without taking it.
    pub(super) fn peek(&self) -> Option<&T> {
        let (class, index) = self.next()?;
        self.classes[class].owners[index].waiting.front().map(|(_, entry)| entry)
    }

    /// Takes the next entry, whose owner has a core from now on until [`Self::done`].
    pub(super) fn pop(&mut self) -> Option<(Owner, T)> {
        let (class, index) = self.next()?;
        let entries = &mut self.classes[class].owners[index];
        let (_, entry) = entries.waiting.pop_front()?;
        entries.running += 1;
        Some((entries.owner, entry))
    }

    /// Ends the use of a core by `owner`, after so many seconds.
    pub(super) fn done(&mut self, owner: Owner, seconds: f64) {
        let index = self.class_of(owner);
        let class = &mut self.classes[index];
        class.served += seconds / class.share;
        if let Some(entries) = class.owners.iter_mut().find(|entries| entries.owner == owner) {
            entries.served += seconds;
            entries.running = entries.running.saturating_sub(1);
        }
        class.owners.retain(|entries| entries.running > 0 || !entries.waiting.is_empty());
    }

    fn class_of(&self, owner: Owner) -> usize {
        owner.class().min(self.classes.len() - 1)
    }

    /// Returns the class and the index of the owner whose entry is next.
    fn next(&self) -> Option<(usize, usize)> {
        let next_of = |class: &Class<T>| {
            let waiting = class.owners.iter().enumerate().filter_map(|(index, entries)| {
                Some((index, entries.served, entries.waiting.front()?.0))
            });
            let least = waiting.min_by(|a, b| a.1.total_cmp(&b.1).then(a.2.cmp(&b.2)));
            least.map(|(index, ..)| index)
        };
        let classes = self.classes.iter().enumerate();
        let waiting = classes.filter_map(|(class, of)| Some((class, next_of(of)?, of.served)));
        let least = waiting.min_by(|a, b| a.2.total_cmp(&b.2));
        least.map(|(class, index, _)| (class, index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Serves `count` entries of one second each, always refilled, and counts them by owner.
    fn serve(queue: &mut FairQueue<()>, owners: &[Owner], count: usize) -> Vec<usize> {
        let mut served = vec![0; owners.len()];
        for _ in 0..count {
            let (owner, ()) = queue.pop().unwrap();
            queue.push(owner, ());
            queue.done(owner, 1.0);
            served[owners.iter().position(|known| *known == owner).unwrap()] += 1;
        }
        served
    }

    #[test]
    fn entries_of_one_owner_keep_their_order() {
        let mut queue = FairQueue::new(&[]);
        let owner = Owner::new(0);
        (0..4).for_each(|entry| queue.push(owner, entry));
        let order: Vec<_> = std::iter::from_fn(|| queue.pop()).map(|(_, entry)| entry).collect();
        assert_eq!(order, [0, 1, 2, 3]);
    }

    #[test]
    fn owners_of_a_class_take_turns() {
        let mut queue = FairQueue::new(&[1.0]);
        let owners = [0; 3].map(Owner::new);
        // One has much more to do than the others.
        for _ in 0..9 {
            queue.push(owners[0], ());
        }
        owners[1..].iter().for_each(|owner| queue.push(*owner, ()));
        assert_eq!(serve(&mut queue, &owners, 30), [10, 10, 10]);
    }

    #[test]
    fn long_entries_count_for_more() {
        let mut queue = FairQueue::new(&[1.0]);
        let [long, short] = [0; 2].map(Owner::new);
        [long, short].iter().for_each(|owner| queue.push(*owner, ()));
        let mut served = [0, 0];
        for _ in 0..110 {
            let (owner, ()) = queue.pop().unwrap();
            queue.push(owner, ());
            queue.done(owner, if owner == long { 10.0 } else { 1.0 });
            served[usize::from(owner == short)] += 1;
        }
        assert_eq!(served, [10, 100]);
    }

    #[test]
    fn classes_get_their_shares_and_leave_no_core_idle() {
        let mut queue = FairQueue::new(&[8.0, 3.0, 1.0]);
        let owners = [0, 1, 2].map(Owner::new);
        owners.iter().for_each(|owner| queue.push(*owner, ()));
        assert_eq!(serve(&mut queue, &owners, 120), [80, 30, 10]);
        let mut idle = FairQueue::new(&[8.0, 3.0, 1.0]);
        idle.push(owners[2], ());
        assert_eq!(serve(&mut idle, &owners, 5), [0, 0, 5]);
        // Who comes later is not paid for the time before.
        idle.push(owners[0], ());
        assert_eq!(serve(&mut idle, &owners, 90), [80, 0, 10]);
    }

    #[test]
    fn a_class_that_does_not_exist_is_the_last() {
        let mut queue = FairQueue::new(&[1.0, 1.0]);
        queue.push(Owner::new(7), "x");
        assert_eq!(queue.peek(), Some(&"x"));
        let (owner, _) = queue.pop().unwrap();
        queue.done(owner, 1.0);
        assert!(queue.pop().is_none());
    }
}
