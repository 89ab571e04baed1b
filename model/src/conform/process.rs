//! The process door: an adapter in any language, one JSON line a request and one a reply.
//!
//! Guarantees: no reply is waited for longer than the time limit; whatever the adapter prints is read,
//! so that it never blocks on a full pipe, and no more than a bounded part of it is kept; when the
//! door is dropped, nothing that the adapter started is left. Refuses to know: what is asked, and
//! whether an answer is right.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use std::{fs, thread};

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, kill_process_group, prlimit};
use serde_json::{Value, json};

use super::door::{Breakage, Broken, Door, Request, Response};
use super::talk::{About, PROTOCOL, Reply, chunk, request};

/// Default of the time limit of a reply; also for the start and the exit.
pub const TIME_LIMIT: Duration = Duration::from_secs(10);
/// What is added to it for each mebibyte of the request: a checksum in an interpreter takes its time.
pub const TIME_PER_MEBIBYTE: Duration = Duration::from_secs(2);
/// Longest line of a reply.
pub const LINE_BYTES_MAX: usize = 1 << 20;
/// Most bytes on standard error during one request, beside twice the request's own length.
pub const STANDARD_ERROR_BYTES_MAX: u64 = 1 << 20;
/// How much of its end is kept.
const STANDARD_ERROR_KEPT: usize = 4096;
/// The environment variable that marks all that an adapter starts.
const MARK: &str = "SNAPSHOT_RECEIVER_CONFORM";
/// How many files an adapter may have open; one that needs more can raise its limit.
pub const FILES_OPEN_MAX: u16 = 1024;
/// SIGXFSZ: with it ignored, a file past the size limit is a failed write.
const SIGNAL_FILE_SIZE: i32 = 25;

/// How an adapter is started.
#[derive(Clone, Debug)]
pub struct Adapter {
    /// The command, for `sh`.
    pub command: String,
    /// The time limit of a reply.
    pub time_limit: Duration,
    /// Under `strace`, with its output there.
    pub trace_into: Option<std::path::PathBuf>,
}

impl Adapter {
    /// With the default time limit.
    #[must_use]
    pub fn new(command: impl Into<String>) -> Self {
        Self {
            command: command.into(),
            time_limit: TIME_LIMIT,
            trace_into: None,
        }
    }
}

enum Printed {
    Line(Vec<u8>),
    TooLong,
    End,
}

/// A running adapter.
struct Running {
    child: Child,
    group: Pid,
    mark: String,
    seq: u64,
    input: Sender<Vec<u8>>,
    output: Receiver<Printed>,
    standard_error: Arc<Mutex<VecDeque<u8>>>,
    standard_error_bytes: Arc<AtomicU64>,
}

/// The way to an adapter.
pub struct Process {
    adapter: Adapter,
    running: Option<Running>,
}

impl std::fmt::Debug for Process {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Process")
            .field("adapter", &self.adapter)
            .finish_non_exhaustive()
    }
}

impl Process {
    /// The way to this adapter; it is started when it is needed.
    #[must_use]
    pub fn new(adapter: Adapter) -> Self {
        Self { adapter, running: None }
    }

