//! The examples of the guide, run.
//!
//! Guarantees: what a reader is told to copy compiles and does what it says. Refuses to know: more.

#[path = "../../examples/own_executor.rs"]
mod own_executor;
#[path = "../examples/own_shell.rs"]
mod own_shell;
#[path = "../examples/own_storage.rs"]
mod own_storage;
#[path = "../examples/trace_validation.rs"]
mod trace_validation;

#[test]
fn the_protocol_runs_in_an_executor_of_ones_own() {
    own_executor::main().expect("it commits");
}

#[test]
fn a_storage_of_ones_own_is_checked_against_the_crash_model() {
    own_storage::main().expect("the right one is found right, the flawed one wrong");
}

#[test]
fn a_shell_of_ones_own_is_checked_for_linearizability() {
    own_shell::main().expect("the right one is found right, the flawed one wrong");
}

#[test]
fn a_recorded_conversation_is_explained_by_the_reference() {
    trace_validation::main().expect("the same answers");
}
