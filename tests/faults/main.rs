//! Faults on real files: power loss, kill, failing calls, hostile names and places, bounds, recovery
//! at scale.
//!
//! Guarantees: the shipped executor, on a real kernel, does what the model assumes; every check is one
//! function that is run on the shipped receiver and, in `matrix`, on each receiver with a seeded bug
//! that the check has to catch. Refuses to know: the protocol's rules; the model and the oracle have
//! them.
//!
//! | room | what is in it |
//! |---|---|
//! | `runs` | the runs that are taken call by call: drawn, walked, exported by the model, the vectors |
//! | `calls`, `shadow` | the executor against `step`, call by call |
//! | `kernel_calls`, `strace` | the same in the kernel |
//! | `power_loss`, `disk` | every state that a power loss may leave, rebuilt on real directories |
//! | `kill` | a receiver process, killed over and over |
//! | `failing_calls` | each call made to fail, by the storage |
//! | `failing_system_calls` | each system call made to fail, by `strace` |
//! | `kernel_failures` | full, read-only and limited file systems |
//! | `faces` | the same failures through the async faces and their workers |
//! | `names`, `hostile` | names and places |
//! | `resources`, `scale` | bounds, and an opening among many files |
//! | `matrix` | the seeded bugs, each caught; the results for `cargo gate bugs` |
//! | `subject`, `seam`, `flaw` | the receiver under test, its files, and the bugs seeded in both |
//! | `log`, `place`, `child` | what was called and what is to fail; directories, draws; processes |
//!
//! Longer campaigns: `POWER_LOSS_STATES=1000000`, `KILLS=10000`, `CALL_RUNS=100000`, `KERNEL_RUNS=5000`,
//! `RECOVERY_FILES=1000000`, `PROPTEST_CASES=100000`, each before `cargo test --test faults`.

mod calls;
mod child;
mod disk;
mod faces;
mod failing_calls;
mod failing_system_calls;
mod flaw;
mod hostile;
mod kernel_calls;
mod kernel_failures;
mod kill;
mod log;
mod matrix;
mod names;
mod place;
mod power_loss;
mod resources;
mod runs;
mod scale;
mod seam;
mod shadow;
mod strace;
mod subject;
#[path = "../support/mod.rs"]
mod support;