    /// The process group that runs, if one does.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.running.as_ref().map(|running| running.child.id())
    }

    fn broken(&mut self, what: Breakage, request: &str) -> Box<Broken> {
        let standard_error = self.running.take().map(Running::end).unwrap_or_default();
        Box::new(Broken {
            what,
            request: cut(request),
            standard_error,
        })
    }

    /// Sends one line and waits for its reply.
    fn ask(&mut self, op: &str, fields: Value) -> Result<Reply, Box<Broken>> {
        let Some(running) = &mut self.running else {
            return Err(self.broken(Breakage::Kit("no adapter runs".to_owned()), op));
        };
        running.seq += 1;
        let (seq, line) = (running.seq, request(running.seq, op, fields));
        let value = self.exchange(&line, Some(seq))?;
        match Reply::read(&value) {
            Ok(Reply::Errored { message }) => Err(self.broken(Breakage::Errored(message), &line)),
            Ok(reply) => Ok(reply),
            Err(why) => {
                let shown = value.to_string();
                Err(self.broken(Breakage::Nonsense { why, line: cut(&shown) }, &line))
            }
        }
    }

    /// Sends a line and reads one; `seq` is what the reply must echo, if anything.
    fn exchange(&mut self, line: &str, seq: Option<u64>) -> Result<Value, Box<Broken>> {
        let time_limit = self.adapter.time_limit;
        let Some(running) = &mut self.running else {
            return Err(self.broken(Breakage::Kit("no adapter runs".to_owned()), line));
        };
        match running.exchange(line, seq, time_limit) {
            Ok(value) => Ok(value),
            Err(what) => Err(self.broken(what, line)),
        }
    }

    fn line(&mut self, line: &str) -> Result<Reply, Box<Broken>> {
        let Some(running) = &mut self.running else {
            return Err(self.broken(Breakage::Kit("no adapter runs".to_owned()), line));
        };
        running.seq += 1;
        let seq = running.seq;
        let line = line.replace("{seq}", &seq.to_string());
        let value = self.exchange(&line, None)?;
        let echoed = &value["seq"];
        let echoes = echoed.is_null() || echoed.as_u64() == Some(seq) || serde_json::from_str::<Value>(&line).is_err();
        if !echoes {
            let (expected, actual) = (seq, echoed.to_string());
            let shown = value.to_string();
            return Err(self.broken(
                Breakage::WrongSeq {
                    expected,
                    actual,
                    line: cut(&shown),
                },
                &line,
            ));
        }
        Reply::read(&value).map_err(|why| {
            let shown = value.to_string();
            self.broken(Breakage::Nonsense { why, line: cut(&shown) }, &line)
        })
    }

    fn close(&mut self) -> Result<Reply, Box<Broken>> {
        let reply = self.ask("close", json!({}))?;
        if reply != Reply::Closed {
            // A wrong answer is judged; whether it goes on after it is no fault of the next scenario.
            self.running.take().map(Running::end);
            return Ok(reply);
        }
        let Some(running) = &mut self.running else {
            return Ok(reply);
        };
        let exit = running.exit(self.adapter.time_limit);
        match exit {
            Ok(()) => {
                self.running.take().map(Running::end);
                Ok(reply)
            }
            Err(what) => Err(self.broken(what, "close")),
        }
    }

    fn second_open(&mut self, data_dir: &Path) -> Result<Response, Box<Broken>> {
        let mut second = Self::new(Adapter {
            trace_into: None,
            ..self.adapter.clone()
        });
        second.start()?;
        let reply = second.ask("open", json!({ "data_dir": data_dir }))?;
        if matches!(reply, Reply::Failed { .. }) {
            second.close()?;
        }
        Ok(Response::Reply(reply))
    }

    fn kill(&mut self, leave_time: Option<Duration>) -> Response {
        let Some(running) = self.running.take() else {
            return Response::Done;
        };
        if let Some(time) = leave_time {
            spin(time);
        }
        let (mut child, group, mark) = (running.child, running.group, running.mark);
        end_all(group, &mark, &mut child);
        let reply = running.output.try_iter().find_map(|printed| match printed {
            Printed::Line(line) => {
                let value: Value = serde_json::from_slice(&line).ok()?;
                Reply::read(&value).ok()
            }
            Printed::TooLong | Printed::End => None,
        });
        Response::Killed(reply)
    }
}

impl Door for Process {
    fn start(&mut self) -> Result<About, Box<Broken>> {
        self.running.take().map(Running::end);
        let started = Running::start(&self.adapter);
        self.running = Some(started.map_err(|what| self.broken(what, ""))?);
        let line = request(0, "hello", json!({ "protocol": PROTOCOL }));
        let value = self.exchange(&line, Some(0))?;
        if let Some(word @ ("errored" | "unsupported")) = value["reply"].as_str() {
            let why = format!("it is {word}");
            return Err(self.broken(Breakage::Hello(why), &line));
        }
        About::read(&value).map_err(|why| self.broken(Breakage::Hello(why), &line))
    }

