//! Checks the protocol of queue, ledger and workers in all interleavings of a small world: one job, two
//! workers, and a few crashes, lost connections, duplicated messages and failures of the job. The
//! decisions are those of [`super::state`]; the steps around them are those of the runner and the ledger.

use job::{Failed, Failure, FailureCode, RECORDS_VERSION, Running};
use ledger::Outcome;
use queue::{Counts, Lane, Origin};
use stateright::{Checker, Expectation, Model, Property};

use super::state::{
    Action, Admission, End, Event, Evidence, LeaseState, admit, is_suspect, may_have_run,
    may_lack_letter,
};

const WORKERS: usize = 2;
const MAX_CRASHES: u8 = 2;
/// Attempts after which the job is given up.
const MAX_ATTEMPTS: u8 = 2;

/// What may still go wrong, and how often.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Faults {
    crashes: u8,
    lost_connections: u8,
    duplicates: u8,
    failures: u8,
    releases: u8,
    parks: u8,
    beats: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Place {
    Jobs,
    Returned,
    Quarantine,
    Delayed,
    Parked,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Numbers {
    attempts: u8,
    crashes: u8,
    /// Version of the record of the run when the message was parked; 0: it was not.
    seen: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Letter {
    place: Place,
    redelivered: bool,
    numbers: Numbers,
    holder: Option<usize>,
}

/// The record of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Record {
    version: u8,
    alone: bool,
    crashes: u8,
    handed_back: Option<u8>,
}

/// A run in a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Attempt {
    state: LeaseState,
    numbers: Numbers,
    alone: bool,
    /// Whether the job may have run before.
    ran_before: bool,
    /// Version of the record of this run; 0: there is none yet.
    version: u8,
}

impl Attempt {
    /// Whether there may be a record of a run, of this one or another.
    fn may_be_recorded(&self) -> bool {
        self.ran_before || self.version > 0
    }
}

/// What a worker does next: each is one write, or one read with a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Step {
    Idle,
    Admit(Letter),
    Start(Attempt),
    Run(Attempt),
    Park(Attempt),
    AckParked(Attempt),
    PutDone(Attempt),
    DeleteError(Then),
    DeleteRunning(Then),
    /// Looks whether the job, whose message somebody else has, has ended.
    Abandon,
    FailLook(Numbers),
    FailPut(Numbers),
    /// With whether this failure is the first.
    FailPutError(Numbers, bool),
    FailLookAgain(Numbers, bool),
    HandBack(Attempt, u8),
    Forward(Option<Place>, Numbers),
    Ack,
    /// The failure was recorded before.
    AckSuperfluous(Numbers),
}

/// What follows the deletion of the record of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Then {
    DeleteRunning,
    Nothing,
    Ack,
    AckSuperfluous(Numbers),
    /// `None`: to the dead letters.
    Forward(Option<Place>, Numbers),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct World {
    letters: Vec<Letter>,
    workers: [Step; WORKERS],
    running: Option<Record>,
    done: bool,
    failed: bool,
    error_record: bool,
    /// Number of dead letters.
    dead: u8,
    left: Faults,
    /// Independent faults that happened: crashes, lost connections, and runs that seem dead.
    faults: u8,
    /// Number of times that the record of a run has been written.
    versions: u8,
    adopted: bool,
    handed_back: bool,
    given_up: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Move {
    /// A worker leases a message.
    Lease(usize, usize),
    /// A worker does its next step.
    Step(usize),
    /// Its run ends.
    End(usize, End),
    /// It goes on for longer than a moment, and is recorded.
    Record(usize),
    TimeOver(usize),
    NoticeLoss(usize),
    Beat(usize),
    Crash(usize),
    LoseConnection(usize),
    /// A message that waits is due.
    Due(usize),
    Duplicate(usize),
}

/// The protocol under some faults, and what must be reachable under them.
struct Protocol {
    faults: Faults,
    reaches: &'static [&'static str],
}

impl World {
    fn send(&mut self, letter: Letter) {
        self.letters.push(letter);
        // The order of the messages means nothing.
        self.letters.sort_unstable();
    }

