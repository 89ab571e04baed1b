//! The Rust door: a receiver as a value in this process.
//!
//! Guarantees: the same scenarios and the same oracle as through the process door; a panic in a
//! receiver is a broken receiver, not a broken test. Refuses to know: runtimes; an async receiver
//! brings its own.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use super::campaign::{Plan, campaign, scratch_place};
use super::door::{Breakage, Broken, Door, Request, Response};
use super::report;
use super::results::{ClauseVerdict, Results, RunVerdict};
use super::scenario::{Envelope, Scenario};
use super::talk::{About, Reply};

/// A receiver under test. Each call answers with a [`Reply`], as an adapter's line does.
pub trait Receiver {
    /// Who it is, what it can do beyond receiving, and its limits.
    fn about(&self) -> About;
    /// Opens a data directory; one that is open is closed first.
    fn open(&mut self, data_dir: &Path) -> Reply;
    /// Takes a chunk.
    fn chunk(&mut self, envelope: &Envelope) -> Reply;
    /// Aborts the transfer of one database, or all.
    fn abort(&mut self, database: Option<&str>) -> Reply;
    /// Closes what is open.
    fn close(&mut self) -> Reply;
    /// Makes the next call of a storage operation fail, if it can: `create`, `write`, `sync`,
    /// `publish`, `sync_directory` or `remove`, with the kind `full` or `other`.
    fn fail_next(&mut self, operation: &str, kind: &str) -> bool {
        let _ = (operation, kind);
        false
    }
    /// Ends idle transfers, if it can.
    fn expire(&mut self) -> Option<Reply> {
        None
    }
}

/// The same for receivers whose calls are futures.
#[expect(async_fn_in_trait, reason = "futures are polled where they are made, on one thread")]
pub trait AsyncReceiver {
    /// As [`Receiver::about`].
    fn about(&self) -> About;
    /// As [`Receiver::open`].
    async fn open(&mut self, data_dir: &Path) -> Reply;
    /// As [`Receiver::chunk`].
    async fn chunk(&mut self, envelope: &Envelope) -> Reply;
    /// As [`Receiver::abort`].
    async fn abort(&mut self, database: Option<&str>) -> Reply;
    /// As [`Receiver::close`].
    async fn close(&mut self) -> Reply;
}

/// What polls futures to their end.
pub trait Runtime {
    /// Polls it to its end.
    fn block_on<F: Future>(&self, future: F) -> F::Output;
}

/// For futures that need no runtime: the thread sleeps until it is woken.
#[derive(Clone, Copy, Debug, Default)]
pub struct Parking;

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

impl Runtime for Parking {
    fn block_on<F: Future>(&self, future: F) -> F::Output {
        let mut future = pin!(future);
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut context = Context::from_waker(&waker);
        loop {
            match future.as_mut().poll(&mut context) {
                Poll::Ready(output) => return output,
                Poll::Pending => thread::park(),
            }
        }
    }
}

/// An async receiver behind [`Receiver`].
#[derive(Clone, Copy, Debug)]
pub struct Blocking<R, T> {
    receiver: R,
    runtime: T,
}

impl<R, T> Blocking<R, T> {
    /// The receiver, and what polls its futures.
    pub const fn new(receiver: R, runtime: T) -> Self {
        Self { receiver, runtime }
    }
}

impl<R: AsyncReceiver, T: Runtime> Receiver for Blocking<R, T> {
    fn about(&self) -> About {
        self.receiver.about()
    }

    fn open(&mut self, data_dir: &Path) -> Reply {
        self.runtime.block_on(self.receiver.open(data_dir))
    }

    fn chunk(&mut self, envelope: &Envelope) -> Reply {
        self.runtime.block_on(self.receiver.chunk(envelope))
    }

    fn abort(&mut self, database: Option<&str>) -> Reply {
        self.runtime.block_on(self.receiver.abort(database))
    }

    fn close(&mut self) -> Reply {
        self.runtime.block_on(self.receiver.close())
    }
}

/// The way to receivers that a function makes.
pub struct InProcess<'a> {
    make: &'a dyn Fn() -> Box<dyn Receiver>,
    running: Option<Box<dyn Receiver>>,
}

impl std::fmt::Debug for InProcess<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InProcess").finish_non_exhaustive()
    }
}

impl<'a> InProcess<'a> {
    /// The way to what `make` makes.
    pub fn new(make: &'a dyn Fn() -> Box<dyn Receiver>) -> Self {
        Self { make, running: None }
    }