    fn is_running(&self) -> bool {
        self.running.is_some()
    }

    fn take(&mut self, request: Request<'_>) -> Result<Response, Box<Broken>> {
        let reply = match request {
            Request::Open(data_dir) => {
                if self.running.is_none() {
                    self.start()?;
                }
                self.ask("open", json!({ "data_dir": data_dir }))?
            }
            Request::SecondOpen(data_dir) => return self.second_open(data_dir),
            Request::Chunk(envelope) => self.ask("chunk", chunk(envelope))?,
            Request::Abort(None) => self.ask("abort", json!({}))?,
            Request::Abort(Some(id)) => self.ask("abort", json!({ "database_id": id }))?,
            Request::Close => self.close()?,
            Request::Kill => {
                self.kill(None);
                return Ok(Response::Killed(None));
            }
            Request::KillDuring(envelope, after) => {
                if let Some(running) = &mut self.running {
                    running.seq += 1;
                    let line = super::talk::request(running.seq, "chunk", chunk(envelope));
                    running.send(&line);
                }
                return Ok(self.kill(Some(after)));
            }
            Request::Line(line) => self.line(line)?,
            Request::FileSizeLimit(bytes) => {
                let Some(running) = &self.running else {
                    return Ok(Response::NotHere("no adapter runs".to_owned()));
                };
                return Ok(match limit_file_size(running, bytes) {
                    Ok(()) => Response::Done,
                    Err(error) => Response::NotHere(format!("the size of files cannot be limited: {error}")),
                });
            }
            Request::FailNext(..) | Request::Expire => {
                return Ok(Response::NotHere(
                    "a single call cannot be made to fail, nor time to pass, from outside a process".to_owned(),
                ));
            }
        };
        Ok(Response::Reply(reply))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.running.take().map(Running::end);
    }
}