    fn forward(&mut self, to: Option<Place>, numbers: Numbers) {
        match to {
            Some(place) => {
                self.send(Letter { place, redelivered: false, numbers, holder: None });
            }
            None => self.dead += 1,
        }
    }

    fn holds(&self, worker: usize) -> bool {
        self.letters.iter().any(|letter| letter.holder == Some(worker))
    }

    fn may_lack_letter(&self, worker: usize) -> bool {
        let mut held = self.letters.iter().filter(|letter| letter.holder == Some(worker));
        held.any(|letter| {
            may_lack_letter(origin(letter.place), letter.redelivered, &counts(letter.numbers))
        })
    }

    /// Gives all messages of a worker back: it died or lost its connection.
    fn lose(&mut self, worker: usize) {
        for letter in &mut self.letters {
            if letter.holder == Some(worker) {
                (letter.holder, letter.redelivered) = (None, true);
            }
        }
        self.letters.sort_unstable();
        self.faults += 1;
    }

    fn write_running(&mut self, attempt: &Attempt, handed_back: Option<u8>) -> u8 {
        self.versions += 1;
        self.running = Some(Record {
            version: self.versions,
            alone: attempt.alone,
            crashes: attempt.numbers.crashes,
            handed_back,
        });
        self.versions
    }

    /// Numbers the versions of the record from 1: only whether two are equal means anything.
    fn renumber(&mut self) {
        let mut known = vec![0];
        let mut renumber = |version: &mut u8| {
            let index = known.iter().position(|known| known == version).unwrap_or(known.len());
            if index == known.len() {
                known.push(*version);
            }
            *version = small(u32::try_from(index).unwrap_or(u32::MAX));
        };
        if let Some(record) = &mut self.running {
            renumber(&mut record.version);
        }
        for step in &mut self.workers {
            match step {
                Step::Start(attempt)
                | Step::Run(attempt)
                | Step::PutDone(attempt)
                | Step::Park(attempt)
                | Step::AckParked(attempt)
                | Step::HandBack(attempt, _) => {
                    renumber(&mut attempt.version);
                    renumber(&mut attempt.numbers.seen);
                }
                Step::Admit(letter) => renumber(&mut letter.numbers.seen),
                Step::DeleteRunning(Then::Forward(_, numbers) | Then::AckSuperfluous(numbers))
                | Step::AckSuperfluous(numbers)
                | Step::FailLook(numbers)
                | Step::FailPut(numbers)
                | Step::FailPutError(numbers, _)
                | Step::FailLookAgain(numbers, _)
                | Step::Forward(_, numbers) => renumber(&mut numbers.seen),
                Step::Idle
                | Step::DeleteError(_)
                | Step::DeleteRunning(Then::Ack | Then::Nothing | Then::DeleteRunning)
                | Step::Abandon
                | Step::Ack => {}
            }
        }
        for letter in &mut self.letters {
            renumber(&mut letter.numbers.seen);
        }
        self.letters.sort_unstable();
        self.versions = small(u32::try_from(known.len() - 1).unwrap_or(u32::MAX));
    }

    fn is_quiet(&self) -> bool {
        self.letters.is_empty() && self.workers.iter().all(|step| *step == Step::Idle)
    }

    fn evidence(&self, letter: &Letter) -> Evidence {
        let origin = origin(letter.place);
        let outcome = if self.done {
            Some(Outcome::Done)
        } else {
            self.failed.then(|| Outcome::Failed(Box::new(failure())))
        };
        let running = self.running.map(|record| {
            let running = Running {
                version: RECORDS_VERSION,
                source: String::new(),
                worker: String::new(),
                started_at: String::new(),
                alone: record.alone,
                crashes: record.crashes.into(),
                beat: 0,
                handed_back: record.handed_back.map(u32::from),
            };
            (running, record.version.to_string())
        });
        let counts = counts(letter.numbers);
        Evidence { origin, redelivered: letter.redelivered, counts, outcome, running }
    }

