//! What the kernel saw: a child under `strace`, and its calls as the log would have them.
//!
//! Guarantees: where `strace` is missing or may not trace, a line says so, and nothing is checked; a line
//! of a call that is not understood is an error, not left out. Refuses to know: what the child does.

use std::path::Path;
use std::process::{Command, Output};

use crate::child::command;
use crate::place::skipped;

/// The calls that matter to files; everything else runs at full speed.
const CALLS: &str = "openat,unlinkat,pwrite64,pwritev,pwritev2,write,fsync,fdatasync,sync_file_range,fadvise64,\
                     ftruncate,fallocate,rename,renameat,renameat2,getdents64,newfstatat,fstat,statx";

/// Whether anything can be traced here; said aloud where not.
pub(crate) fn is_possible(what: &str) -> bool {
    let tried = Command::new("strace").args(["-qq", "-o", "/dev/null", "true"]).output();
    let why = match tried {
        Ok(output) if output.status.success() => return true,
        Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        Err(error) => error.to_string(),
    };
    skipped(
        what,
        &format!("strace (Debian: `apt-get install strace`) cannot run: {why}"),
    );
    false
}

/// Runs a part of a test under strace, and returns its output and the trace.
pub(crate) fn traced(arguments: &[String], test: &str, part: &str, data_dir: (&str, &Path)) -> (Output, String) {
    let directory = tempfile::tempdir().expect("a directory");
    let to = directory.path().join("trace");
    let to = to.to_str().expect("a plain path");
    let mut wrapper = vec!["strace", "-f", "-qq", "-y", "-e", "signal=none", "-o", to];
    let calls = format!("trace={CALLS}");
    wrapper.extend(["-e", &calls]);
    wrapper.extend(arguments.iter().map(String::as_str));
    let mut child = command(&wrapper, test, part, None);
    let output = child.env(data_dir.0, data_dir.1).output().expect("strace runs");
    let trace = std::fs::read_to_string(to).expect("the trace");
    (output, trace)
}

/// Reads a trace; a line that is none of it is an error, not left out.
pub(crate) fn parse(trace: &str) -> Vec<Seen> {
    let read = |line: &str| Seen::parse(line).unwrap_or_else(|| panic!("not understood in the trace: {line}"));
    trace.lines().map(read).collect()
}

/// One system call.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) name: String,
    pub(crate) arguments: String,
    pub(crate) result: String,
}

impl Seen {
    /// Reads a line of a trace: process, name, arguments, result.
    fn parse(line: &str) -> Option<Self> {
        let (_, call) = line.split_once(' ')?;
        let (name, rest) = call.trim_start().split_once('(')?;
        let at = rest.rfind(") = ").or_else(|| rest.rfind(")  "))?;
        let (arguments, result) = rest.split_at(at);
        let result = result
            .trim_start_matches(')')
            .trim_start()
            .trim_start_matches('=')
            .trim_start();
        Some(Self {
            name: name.to_owned(),
            arguments: arguments.to_owned(),
            result: result.to_owned(),
        })
    }

    pub(crate) fn is_injected(&self) -> bool {
        self.result.ends_with("(INJECTED)")
    }

    /// The path of the descriptor that comes first.
    pub(crate) fn path(&self) -> Option<&str> {
        let (_, from) = self.arguments.split_once('<')?;
        let (path, _) = from.split_once('>')?;
        Some(path)
    }

    /// The texts in quotes.
    pub(crate) fn quoted(&self) -> Vec<&str> {
        self.arguments.split('"').skip(1).step_by(2).collect()
    }

    /// The last arguments, as numbers.
    pub(crate) fn numbers(&self) -> Vec<u64> {
        let last = self.arguments.rsplit(", ").map_while(|word| word.parse().ok());
        let mut numbers: Vec<u64> = last.collect();
        numbers.reverse();
        numbers
    }
}