impl Running {
    fn start(adapter: &Adapter) -> Result<Self, Breakage> {
        let mark = format!("{}-{}", std::process::id(), next_number());
        let script = script(&adapter.command);
        let mut command = match &adapter.trace_into {
            None => Command::new("sh"),
            Some(file) => {
                let mut strace = Command::new("strace");
                strace.args(super::audit::STRACE).arg("-o").arg(file).arg("sh");
                strace
            }
        };
        command
            .arg("-c")
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .env(MARK, &mark)
            .process_group(0);
        let mut child = command.spawn().map_err(|error| Breakage::Start(error.to_string()))?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(stdin), Some(stdout), Some(stderr)) = pipes else {
            return Err(Breakage::Start("it has no pipes".to_owned()));
        };
        let group = Pid::from_child(&child);
        let (input, lines) = channel();
        thread::spawn(move || write_lines(stdin, &lines));
        let (printed, output) = sync_channel(256);
        thread::spawn(move || read_lines(stdout, &printed));
        let standard_error = Arc::new(Mutex::new(VecDeque::new()));
        let standard_error_bytes = Arc::new(AtomicU64::new(0));
        let (kept, counted) = (Arc::clone(&standard_error), Arc::clone(&standard_error_bytes));
        thread::spawn(move || keep_end(stderr, &kept, &counted));
        Ok(Self {
            child,
            group,
            mark,
            seq: 0,
            input,
            output,
            standard_error,
            standard_error_bytes,
        })
    }

    fn send(&self, line: &str) {
        // A writer that has ended means that the adapter reads no more; waiting for the reply tells.
        let _sent = self.input.send(format!("{line}\n").into_bytes());
    }

    fn exchange(&mut self, line: &str, seq: Option<u64>, time_limit: Duration) -> Result<Value, Breakage> {
        let errors_before = self.standard_error_bytes.load(Ordering::Relaxed);
        let errors_max = STANDARD_ERROR_BYTES_MAX + 2 * line.len() as u64;
        self.send(line);
        let time_limit = time_limit + TIME_PER_MEBIBYTE.mul_f64(line.len() as f64 / f64::from(1 << 20));
        let started = Instant::now();
        let mut ended = false;
        let printed = loop {
            let bytes = self.standard_error_bytes.load(Ordering::Relaxed) - errors_before;
            if bytes > errors_max {
                return Err(Breakage::StandardError { bytes });
            }
            match self.output.recv_timeout(Duration::from_millis(50)) {
                Ok(printed) => break printed,
                Err(RecvTimeoutError::Timeout) if started.elapsed() >= time_limit => {
                    return Err(Breakage::Silence(time_limit));
                }
                // A child of its own may keep its output open after it died.
                Err(RecvTimeoutError::Timeout) if ended => break Printed::End,
                Err(RecvTimeoutError::Timeout) => ended = matches!(self.child.try_wait(), Ok(Some(_))),
                Err(RecvTimeoutError::Disconnected) => break Printed::End,
            }
        };
        let bytes = self.standard_error_bytes.load(Ordering::Relaxed) - errors_before;
        if bytes > errors_max {
            return Err(Breakage::StandardError { bytes });
        }
        match printed {
            Printed::Line(bytes) => read_reply(&bytes, seq),
            Printed::TooLong => Err(Breakage::TooMuch(format!(
                "a line of more than {LINE_BYTES_MAX} bytes on standard output"
            ))),
            Printed::End => Err(Breakage::Died(self.how_it_ended())),
        }
    }

    fn how_it_ended(&mut self) -> String {
        match wait(&mut self.child, Duration::from_secs(1)) {
            Some(status) => told(status),
            None => "it closed its standard output and lives on".to_owned(),
        }
    }

    /// After `closed`: no more output, and exit code 0.
    fn exit(&mut self, time_limit: Duration) -> Result<(), Breakage> {
        let Some(status) = wait(&mut self.child, time_limit) else {
            return Err(Breakage::Exit(format!("did not exit within {time_limit:.1?}")));
        };
        if !status.success() {
            return Err(Breakage::Exit(told(status)));
        }
        match self.output.recv_timeout(Duration::from_millis(50)) {
            Ok(Printed::Line(line)) => Err(Breakage::TooMuch(format!(
                "a line after the reply to close: {}",
                cut(&String::from_utf8_lossy(&line))
            ))),
            Ok(Printed::TooLong) => Err(Breakage::TooMuch("a line after the reply to close".to_owned())),
            Ok(Printed::End) | Err(_) => Ok(()),
        }
    }

    /// Ends it and all that it started; returns the end of its standard error.
    fn end(mut self) -> String {
        end_all(self.group, &self.mark, &mut self.child);
        // What it wrote last may still be on its way.
        let arrived = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let mut seen = arrived(&self.standard_error_bytes);
        for _ in 0..5 {
            thread::sleep(Duration::from_millis(2));
            let now = arrived(&self.standard_error_bytes);
            if now == seen {
                break;
            }
            seen = now;
        }
        let kept = self.standard_error.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes: Vec<u8> = kept.iter().copied().collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// A line of a script: files past the size limit are failed writes, not a signal; as many files may be open
/// as most systems allow, so that forgotten ones are seen; a simple command takes the shell's place, so that
/// a signal reaches it.
fn script(command: &str) -> String {
    let is_simple = !command.contains(|char: char| ";&|<>()$`\n{}*?[]#~=%".contains(char));
    let exec = if is_simple { "exec " } else { "" };
    // Where no such limit can be set, the one that is there stays.
    format!("trap '' {SIGNAL_FILE_SIZE}; ulimit -S -n {FILES_OPEN_MAX} 2>/dev/null; {exec}{command}")
}

fn read_reply(bytes: &[u8], seq: Option<u64>) -> Result<Value, Breakage> {
    let shown = cut(&String::from_utf8_lossy(bytes));
    let nonsense = |why: String| Breakage::Nonsense {
        why,
        line: shown.clone(),
    };
    let value: Value = serde_json::from_slice(bytes).map_err(|error| nonsense(format!("not JSON: {error}")))?;
    if !value.is_object() {
        return Err(nonsense("not a JSON object".to_owned()));
    }
    let Some(expected) = seq else { return Ok(value) };
    if super::scenario::number::read(&value["seq"]) == Some(expected) {
        return Ok(value);
    }
    // Without a sequence number an answer to nothing in particular, but an error all the same.
    if value["seq"].is_null() && value["reply"] == "errored" {
        return Ok(value);
    }
    let actual = value["seq"].to_string();
    Err(Breakage::WrongSeq {
        expected,
        actual,
        line: shown,
    })
}

fn write_lines(mut stdin: std::process::ChildStdin, lines: &Receiver<Vec<u8>>) {
    for line in lines {
        if stdin.write_all(&line).and_then(|()| stdin.flush()).is_err() {
            return;
        }
    }
}

fn read_lines(stdout: impl Read, printed: &SyncSender<Printed>) {
    let mut reader = BufReader::new(stdout);
    loop {
        let mut line = Vec::new();
        let limited = (&mut reader)
            .take(LINE_BYTES_MAX as u64 + 1)
            .read_until(b'\n', &mut line);
        let end = !limited.is_ok_and(|bytes| bytes > 0);
        let next = if end {
            Printed::End
        } else if line.len() > LINE_BYTES_MAX {
            Printed::TooLong
        } else {
            Printed::Line(line)
        };
        // A reader that went away has seen enough.
        if printed.send(next).is_err() || end {
            return;
        }
    }
}

fn keep_end(mut stderr: impl Read, kept: &Mutex<VecDeque<u8>>, counted: &AtomicU64) {
    let mut buffer = [0; 8192];
    while let Ok(read) = stderr.read(&mut buffer) {
        if read == 0 {
            return;
        }
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend(&buffer[..read]);
        let surplus = kept.len().saturating_sub(STANDARD_ERROR_KEPT);
        kept.drain(..surplus);
        counted.fetch_add(read as u64, Ordering::Relaxed);
    }
}

/// Ends the group, and whatever left it but carries the mark.
fn end_all(group: Pid, mark: &str, child: &mut Child) {
    // It may have ended by itself.
    let _gone = kill_process_group(group, Signal::KILL);
    let _status = child.wait();
    for pid in marked(mark) {
        let _gone = kill_process(pid, Signal::KILL);
    }
}

/// The processes whose environment has the mark. Elsewhere than on Linux: none.
fn marked(mark: &str) -> Vec<Pid> {
    let wanted = format!("{MARK}={mark}");
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    let has_mark = |pid: &i32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment
            .split(|byte| *byte == 0)
            .any(|variable| variable == wanted.as_bytes())
    };
    pids.filter(has_mark).filter_map(Pid::from_raw).collect()
}

