//! What goes wrong, and when: a schedule that a seed decides, and the hands that do it.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{task::JoinSet, time::sleep};

use super::{Scene, broker::End, world::Queues};

/// Part of the requests that fail while jobs run, and in a storm.
pub(super) const USUAL_PERCENT: u8 = 2;
const STORM_PERCENT: u8 = 40;
/// The next fault comes after this time, also if no job ends meanwhile.
const PATIENCE: Duration = Duration::from_secs(10);

/// Something that goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    Kill(usize),
    Terminate(usize),
    /// The process stands still for a time, and seems dead.
    Suspend(usize, Duration),
    CutBroker(usize, Duration),
    /// The connections to the broker stay, and nothing passes.
    FreezeBroker(usize, Duration),
    CutBrokerOfAll(Duration),
    RestartBroker(End),
    StoreStorm(usize, Duration),
    StoreRefuses(usize, Duration),
    StoreRefusesAll(Duration),
    /// Another copy of the message of a job.
    Duplicate(usize),
    /// The clock of a worker is wrong by some seconds, for a time.
    Clock(usize, i64, Duration),
}

/// A fault, and when it comes: this part of the jobs has ended, and so much later.
#[derive(Debug, Clone)]
pub(super) struct Scheduled {
    pub(super) after: f64,
    delay: Duration,
    pub(super) fault: Fault,
}

impl fmt::Display for Scheduled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { after, delay, fault } = self;
        write!(f, "{:3.0} % + {:4} ms: {fault:?}", 100.0 * after, delay.as_millis())
    }
}

impl Fault {
    /// Its name in counts.
    fn name(&self) -> &'static str {
        match self {
            Self::Kill(_) => "SIGKILL",
            Self::Terminate(_) => "SIGTERM",
            Self::Suspend(..) => "SIGSTOP for seconds",
            Self::CutBroker(..) => "connections to the broker cut",
            Self::FreezeBroker(..) => "connections to the broker silent",
            Self::CutBrokerOfAll(_) => "connections of all workers cut",
            Self::RestartBroker(End::Sudden) => "broker killed and started",
            Self::RestartBroker(End::Orderly) => "broker stopped and started",
            Self::StoreStorm(..) => "storms of store errors",
            Self::StoreRefuses(..) => "store refuses one worker",
            Self::StoreRefusesAll(_) => "store refuses all workers",
            Self::Duplicate(_) => "late duplicates of messages",
            Self::Clock(..) => "steps of a clock",
        }
    }

    fn random(random: &mut fastrand::Rng, kind: usize, workers: usize, jobs: usize) -> Self {
        let worker = random.usize(0..workers);
        let time = Duration::from_millis(random.u64(500..4000));
        match kind {
            0 => Self::Kill(worker),
            1 => Self::Terminate(worker),
            2 => Self::Suspend(worker, time + Duration::from_secs(3)),
            3 => Self::CutBroker(worker, time),
            4 => Self::FreezeBroker(worker, time + Duration::from_secs(3)),
            5 => Self::CutBrokerOfAll(time),
            6 if random.bool() => Self::RestartBroker(End::Sudden),
            6 => Self::RestartBroker(End::Orderly),
            7 => Self::StoreStorm(worker, time),
            8 => Self::StoreRefuses(worker, time),
            9 => Self::StoreRefusesAll(time),
            10 => Self::Duplicate(random.usize(0..jobs)),
            _ => {
                let steps = [-86_400, -1200, -90, -5, 5, 90, 1200, 86_400];
                Self::Clock(worker, steps[random.usize(0..steps.len())], time)
            }
        }
    }

    /// Returns the workers whose leases it takes away.
    fn victims(&self, workers: usize) -> Vec<usize> {
        match self {
            Self::Kill(worker)
            | Self::Terminate(worker)
            | Self::Suspend(worker, _)
            | Self::CutBroker(worker, _)
            | Self::FreezeBroker(worker, _) => vec![*worker],
            Self::CutBrokerOfAll(_) | Self::RestartBroker(_) => (0..workers).collect(),
            _ => Vec::new(),
        }
    }
}

/// Kinds of faults, each as often as it is to come: once each first.
const KINDS: [usize; 40] = [
    0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, // each
    0, 0, 0, 0, 1, 1, 2, 3, 3, 4, 5, 7, 7, 7, 7, 8, 8, 9, 10, 10, 10, 10, 10, 10, 11, 11, 0, 7,
];

