//! The conformance kit: any receiver, in any language, held against this one.
//!
//! Guarantees: one scenario language and one oracle for every door; the oracle is the receiver's
//! own `step`, performed on a modelled directory; where a clause leaves freedom, each answer is
//! taken. Refuses to know: how a receiver under test is built.
//!
//! | file | what it holds |
//! |---|---|
//! | `scenario`, `reading` | the language: steps, and their JSON; from files, within bounds |
//! | `talk` | what is asked and answered, as values and as the lines of the wire protocol |
//! | `tree` | a directory tree as a value: what stands where |
//! | `expected`, `known`, `calls` | an answer that is due; what is known of a database; its calls on the modelled directory |
//! | `oracle`, `blame` | what each step must answer and leave behind; which clause a difference breaks |
//! | `door`, `process`, `rust` | the ways to a receiver: the trait of all, a child process, a Rust value |
//! | `run` | one scenario through one door |
//! | `suite` | the scenarios written by hand, clause by clause |
//! | `export`, `worlds` | scenarios from the model: the table's edges; seeded bugs' counterexamples, and what fuzzers found |
//! | `random` | by chance, by combination, by enumeration |
//! | `restarts` | a kill at every boundary between two steps, and inside steps |
//! | `profile` | which scenarios a profile has |
//! | `recorded` | conversations recorded in production, held against the oracle |
//! | `shrink` | the shortest scenario that still fails |
//! | `reference`, `seeded` | the shipped receiver, and the model's seeded bugs, behind the Rust door |
//! | `audit` | the order of system calls, where `strace` is |
//! | `campaign`, `results`, `baseline` | a whole run, and what came of it |
//! | `report` | the same for people and for programs |
//! | `vectors` | the scenarios as static files |

pub mod audit;
pub mod baseline;
pub mod blame;
mod calls;
pub mod campaign;
pub mod door;
mod expected;
pub mod export;
mod known;
pub mod oracle;
pub mod process;
pub mod profile;
pub mod random;
pub mod reading;
pub mod recorded;
pub mod reference;
pub mod report;
pub mod restarts;
pub mod results;
pub mod run;
pub mod rust;
pub mod scenario;
pub mod seeded;
pub mod shrink;
pub mod suite;
pub mod talk;
pub mod tree;
pub mod vectors;
pub mod worlds;