    /// Looks at the ledger and decides what the message calls for.
    fn admit(&mut self, letter: &Letter) -> Step {
        let counts = counts(letter.numbers);
        let numbers = Numbers { seen: 0, ..letter.numbers };
        let admission = if is_suspect(origin(letter.place), letter.redelivered, &counts) {
            admit(self.evidence(letter), MAX_CRASHES.into())
        } else {
            Admission::Run { alone: false, attempts: counts.attempts }
        };
        match admission {
            Admission::Run { alone, attempts } => {
                let numbers = Numbers { attempts: small(attempts), ..numbers };
                let ran_before = may_have_run(origin(letter.place), letter.redelivered, &counts);
                let state = LeaseState::Held;
                let attempt = Attempt { state, numbers, alone, ran_before, version: 0 };
                if alone { Step::Start(attempt) } else { Step::Run(attempt) }
            }
            Admission::Ack => Step::DeleteError(Then::DeleteRunning),
            Admission::Bury(_) => Step::FailLook(numbers),
            Admission::Park { seen } => {
                let seen = seen.parse().unwrap_or_default();
                Step::Forward(Some(Place::Parked), Numbers { seen, ..numbers })
            }
            Admission::Quarantine { crashes } => {
                let numbers = Numbers { crashes: small(crashes), ..numbers };
                Step::Forward(Some(Place::Quarantine), numbers)
            }
            Admission::GiveUp { .. } => {
                self.given_up = true;
                Step::FailLook(numbers)
            }
        }
    }

    /// Returns the first step of settling a run that ended.
    fn settle(&self, attempt: Attempt, end: End) -> Step {
        let Attempt { numbers, alone, state, .. } = attempt;
        let (_, action) = state.on(Event::Ended(end));
        let next = Numbers { attempts: numbers.attempts + 1, ..numbers };
        let forward = |place, numbers| {
            if attempt.may_be_recorded() {
                Step::DeleteRunning(Then::Forward(Some(place), numbers))
            } else {
                Step::Forward(Some(place), numbers)
            }
        };
        match action {
            Action::Ack => Step::Ack,
            Action::GiveUp => Step::FailLook(numbers),
            Action::Retry => forward(Place::Delayed, next),
            Action::Release if alone => forward(Place::Quarantine, numbers),
            Action::Release => forward(Place::Returned, numbers),
            Action::HandBack => {
                let spent = u8::from(end == End::Retry);
                Step::HandBack(attempt, numbers.attempts + spent)
            }
            Action::Nothing if attempt.may_be_recorded() => Step::Abandon,
            Action::Nothing | Action::Park => Step::Idle,
        }
    }

    /// Does the next step of a worker, and returns the one after it.
    fn step(&mut self, worker: usize) -> Step {
        match self.workers[worker] {
            Step::Idle => Step::Idle,
            Step::Admit(letter) => self.admit(&letter),
            Step::Start(attempt) => {
                let version = self.write_running(&attempt, None);
                Step::Run(Attempt { version, ..attempt })
            }
            Step::Run(attempt) => Step::Run(attempt),
            Step::Park(attempt) => {
                if !self.holds(worker) {
                    return Step::Run(Attempt { state: LeaseState::Lost, ..attempt });
                }
                let numbers = Numbers { seen: attempt.version, ..attempt.numbers };
                self.forward(Some(Place::Parked), numbers);
                Step::AckParked(attempt)
            }
            Step::AckParked(attempt) => {
                let held = self.acknowledge(worker);
                let state = if held { LeaseState::Parked } else { LeaseState::Lost };
                Step::Run(Attempt { state, ..attempt })
            }
            Step::PutDone(attempt) => {
                self.done = true;
                let recorded = attempt.may_be_recorded();
                Step::DeleteError(if recorded { Then::DeleteRunning } else { Then::Ack })
            }
            Step::DeleteError(then) => {
                self.error_record = false;
                match then {
                    Then::DeleteRunning => Step::DeleteRunning(Then::Ack),
                    _ => Step::Ack,
                }
            }
            Step::DeleteRunning(then) => {
                self.running = None;
                match then {
                    Then::Ack | Then::DeleteRunning => Step::Ack,
                    Then::Nothing => Step::Idle,
                    Then::AckSuperfluous(numbers) => Step::AckSuperfluous(numbers),
                    Then::Forward(place, numbers) => Step::Forward(place, numbers),
                }
            }
            Step::Abandon if self.done || self.failed => Step::DeleteRunning(Then::Nothing),
            Step::Abandon => Step::Idle,
            Step::FailLook(_) if self.done => Step::DeleteRunning(Then::Ack),
            Step::FailLook(numbers) => Step::FailPut(numbers),
            Step::FailPut(numbers) => {
                let first = !std::mem::replace(&mut self.failed, true);
                Step::FailPutError(numbers, first)
            }
            Step::FailPutError(numbers, first) => {
                self.error_record = true;
                Step::FailLookAgain(numbers, first)
            }
            Step::FailLookAgain(..) if self.done => Step::DeleteError(Then::DeleteRunning),
            Step::FailLookAgain(numbers, false) => {
                Step::DeleteRunning(Then::AckSuperfluous(numbers))
            }
            Step::FailLookAgain(numbers, _) => Step::DeleteRunning(Then::Forward(None, numbers)),
            Step::HandBack(attempt, attempts) => {
                self.write_running(&attempt, Some(attempts));
                self.handed_back = true;
                Step::Abandon
            }
            Step::Forward(place, numbers) => {
                // Nothing is published without a lease.
                if self.holds(worker) {
                    self.forward(place, numbers);
                }
                Step::Ack
            }
            Step::AckSuperfluous(numbers) if self.may_lack_letter(worker) => {
                Step::Forward(None, numbers)
            }
            Step::Ack | Step::AckSuperfluous(_) => {
                self.acknowledge(worker);
                Step::Idle
            }
        }
    }

