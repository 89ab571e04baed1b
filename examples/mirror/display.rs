//! The progress bar, and lines that do not tear it.
//!
//! Guarantees: nothing is drawn when stderr is not a terminal; lines are written all the same.
//! Refuses to know: what it is the progress of.

use std::fmt;
use std::io::{self, Write};

use indicatif::{ProgressBar, ProgressStyle};

/// Clones share the bar.
#[derive(Clone)]
pub(crate) struct Display {
    bar: ProgressBar,
}

impl Display {
    pub(crate) fn new() -> Self {
        // On stderr, and hidden where that is no terminal.
        let bar = ProgressBar::new(0);
        let template = "{msg} [{bar:32}] {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        // Nothing runs yet, so a line must not draw it.
        bar.finish_and_clear();
        Self { bar }
    }

    /// Moves the bar, also back.
    pub(crate) fn show(&self, what: &str, bytes_done: u64, bytes_total: u64) {
        if self.bar.is_finished() || self.bar.message() != what || self.bar.length() != Some(bytes_total) {
            self.bar.set_message(what.to_owned());
            self.bar.set_length(bytes_total);
            self.bar.reset();
        }
        self.bar.set_position(bytes_done);
    }

    pub(crate) fn clear(&self) {
        self.bar.finish_and_clear();
    }

    /// Writes a line to stderr.
    pub(crate) fn say(&self, line: impl fmt::Display) {
        let write = || writeln!(io::stderr(), "{line}");
        // Where stderr is closed there is nobody to tell.
        self.bar.suspend(write).unwrap_or_default();
    }

    /// Writes a line to stdout, flushed for whoever waits for it. As `println!`, but a closed stdout
    /// is an error and not a panic.
    pub(crate) fn print(&self, line: impl fmt::Display) -> io::Result<()> {
        self.bar.suspend(|| {
            let mut stdout = io::stdout().lock();
            writeln!(stdout, "{line}")?;
            stdout.flush()
        })
    }
}
