//! What the kernel saw: a child under `strace`, and its calls as the log would have them.
//!
//! Guarantees: where `strace` is missing or may not trace, a line says so, and nothing is checked; a line
//! of a call that is not understood is an error, not left out. Refuses to know: what the child does.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::child::command;
use crate::flaw::Flaw;
use crate::place::skipped;

/// The calls that matter to files, those included that the receiver should never make; everything else runs
/// at full speed. A question mark: not every processor's kernel has it.
const CALLS: &str = "openat,unlinkat,pwrite64,pwritev,pwritev2,write,writev,fsync,fdatasync,?sync_file_range,\
                     ?sync_file_range2,sync,syncfs,fadvise64,ftruncate,truncate,fallocate,?rename,renameat,?renameat2,\
                     getdents64,newfstatat,fstat,statx,mkdirat,?faccessat,?faccessat2,flock,linkat,symlinkat,mknodat,\
                     copy_file_range,sendfile,splice,fchmod,fchown,?open,?creat,?unlink,?rmdir,?mkdir,?link,?symlink,\
                     ?mknod,?chmod,?chown";

/// Of those, the ones that look a name up.
const BY_NAME: [&str; 24] = [
    "openat",
    "unlinkat",
    "truncate",
    "rename",
    "renameat",
    "renameat2",
    "newfstatat",
    "statx",
    "mkdirat",
    "faccessat",
    "faccessat2",
    "linkat",
    "symlinkat",
    "mknodat",
    "open",
    "creat",
    "unlink",
    "rmdir",
    "mkdir",
    "link",
    "symlink",
    "mknod",
    "chmod",
    "chown",
];

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
pub(crate) fn traced(
    arguments: &[String],
    (test, part): (&str, &str),
    data_dir: (&str, &Path),
    flaw: Option<Flaw>,
) -> (Output, String) {
    let directory = tempfile::tempdir().expect("a directory");
    let to = directory.path().join("trace");
    let to = to.to_str().expect("a plain path");
    // Long enough for an answer with the longest id.
    let mut wrapper = vec!["strace", "-f", "-qq", "-y", "-s", "256", "-e", "signal=none", "-o", to];
    let calls = format!("trace={CALLS}");
    wrapper.extend(["-e", &calls]);
    wrapper.extend(arguments.iter().map(String::as_str));
    let mut child = command(&wrapper, test, part, flaw);
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

    /// What the call is about: its descriptor, or the name that it looks up.
    pub(crate) fn place(&self) -> Option<PathBuf> {
        if !BY_NAME.contains(&self.name.as_str()) {
            return self.path().map(PathBuf::from);
        }
        let name = match self.name.as_str() {
            // What is linked to comes first, and need not be a path.
            "symlink" | "symlinkat" => self.quoted().pop(),
            _ => self.quoted().first().copied(),
        };
        let name = Path::new(name.filter(|name| !name.is_empty()).unwrap_or("."));
        let directory = self.path().unwrap_or("/");
        Some(if name == Path::new(".") {
            PathBuf::from(directory)
        } else {
            Path::new(directory).join(name)
        })
    }

    pub(crate) fn is_done(&self) -> bool {
        !self.result.starts_with("-1")
    }

    pub(crate) fn failed_with(&self, errno: &str) -> bool {
        self.result.starts_with(&format!("-1 {errno} "))
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