    fn ask<R>(&mut self, what: &str, ask: impl FnOnce(&mut dyn Receiver) -> R) -> Result<R, Box<Broken>> {
        let broken = |what: Breakage, request: &str| {
            Box::new(Broken {
                what,
                request: request.to_owned(),
                standard_error: String::new(),
            })
        };
        let Some(receiver) = &mut self.running else {
            return Err(broken(Breakage::Kit("no receiver runs".to_owned()), what));
        };
        catch_unwind(AssertUnwindSafe(|| ask(receiver.as_mut()))).map_err(|panic| {
            // Its own state is not to be trusted any more, and it may panic again when it is dropped.
            let receiver = self.running.take();
            let _dropped = catch_unwind(AssertUnwindSafe(|| drop(receiver)));
            let message = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
            let message = message.or_else(|| panic.downcast_ref::<String>().cloned());
            broken(
                Breakage::Died(format!("it panicked: {}", message.unwrap_or_default())),
                what,
            )
        })
    }
}

impl Door for InProcess<'_> {
    fn start(&mut self) -> Result<About, Box<Broken>> {
        let before = self.running.take();
        let _dropped = catch_unwind(AssertUnwindSafe(|| drop(before)));
        self.running = Some((self.make)());
        self.ask("about", |receiver| receiver.about())
    }

    fn is_running(&self) -> bool {
        self.running.is_some()
    }

    fn take(&mut self, request: Request<'_>) -> Result<Response, Box<Broken>> {
        let not_here = |why: &str| Ok(Response::NotHere(why.to_owned()));
        let reply = match request {
            Request::Open(data_dir) => {
                if self.running.is_none() {
                    self.start()?;
                }
                self.ask("open", |receiver| receiver.open(data_dir))?
            }
            Request::SecondOpen(data_dir) => {
                let mut second = Self::new(self.make);
                second.start()?;
                second.ask("open", |receiver| receiver.open(data_dir))?
            }
            Request::Chunk(envelope) => self.ask(&envelope.to_string(), |receiver| receiver.chunk(envelope))?,
            Request::Abort(database) => self.ask("abort", |receiver| receiver.abort(database))?,
            Request::Close => {
                let reply = self.ask("close", |receiver| receiver.close())?;
                self.running = None;
                reply
            }
            Request::FailNext(operation, kind) => {
                let can = self.ask("fail_next", |receiver| receiver.fail_next(operation, kind))?;
                if !can {
                    return not_here("this receiver cannot be told to fail a call (`fail_next`)");
                }
                return Ok(Response::Done);
            }
            Request::Expire => match self.ask("expire", |receiver| receiver.expire())? {
                Some(reply) => reply,
                None => return not_here("this receiver cannot be told that time passed (`expire`)"),
            },
            Request::Kill | Request::KillDuring(..) => return not_here("a value cannot be killed; a process can"),
            Request::Line(_) => return not_here("a value is given envelopes, not lines"),
            Request::FileSizeLimit(_) => {
                return not_here("a limit on file sizes would hold for this whole process; `fail_next` is for calls");
            }
        };
        if let Reply::Errored { message } = reply {
            return Err(Box::new(Broken {
                what: Breakage::Errored(message),
                request: String::new(),
                standard_error: String::new(),
            }));
        }
        Ok(Response::Reply(reply))
    }
}

/// Runs the scenarios of these clauses, or all, on what `make` makes.
///
/// # Panics
/// There is no place for scratch directories.
#[must_use]
pub fn check(make: &dyn Fn() -> Box<dyn Receiver>, clauses: &[&str]) -> Results {
    check_with(make, clauses, false, |about| {
        let mut all = super::profile::quick(about);
        all.retain(|scenario| clauses.is_empty() || clauses.contains(&scenario.clause.as_str()));
        all
    })
}

fn check_with(
    make: &dyn Fn() -> Box<dyn Receiver>,
    clauses: &[&str],
    scenarios_chosen: bool,
    chosen: impl FnOnce(&About) -> Vec<Scenario>,
) -> Results {
    let directory = tempfile::Builder::new().prefix("conform-").tempdir_in(scratch_place());
    // Without a scratch directory nothing can be tested, and a test has to say so.
    let directory = directory.expect("a scratch directory");
    let plan = Plan {
        profile: "quick".to_owned(),
        seed: 0,
        scratch: directory.path().to_owned(),
        shrinking: Duration::from_secs(5),
        strict: true,
        command: String::new(),
        clauses: clauses.iter().map(|clause| (*clause).to_owned()).collect(),
        scenarios_chosen,
    };
    let mut door = InProcess::new(make);
    campaign(&mut door, &plan, chosen).expect("the scratch directory can be used")
}