/// Plans what goes wrong with `jobs` jobs: everything at least once, and about one thing for three jobs.
pub(super) fn schedule(random: &mut fastrand::Rng, workers: usize, jobs: usize) -> Vec<Scheduled> {
    let count = (jobs / 3).max(14);
    let mut kinds: Vec<_> = (0..count)
        .map(
            |number| {
                if number < 12 { KINDS[number] } else { KINDS[random.usize(12..KINDS.len())] }
            },
        )
        .collect();
    // A restart takes seconds in which nothing else can go wrong.
    let restarts = (jobs / 60).saturating_sub(1);
    kinds.extend(std::iter::repeat_n(6, restarts));
    random.shuffle(&mut kinds);
    let last = kinds.len() as f64;
    let fault = |(number, kind)| Scheduled {
        after: 0.9 * number as f64 / last,
        delay: Duration::from_millis(random.u64(0..700)),
        fault: Fault::random(random, kind, workers, jobs),
    };
    kinds.into_iter().enumerate().map(fault).collect()
}

/// Lets everything go wrong in its time, and returns when all is well again.
pub(super) async fn inflict(scene: &Arc<Scene>, schedule: Vec<Scheduled>) {
    let mut under_way = JoinSet::new();
    for scheduled in schedule {
        let begin = Instant::now();
        while scene.part_ended().await < scheduled.after && begin.elapsed() < PATIENCE {
            sleep(Duration::from_millis(200)).await;
        }
        sleep(scheduled.delay).await;
        let Scheduled { fault, .. } = scheduled;
        if matches!(fault, Fault::Clock(..)) && !scene.has_clocks {
            continue;
        }
        let seconds = scene.begin.elapsed().as_secs_f64();
        println!(
            "chaos: {seconds:5.1} s, {:.0} % ended: {fault:?}",
            100.0 * scene.part_ended().await
        );
        scene.report.count(fault.name());
        let victims = fault.victims(scene.slots.len());
        let names: Vec<_> = victims.iter().filter_map(|slot| scene.slots[*slot].name()).collect();
        let before = scene.jobs_alone(&names).await;
        let waits = matches!(fault, Fault::Kill(_) | Fault::Terminate(_) | Fault::RestartBroker(_));
        let hand = Arc::clone(scene);
        let injecting = under_way.spawn(async move { hand.inflict(fault).await });
        if waits {
            while !injecting.is_finished() {
                sleep(Duration::from_millis(20)).await;
            }
        }
        if !names.is_empty() {
            let after = scene.jobs_alone(&names).await;
            scene.report.leases_lost(names.len(), before.into_iter().chain(after));
        }
    }
    while let Some(over) = under_way.join_next().await {
        over.unwrap();
    }
}

impl Scene {
    async fn inflict(&self, fault: Fault) {
        match fault {
            Fault::Kill(slot) => _ = self.slots[slot].signal("KILL"),
            Fault::Terminate(slot) => _ = self.slots[slot].signal("TERM"),
            Fault::Suspend(slot, time) => {
                self.slots[slot].signal("STOP");
                sleep(time).await;
                self.slots[slot].signal("CONT");
            }
            Fault::CutBroker(slot, time) => self.slots[slot].cut_broker(time).await,
            Fault::FreezeBroker(slot, time) => self.slots[slot].freeze_broker(time).await,
            Fault::CutBrokerOfAll(time) => {
                let cut = self.slots.iter().map(|slot| slot.cut_broker(time));
                futures::future::join_all(cut).await;
            }
            Fault::RestartBroker(end) => {
                let broker = Arc::clone(&self.broker);
                let restart = tokio::task::spawn_blocking(move || {
                    broker.stop(end);
                    broker.start();
                });
                restart.await.unwrap();
            }
            Fault::StoreStorm(slot, time) => {
                self.slots[slot].gateway.fail(STORM_PERCENT);
                sleep(time).await;
                self.slots[slot].gateway.fail(USUAL_PERCENT);
            }
            Fault::StoreRefuses(slot, time) => self.slots[slot].gateway.refuse(time).await,
            Fault::StoreRefusesAll(time) => {
                let refuse = self.slots.iter().map(|slot| slot.gateway.refuse(time));
                futures::future::join_all(refuse).await;
            }
            Fault::Duplicate(job) => self.duplicate(job).await,
            Fault::Clock(slot, seconds, time) => {
                self.slots[slot].step_clock(seconds);
                sleep(time + Duration::from_secs(1)).await;
                self.slots[slot].step_clock(0);
            }
        }
    }

    /// Publishes the message of a job again.
    async fn duplicate(&self, job: usize) {
        let job = &self.jobs[job];
        if !job.is_recorded() {
            return;
        }
        let batch = &self.batches[&job.route];
        let message = job.message(&self.places, batch).to_string();
        // The broker may be down.
        let Some(queues) = Queues::try_connect(&self.broker.url, &self.queue_prefix).await else {
            return;
        };
        // Without a confirmation, it may be there all the same.
        queues.try_publish(job.queue, &job.id(batch), message.as_bytes()).await;
    }
}
