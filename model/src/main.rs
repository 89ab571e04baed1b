//! The gate: checks every system of the model, shows what it found, and says so with its exit
//! code.

mod commands;

use std::process::ExitCode;

use clap::Parser;
use commands::{Arguments, COULD_NOT_CHECK, run};

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(code) => ExitCode::from(code),
        // A closed pipe, or a report that cannot be written: nobody reads the verdict, so it is none.
        Err(error) => {
            eprintln!("gate: cannot write: {error}");
            ExitCode::from(COULD_NOT_CHECK)
        }
    }
}