    /// Deletes the messages that a worker holds; returns whether there is one.
    fn acknowledge(&mut self, worker: usize) -> bool {
        let held = self.holds(worker);
        self.letters.retain(|letter| letter.holder != Some(worker));
        held
    }
}

impl Model for Protocol {
    type State = World;
    type Action = Move;

    fn init_states(&self) -> Vec<World> {
        let numbers = Numbers::default();
        vec![World {
            letters: vec![Letter { place: Place::Jobs, redelivered: false, numbers, holder: None }],
            workers: [Step::Idle; WORKERS],
            running: None,
            done: false,
            failed: false,
            error_record: false,
            dead: 0,
            left: self.faults,
            faults: 0,
            versions: 0,
            adopted: false,
            handed_back: false,
            given_up: false,
        }]
    }

    fn actions(&self, world: &World, moves: &mut Vec<Move>) {
        let left = &world.left;
        for (index, letter) in world.letters.iter().enumerate() {
            if letter.holder.is_some() {
                continue;
            }
            if matches!(letter.place, Place::Delayed | Place::Parked) {
                moves.push(Move::Due(index));
            } else {
                moves.extend((0..WORKERS).map(|worker| Move::Lease(worker, index)));
            }
            if left.duplicates > 0 {
                moves.push(Move::Duplicate(index));
            }
        }
        for (worker, step) in world.workers.iter().enumerate() {
            match step {
                Step::Idle => continue,
                Step::Run(attempt) => {
                    moves.push(Move::End(worker, End::Done));
                    if left.failures > 0 {
                        moves.push(Move::End(worker, End::Failed));
                        moves.push(Move::End(worker, End::Retry));
                    }
                    if left.releases > 0 {
                        moves.push(Move::End(worker, End::Released));
                    }
                    if attempt.state == LeaseState::Held && attempt.version == 0 {
                        moves.push(Move::Record(worker));
                    }
                    // A run is recorded long before that.
                    if attempt.state == LeaseState::Held && left.parks > 0 && attempt.version > 0 {
                        moves.push(Move::TimeOver(worker));
                    }
                    if attempt.state == LeaseState::Held && !world.holds(worker) {
                        moves.push(Move::NoticeLoss(worker));
                    }
                    if attempt.state == LeaseState::Parked && left.beats > 0 {
                        moves.push(Move::Beat(worker));
                    }
                }
                _ => moves.push(Move::Step(worker)),
            }
            if left.crashes > 0 {
                moves.push(Move::Crash(worker));
            }
            if left.lost_connections > 0 && world.holds(worker) {
                moves.push(Move::LoseConnection(worker));
            }
        }
    }

