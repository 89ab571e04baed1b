//! What the pool promises and no run of the receiver shows by itself: its counts.
//!
//! Guarantees: each was found by a mutant that survived all else; nothing is waited for by time
//! alone. Refuses to know: calls.

use std::process::Command;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use super::*;

/// Says that it has begun, then waits to be let go; or has a second part that says so.
struct Held {
    begun: Sender<()>,
    gate: Mutex<Receiver<()>>,
    rest: Rest,
}

impl Job for Held {
    fn run(&self) -> Rest {
        let _told = self.begun.send(());
        let _let_go = lock(&self.gate).recv();
        self.rest
    }
    fn finish(&self) {
        let _told = self.begun.send(());
    }
}

/// A job, what hears that it has begun, and what lets it go.
fn held(rest: Rest) -> (Arc<Held>, Receiver<()>, Sender<()>) {
    let (begun, has_begun) = channel();
    let (let_go, gate) = channel();
    let gate = Mutex::new(gate);
    (Arc::new(Held { begun, gate, rest }), has_begun, let_go)
}

/// A minute is as good as never.
const NEVER: Duration = Duration::from_secs(60);

fn comes(what: impl Fn() -> bool) -> bool {
    let until = Instant::now() + NEVER;
    while !what() && Instant::now() < until {
        std::thread::yield_now();
    }
    what()
}

/// Mutant: it prints nothing.
#[test]
fn a_lane_shows_that_it_is_one() {
    assert_eq!(format!("{:?}", Lane::default()), "Lane { .. }");
}

/// Mutant: dropping the handle tells the threads nothing.
#[test]
fn the_threads_end_once_the_handle_is_dropped() {
    let workers = Workers::start(4).expect("a thread");
    let shared = Arc::downgrade(&workers.shared);
    drop(workers);
    assert!(comes(|| shared.strong_count() == 0));
}

/// Mutant: one thread more than allowed.
#[test]
fn there_are_never_more_threads_than_allowed() {
    let workers = Workers::start(2).expect("a thread");
    let jobs = [(); 3].map(|()| held(Rest::Nothing));
    for (number, (job, has_begun, _)) in jobs.iter().enumerate() {
        workers.submit(&Arc::default(), Arc::clone(job) as Arc<dyn Job>);
        if number < 2 {
            has_begun.recv_timeout(NEVER).expect("a thread is free");
        }
    }
    assert_eq!(lock(&workers.shared.ready).threads, 2);
}

/// Mutant: the thread that comes back from a second part ends though it is needed.
#[test]
fn a_thread_that_ran_a_second_part_takes_jobs_again() {
    let workers = Workers::start(1).expect("a thread");
    for rest in [Rest::ToFinish, Rest::Nothing] {
        let (job, has_begun, let_go) = held(rest);
        let_go.send(()).expect("it waits");
        workers.submit(&Arc::default(), job);
        has_begun.recv_timeout(NEVER).expect("run");
        if rest == Rest::ToFinish {
            has_begun.recv_timeout(NEVER).expect("finished");
        }
        assert!(comes(|| lock(&workers.shared.ready).threads == 1), "it is back");
    }
}

/// Set in a child process where no thread can be started.
const NO_THREADS: &str = "SNAPSHOT_RECEIVER_TEST_NO_THREADS";

/// Mutants: a thread that could not be started counts all the same.
#[test]
fn a_thread_that_could_not_be_started_does_not_count() {
    let threads_max = 1;
    if std::env::var_os(NO_THREADS).is_some() {
        let shared = Arc::new(Shared {
            ready: Mutex::default(),
            changed: Condvar::new(),
            threads_max,
        });
        shared.schedule(Arc::default());
        assert_eq!(lock(&shared.ready).threads, 0);
        println!("no thread counts");
        return;
    }
    let this_test = std::env::current_exe().expect("this test's program");
    let (_, module) = module_path!().split_once("::").expect("a module of the crate");
    let name = format!("{module}::a_thread_that_could_not_be_started_does_not_count");
    let child = Command::new(this_test)
        // One test thread at most: the test runs on the main one.
        .args(["--exact", &name, "--nocapture", "--test-threads=1"])
        .env(NO_THREADS, "1")
        // A stack that no address space holds.
        .env("RUST_MIN_STACK", (1u64 << 60).to_string())
        .output()
        .expect("a child");
    let told = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success() && told.contains("no thread counts"), "{child:?}");
}

/// Mutant: a worker without work looks for it for ever.
#[test]
fn a_worker_without_work_sleeps() {
    let workers = Workers::start(1).expect("a thread");
    assert!(comes(|| lock(&workers.shared.ready).asleep == 1));
}

/// Mutant: a thread that slept once counts as asleep for ever.
#[test]
fn a_thread_that_was_woken_is_not_taken_for_one_that_sleeps() {
    let workers = Workers::start(2).expect("a thread");
    assert!(comes(|| lock(&workers.shared.ready).asleep == 1));
    let jobs = [(); 2].map(|()| held(Rest::Nothing));
    for (job, has_begun, _) in &jobs {
        workers.submit(&Arc::default(), Arc::clone(job) as Arc<dyn Job>);
        has_begun
            .recv_timeout(NEVER)
            .expect("the second gets a thread of its own");
    }
}

/// Its second part waits to be let go.
struct Finishing {
    begun: Sender<()>,
    gate: Mutex<Receiver<()>>,
}

impl Job for Finishing {
    fn run(&self) -> Rest {
        Rest::ToFinish
    }
    fn finish(&self) {
        let _told = self.begun.send(());
        let _let_go = lock(&self.gate).recv();
    }
}

/// Mutants: a thread in foreign code counts as one that works; when it comes back, it stays though it
/// is one too many.
#[test]
fn a_second_part_takes_no_threads_place_and_gives_none() {
    let workers = Workers::start(1).expect("a thread");
    let (begun, has_begun) = channel();
    let (let_go, gate) = channel();
    let gate = Mutex::new(gate);
    workers.submit(&Arc::default(), Arc::new(Finishing { begun, gate }));
    has_begun.recv_timeout(NEVER).expect("in its second part");
    let (job, has_begun, _held) = held(Rest::Nothing);
    workers.submit(&Arc::default(), job);
    has_begun.recv_timeout(NEVER).expect("another thread takes it");
    let_go.send(()).expect("it waits");
    // The handle's, and that of the thread that has the place.
    assert!(comes(|| Arc::strong_count(&workers.shared) == 2));
    assert_eq!(lock(&workers.shared.ready).threads, 1);
}

/// Mutant: a worker goes to sleep beside a lane that came while it gave up looking, or in a pool that
/// is closed. That moment is short; loom comes to it (`sleeps_without_looking`).
#[test]
fn a_thread_sleeps_only_where_there_is_no_lane_and_more_may_come() {
    for case in 0..8 {
        let [look_again, has_lane, is_closed] = [1, 2, 4].map(|bit| case & bit != 0);
        let ready = Ready {
            lanes: has_lane.then(Arc::default).into_iter().collect(),
            is_closed,
            ..Ready::default()
        };
        assert_eq!(
            ready.lets_sleep(look_again),
            case == 0,
            "{look_again} {has_lane} {is_closed}"
        );
    }
}
