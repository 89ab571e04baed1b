//! The order of system calls that durability needs, seen by `strace`.

/// How `strace` is told what to write.
pub const STRACE: &[&str] = &["-f", "-qq"];