    fn next_state(&self, last: &World, action: Move) -> Option<World> {
        let mut world = last.clone();
        match action {
            Move::Lease(worker, index) => {
                let letter = world.letters[index];
                match &mut world.workers[worker] {
                    step @ Step::Idle => *step = Step::Admit(letter),
                    Step::Run(attempt) => {
                        attempt.state = attempt.state.on(Event::Adopted).0;
                        attempt.ran_before = true;
                        world.adopted = true;
                    }
                    // The run has given up its place in the registry.
                    Step::Park(_)
                    | Step::AckParked(_)
                    | Step::HandBack(..)
                    | Step::Forward(..)
                    | Step::Abandon
                    | Step::DeleteRunning(Then::Nothing)
                    | Step::Ack => return None,
                    // It joins the run, which settles all its messages.
                    _ => {}
                }
                world.letters[index].holder = Some(worker);
            }
            Move::Step(worker) => world.workers[worker] = world.step(worker),
            Move::End(worker, end) => {
                let Step::Run(attempt) = world.workers[worker] else { return None };
                let mut end = end;
                match end {
                    // The world has no cancelled batch.
                    End::Done | End::Cancelled => {}
                    End::Retry | End::Failed => world.left.failures -= 1,
                    End::Released => world.left.releases -= 1,
                }
                if end == End::Retry && attempt.numbers.attempts + 1 >= MAX_ATTEMPTS {
                    end = End::Failed;
                }
                world.workers[worker] = match end {
                    // Recorded whoever holds the message.
                    End::Done => Step::PutDone(attempt),
                    _ => world.settle(attempt, end),
                };
            }
            Move::Record(worker) => {
                let Step::Run(attempt) = world.workers[worker] else { return None };
                let version = world.write_running(&attempt, None);
                world.workers[worker] = Step::Run(Attempt { version, ..attempt });
            }
            Move::TimeOver(worker) => {
                let Step::Run(attempt) = world.workers[worker] else { return None };
                let (_, action) = attempt.state.on(Event::LeaseTimeOver);
                if action == Action::Park {
                    world.left.parks -= 1;
                    world.workers[worker] = Step::Park(attempt);
                }
            }
            Move::NoticeLoss(worker) => {
                if let Step::Run(attempt) = &mut world.workers[worker] {
                    attempt.state = attempt.state.on(Event::LeaseLost).0;
                }
            }
            Move::Beat(worker) => {
                let Step::Run(attempt) = world.workers[worker] else { return None };
                world.left.beats -= 1;
                let version = world.write_running(&attempt, None);
                world.workers[worker] = Step::Run(Attempt { version, ..attempt });
            }
            Move::Crash(worker) => {
                world.left.crashes -= 1;
                world.workers[worker] = Step::Idle;
                world.lose(worker);
            }
            Move::LoseConnection(worker) => {
                world.left.lost_connections -= 1;
                world.lose(worker);
            }
            Move::Due(index) => {
                let seen = world.letters[index].numbers.seen;
                let unseen = |step: &Step| match step {
                    Step::Run(run) => run.state == LeaseState::Parked && run.version == seen,
                    Step::AckParked(run) => run.version == seen,
                    Step::Idle | Step::Admit(_) | Step::Start(_) | Step::Park(_) => false,
                    // The run is writing its end.
                    _ => true,
                };
                if world.letters[index].place == Place::Parked && world.workers.iter().any(unseen) {
                    // The run is alive and could not refresh its record in time.
                    world.faults += 1;
                }
                world.letters[index].place = Place::Returned;
                world.letters.sort_unstable();
            }
            Move::Duplicate(index) => {
                world.left.duplicates -= 1;
                let letter = world.letters[index];
                world.send(letter);
            }
        }
        world.renumber();
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("a job always has an outcome in the end", |_, world: &World| {
                !world.is_quiet() || world.done || (world.failed && world.dead > 0)
            }),
            Property::always("a job is never stuck", |protocol: &Protocol, world: &World| {
                let mut moves = Vec::new();
                protocol.actions(world, &mut moves);
                world.is_quiet() || !moves.is_empty()
            }),
            Property::always("a suspect runs alone", |_, world: &World| {
                world.workers.iter().all(|step| match step {
                    Step::Start(run) | Step::Run(run) => run.alone || run.numbers.crashes == 0,
                    _ => true,
                })
            }),
            // Two faults at once may leave the error record; the record of the success counts.
            Property::always("one fault leaves no failure beside a success", |_, world: &World| {
                !(world.is_quiet() && world.done && world.error_record) || world.faults > 1
            }),
            Property::always("one fault leaves no record of a run", |_, world: &World| {
                !(world.is_quiet() && world.running.is_some()) || world.faults > 1
            }),
            Property::always("a failure that counts is recorded", |_, world: &World| {
                !world.is_quiet() || world.done || world.error_record
            }),
            Property::always(
                "without a lost lease, there is one dead letter",
                |_, world: &World| world.dead <= 1 || world.faults > 0,
            ),
            Property::sometimes("done", |_, world: &World| world.is_quiet() && world.done),
            Property::sometimes("failed", |_, world: &World| world.is_quiet() && !world.done),
            Property::sometimes("given up", |_, world: &World| world.given_up && world.dead > 0),
            Property::sometimes("adopted", |_, world: &World| world.adopted && world.is_quiet()),
            Property::sometimes("handed back", |_, world: &World| {
                world.handed_back && world.is_quiet()
            }),
            Property::sometimes("a success after a failure", |_, world: &World| {
                world.is_quiet() && world.done && world.failed
            }),
        ]
        .into_iter()
        .filter(|property| {
            property.expectation == Expectation::Always || self.reaches.contains(&property.name)
        })
        .collect()
    }
}