/// The test of one clause, as [`conformance_tests`](crate::conformance_tests) makes it.
///
/// # Panics
/// The clause is broken, or the receiver is.
pub fn check_clause(make: &dyn Fn() -> Box<dyn Receiver>, id: &str) {
    let results = check(make, &[id]);
    if let Some(broken) = results.broken.first() {
        panic!("BROKEN at step {} of {}: {}", broken.at, broken.scenario, broken.what);
    }
    let Some(clause) = results.clause(id) else {
        panic!("there is no clause {id}");
    };
    match clause.verdict {
        ClauseVerdict::Pass => {}
        ClauseVerdict::Fail => match &clause.failure {
            Some(failure) => panic!("\n{}", report::failed(clause, failure)),
            None => panic!("{id} fails: {}", clause.message),
        },
        ClauseVerdict::Unsupported => eprintln!("SKIPPED: {id} is unsupported: {}", clause.message),
        ClauseVerdict::NotVisible => {
            let other = results
                .clauses
                .iter()
                .find(|clause| clause.verdict == ClauseVerdict::Fail);
            if let Some(other) = other {
                panic!(
                    "{id} was not seen: its scenarios ended early, at a failure of {}",
                    other.id
                );
            }
            eprintln!("SKIPPED: {id} is not visible here: {}", clause.message);
        }
    }
}

/// The test of one scenario, as a report prints it. What a value in this process cannot do (a kill, a
/// line that is no request) is skipped, and said so.
///
/// # Panics
/// It is no scenario, or it breaks a clause.
pub fn check_scenario(make: &dyn Fn() -> Box<dyn Receiver>, scenario: &str) {
    let scenario = super::reading::read(scenario).expect("a scenario");
    let name = scenario.name.clone();
    let results = check_with(make, &[], true, |_| vec![scenario]);
    let told = results
        .clauses
        .iter()
        .find(|clause| clause.verdict == ClauseVerdict::Fail);
    let is_over = results.broken.is_empty() && told.is_none();
    if is_over && results.scenarios_run == 0 {
        let why = results.passed_over.first().map_or("it was not run", String::as_str);
        eprintln!("SKIPPED: {name}: {why}");
        return;
    }
    let fails = results.verdict() != RunVerdict::Pass;
    assert!(!fails, "\n{}", report::terminal(&results));
}

/// One named test per clause: `cargo test sr_off_003`.
///
/// ```ignore
/// snapshot_receiver_model::conformance_tests!(|| Box::new(MyReceiver::default()));
/// ```
#[macro_export]
macro_rules! conformance_tests {
    ($make:expr) => {
        $crate::conformance_tests! { @each $make;
            sr_adm_001 "SR-ADM-001"
            sr_adm_002 "SR-ADM-002"
            sr_adm_003 "SR-ADM-003"
            sr_adm_004 "SR-ADM-004"
            sr_adm_005 "SR-ADM-005"
            sr_off_001 "SR-OFF-001"
            sr_off_002 "SR-OFF-002"
            sr_off_003 "SR-OFF-003"
            sr_off_004 "SR-OFF-004"
            sr_off_005 "SR-OFF-005"
            sr_idn_001 "SR-IDN-001"
            sr_idn_002 "SR-IDN-002"
            sr_idn_003 "SR-IDN-003"
            sr_idn_004 "SR-IDN-004"
            sr_len_001 "SR-LEN-001"
            sr_crc_001 "SR-CRC-001"
            sr_crc_002 "SR-CRC-002"
            sr_crc_003 "SR-CRC-003"
            sr_crc_004 "SR-CRC-004"
            sr_pub_001 "SR-PUB-001"
            sr_pub_002 "SR-PUB-002"
            sr_pub_003 "SR-PUB-003"
            sr_pub_004 "SR-PUB-004"
            sr_pub_005 "SR-PUB-005"
            sr_abt_001 "SR-ABT-001"
            sr_abt_002 "SR-ABT-002"
            sr_abt_003 "SR-ABT-003"
            sr_abt_004 "SR-ABT-004"
            sr_err_001 "SR-ERR-001"
            sr_err_002 "SR-ERR-002"
            sr_err_003 "SR-ERR-003"
            sr_err_004 "SR-ERR-004"
            sr_err_005 "SR-ERR-005"
            sr_con_001 "SR-CON-001"
            sr_con_002 "SR-CON-002"
            sr_con_003 "SR-CON-003"
            sr_con_004 "SR-CON-004"
            sr_con_005 "SR-CON-005"
            sr_con_006 "SR-CON-006"
            sr_rec_001 "SR-REC-001"
            sr_rec_002 "SR-REC-002"
            sr_rec_003 "SR-REC-003"
            sr_rec_004 "SR-REC-004"
            sr_prg_001 "SR-PRG-001"
            sr_prg_002 "SR-PRG-002"
            sr_prg_003 "SR-PRG-003"
            sr_sec_001 "SR-SEC-001"
            sr_sec_002 "SR-SEC-002"
            sr_sec_003 "SR-SEC-003"
            sr_sec_004 "SR-SEC-004"
            sr_liv_001 "SR-LIV-001"
        }
    };
    (@each $make:expr; $($name:ident $id:literal)+) => {
        $(
            #[doc = concat!("The clause ", $id, ".")]
            #[test]
            fn $name() {
                let make: &dyn Fn() -> Box<dyn $crate::conform::rust::Receiver> = &$make;
                $crate::conform::rust::check_clause(make, $id);
            }
        )+
    };
}
