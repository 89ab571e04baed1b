//! The conformance kit: any receiver, in any language, held against this one.
//!
//! Guarantees: one scenario language and one oracle for every door; the oracle is the receiver's
//! own `step`, performed on a modelled directory; where a clause leaves freedom, each answer is
//! taken. Refuses to know: how a receiver under test is built.
//!
//! | file | what it holds |
//! |---|---|
//! | `scenario` | the language: steps, and their JSON |
//! | `talk` | what is asked and answered, as values and as the lines of the wire protocol |
//! | `tree` | a directory tree as a value: what stands where |
//! | `oracle`, `blame` | what each step must answer and leave behind; which clause a difference breaks |
//! | `door`, `process`, `rust` | the ways to a receiver: the trait of all, a child process, a Rust value |
//! | `run` | one scenario through one door |
//! | `suite` | the scenarios written by hand, clause by clause |
//! | `export`, `random`, `pairs` | scenarios from the model, by chance, by combination |
//! | `shrink` | the shortest scenario that still fails |
//! | `audit` | the order of system calls, where `strace` is |
//! | `campaign`, `results`, `baseline` | a whole run, and what came of it |
//! | `report` | the same for people and for programs |
//! | `vectors` | the scenarios as static files |

pub mod audit;
pub mod blame;
pub mod campaign;
pub mod door;
pub mod oracle;
pub mod process;
pub mod report;
pub mod results;
pub mod run;
pub mod scenario;
pub mod shrink;
pub mod suite;
pub mod talk;
pub mod tree;
