//! What checks the receiver: a modelled world for exhaustive checking, and a harness that drives
//! the shipped receiver beside an oracle.
//!
//! Guarantees: the receiver's own `step`, effect interpreter and recovery run here, not copies
//! of them. Refuses to be known: by nothing but tests, fuzz targets and the `gate` command.
//!
//! | file | what it holds |
//! |---|---|
//! | `system` | which sources, snapshots and faults a bounded world has: the table of bounds |
//! | `world` | the states that the checker explores, and what can happen in them |
//! | `exploration` | the steps, taken by the receiver's own code |
//! | `model` | the checker's view: what can happen in a state, and what comes of it |
//! | `openings` | openings and crashes |
//! | `judgement` | what the clauses say of one step |
//! | `disk` | a disk in memory, what a crash leaves of it, and one whose operations fail |
//! | `properties` | what must hold in every state |
//! | `witnesses` | what must be reached for that to mean anything |
//! | `healing` | liveness, judged in every state |
//! | `bugs` | seeded bugs that the properties must catch |
//! | `check`, `search` | the checker over one configuration; shortest ways and a second count |
//! | `lies` | ways in which a checker lies, each of which must be noticed |
//! | `trace`, `replay` | a counterexample as a file, and its way back |
//! | `clauses`, `traceability` | what is promised, where it is kept, what checks it |
//! | `layers` | the layers beside the model: the table of them, and what their tests left of the bugs that they seed |
//! | `report` | results for people and for programs |
//! | `conform` | the conformance kit: receivers in any language, held against this one |
//! | `harness` | random actions against the shipped receiver, with an oracle |
//! | `fuzzing` | the fuzz targets' bodies, and the bugs that they must find |

pub mod bugs;
pub mod check;
pub mod clauses;
pub mod conform;
pub mod disk;
pub mod exploration;
pub mod fuzzing;
pub mod harness;
pub mod healing;
pub mod judgement;
pub mod layers;
pub mod lies;
mod model;
pub mod openings;
pub mod properties;
pub mod replay;
pub mod report;
pub mod search;
pub mod spoilt;
pub mod system;
pub mod trace;
pub mod traceability;
pub mod witnesses;
pub mod world;
