//! What checks the receiver: a modelled world for exhaustive checking, and a harness that drives
//! the shipped receiver beside an oracle.
//!
//! Guarantees: the receiver's own `step`, effect interpreter and recovery run here, not copies
//! of them. Refuses to be known: by nothing but tests, fuzz targets and the `gate` command.
//!
//! | file | what it holds |
//! |---|---|
//! | `system` | which sources, snapshots and faults a bounded world has |
//! | `world` | the states that the checker explores, and what can happen in them |
//! | `exploration` | the steps, taken by the receiver's own code |
//! | `disk` | a disk in memory, and one whose next operation fails |
//! | `properties` | what must hold in every state, and what must be reached |
//! | `bugs` | seeded bugs that the properties must catch |
//! | `clauses` | what is promised, where it is kept, what checks it |
//! | `check` | runs the checker over one system |
//! | `report`, `report_files` | results for people; for programs and CI summaries |
//! | `traceability` | from a clause to what checks it |
//! | `harness` | random actions against the shipped receiver, with an oracle |

pub mod bugs;
pub mod check;
pub mod clauses;

pub mod disk;
pub mod exploration;
pub mod harness;

pub mod properties;
pub mod report;
pub mod report_files;

pub mod system;
pub mod traceability;
pub mod world;