fn limit_file_size(running: &Running, bytes: Option<u64>) -> std::io::Result<()> {
    let maximum = getrlimit(Resource::Fsize).maximum;
    let limit = Rlimit {
        current: bytes.or(maximum),
        maximum,
    };
    let mut pids = marked(&running.mark);
    pids.push(running.group);
    for pid in pids {
        match prlimit(Some(pid), Resource::Fsize, limit) {
            Ok(_) | Err(rustix::io::Errno::SRCH) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn wait(child: &mut Child, time_limit: Duration) -> Option<ExitStatus> {
    let started = Instant::now();
    loop {
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status);
        }
        if started.elapsed() >= time_limit {
            return None;
        }
        thread::sleep(Duration::from_millis(1));
    }
}

fn told(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(127), _) => "exit code 127 (for a shell: command not found)".to_owned(),
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => status.to_string(),
    }
}

/// Short times, more exactly than the scheduler keeps them.
fn spin(time: Duration) {
    let until = Instant::now() + time;
    if time > Duration::from_millis(2) {
        thread::sleep(time - Duration::from_millis(1));
    }
    while Instant::now() < until {
        std::hint::spin_loop();
    }
}

fn cut(text: &str) -> String {
    if text.len() > 300 {
        let start: String = text.chars().take(200).collect();
        format!("{start}... ({} bytes)", text.len())
    } else {
        text.trim_end().to_owned()
    }
}

fn next_number() -> u64 {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    NUMBER.fetch_add(1, Ordering::Relaxed)
}