fn origin(place: Place) -> Origin {
    match place {
        Place::Jobs => Origin::Jobs(Lane::Normal),
        Place::Quarantine => Origin::Quarantine,
        Place::Returned | Place::Delayed | Place::Parked => Origin::Returned(Lane::Normal),
    }
}

fn counts(numbers: Numbers) -> Counts {
    Counts {
        attempts: numbers.attempts.into(),
        releases: 0,
        crashes: numbers.crashes.into(),
        generation: 0,
        seen: if numbers.seen == 0 { String::new() } else { numbers.seen.to_string() },
    }
}

fn small(number: u32) -> u8 {
    u8::try_from(number).unwrap_or(u8::MAX)
}

fn failure() -> Failed {
    Failed {
        version: RECORDS_VERSION,
        job: String::new(),
        batch: Some(job::BatchId::generate()),
        generation: 0,
        failure: Failure {
            code: FailureCode::Internal,
            source: String::new(),
            message: String::new(),
        },
        remedy: String::new(),
        attempts: 1,
        worker: String::new(),
        failed_at: String::new(),
    }
}

fn check(faults: Faults, reaches: &'static [&'static str]) {
    let checker = Protocol { faults, reaches }.checker().threads(2).spawn_bfs().join();
    println!("{} states", checker.unique_state_count());
    checker.assert_properties();
}

const NONE: Faults = Faults {
    crashes: 0,
    lost_connections: 0,
    duplicates: 0,
    failures: 0,
    releases: 0,
    parks: 0,
    beats: 0,
};

#[test]
fn workers_that_die_leave_one_outcome() {
    let faults = Faults { crashes: 3, failures: 1, ..NONE };
    check(faults, &["done", "failed", "given up"]);
}

#[test]
fn lost_connections_leave_one_outcome() {
    let faults = Faults { lost_connections: 2, failures: 1, releases: 1, ..NONE };
    check(faults, &["done", "failed", "adopted"]);
}

#[test]
fn a_crash_and_a_lost_connection_leave_one_outcome() {
    let faults = Faults { crashes: 1, lost_connections: 1, failures: 1, ..NONE };
    check(faults, &["done", "failed", "a success after a failure"]);
}

#[test]
fn duplicated_messages_leave_one_outcome() {
    let faults = Faults { duplicates: 2, failures: 2, ..NONE };
    check(faults, &["done", "failed", "adopted", "a success after a failure"]);
}

#[test]
fn parked_messages_leave_one_outcome() {
    let faults = Faults { crashes: 1, failures: 1, parks: 2, beats: 1, ..NONE };
    check(faults, &["done", "failed", "adopted", "handed back"]);
    let faults = Faults { failures: 1, releases: 1, parks: 2, beats: 1, ..NONE };
    check(faults, &["done", "failed", "handed back"]);
}
