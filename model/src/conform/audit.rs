//! The order of system calls that durability needs, seen by `strace`, in any language.
//!
//! Guarantees: only calls that succeeded count; a call counts from its beginning to its end, so that
//! two threads' calls are in an order only where one ended before the other began; a receiver that
//! uses io_uring, which is not seen here, is told as not visible and not as wrong. Refuses to know:
//! what was answered, but for where `committed` and `opened` were written.

use std::collections::HashMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::door::{Broken, Door, Request, Response};
use super::process::{Adapter, Process};
use super::scenario::{Data, Envelope};
use super::talk::Reply;

/// How `strace` is told what to write.
pub const STRACE: &[&str] = &[
    "-f",
    "-qq",
    "-y",
    "-s",
    "512",
    "-e",
    // A question mark: not every machine has every call.
    "trace=?open,?openat,?openat2,?creat,?write,?pwrite64,?writev,?pwritev,?pwritev2,?sendto,?sendmsg,\
     ?copy_file_range,?sendfile,?splice,?fallocate,?ftruncate,?fsync,?fdatasync,?syncfs,?sync,?sync_file_range,\
     ?msync,?rename,?renameat,?renameat2,?link,?linkat,?unlink,?unlinkat,?truncate,?io_uring_setup,?io_uring_enter",
];

/// What was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Audited {
    /// The order was right, or these clauses are broken.
    Seen(Vec<(&'static str, String)>),
    /// Nothing could be seen, and why.
    NotVisible(String),
}

/// Runs a commit, and another over it, under `strace`.
///
/// # Errors
/// The adapter broke.
pub fn audit(command: &str, time_limit: Duration, scratch: &Path) -> Result<Audited, Box<Broken>> {
    let probe = Command::new("strace")
        .args(["-f", "-qq", "-e", "trace=fsync", "true"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if !probe.is_ok_and(|status| status.success()) {
        return Ok(Audited::NotVisible(
            "strace is not installed here, or may not trace".to_owned(),
        ));
    }
    let Ok(root) = std::fs::create_dir_all(scratch.join("audit")).and_then(|()| scratch.join("audit").canonicalize())
    else {
        return Ok(Audited::NotVisible("no directory to audit in".to_owned()));
    };
    let trace = root.join("trace");
    let mut adapter = Adapter::new(command);
    adapter.time_limit = time_limit;
    adapter.trace_into = Some(trace.clone());
    let mut door = Process::new(adapter);
    door.start()?;
    let data_dir = root.join("data");
    let (first, last) = (chunk(5, 0, b"abc", false), chunk(5, 3, b"def", true));
    let whole = chunk(6, 0, b"abcdef", true);
    let steps = [
        Request::Open(&data_dir),
        Request::Chunk(&first),
        Request::Chunk(&last),
        Request::Chunk(&whole),
        Request::Close,
    ];
    for (number, step) in steps.into_iter().enumerate() {
        let wanted = ["opened", "pending", "committed", "committed", "closed"][number];
        match door.take(step)? {
            Response::Reply(reply) if reply.word() == wanted => {}
            Response::Reply(Reply::Unsupported { why }) => return Ok(Audited::NotVisible(why)),
            other @ (Response::Reply(_) | Response::Done | Response::Killed(_) | Response::NotHere(_)) => {
                return Ok(Audited::NotVisible(format!(
                    "it did not answer {wanted} under strace, but {other:?}"
                )));
            }
        }
    }
    drop(door);
    let text = std::fs::read_to_string(&trace).unwrap_or_default();
    Ok(judge(&calls(&text), &data_dir))
}

fn chunk(lsn: u64, offset: u64, data: &[u8], done: bool) -> Envelope {
    Envelope {
        source_cluster_id: "prod".to_owned(),
        source_database_id: "db".to_owned(),
        snapshot_lsn: lsn,
        total_bytes: 6,
        total_crc32c: crc32c::crc32c(b"abcdef"),
        offset,
        data: Data::Bytes(data.to_vec()),
        done,
    }
}

/// One system call.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Call {
    name: String,
    /// Arguments and result, as `strace` writes them.
    text: String,
    /// The line on which it began, and the one on which it ended.
    began: usize,
    ended: usize,
}

impl Call {
    fn succeeded(&self) -> bool {
        let result = self.text.rsplit_once(" = ").map_or("", |(_, result)| result);
        !result.starts_with('-') && !result.starts_with('?') && !result.is_empty()
    }

    fn is_sync(&self) -> bool {
        matches!(self.name.as_str(), "fsync" | "fdatasync") && self.succeeded()
    }

    /// A sync of all there is, or of a whole file system.
    fn is_sync_of_all(&self) -> bool {
        matches!(self.name.as_str(), "sync" | "syncfs") && self.succeeded()
    }

    fn is_write(&self) -> bool {
        let writes = [
            "write",
            "pwrite64",
            "writev",
            "pwritev",
            "pwritev2",
            "copy_file_range",
            "sendfile",
            "splice",
            "ftruncate",
            "fallocate",
        ];
        writes.contains(&self.name.as_str()) && self.succeeded()
    }

    fn of(&self, path: &str) -> bool {
        self.text.contains(&format!("<{path}>"))
    }
}

/// The calls of a trace, those that were interrupted by another thread's put together again.
fn calls(trace: &str) -> Vec<Call> {
    let mut calls: Vec<Call> = Vec::new();
    let mut unfinished: HashMap<&str, usize> = HashMap::new();
    for (number, line) in trace.lines().enumerate() {
        let Some((pid, rest)) = line.split_once(' ') else {
            continue;
        };
        let rest = rest.trim_start();
        if let Some(resumed) = rest.strip_prefix("<... ") {
            if let Some(index) = unfinished.remove(pid) {
                let tail = resumed.split_once("resumed>").map_or("", |(_, tail)| tail);
                calls[index].text.push_str(tail);
                calls[index].ended = number;
            }
            continue;
        }
        let Some((name, text)) = rest.split_once('(') else {
            continue;
        };
        let (text, ended) = match text.strip_suffix("<unfinished ...>") {
            Some(text) => {
                unfinished.insert(pid, calls.len());
                (text, usize::MAX)
            }
            None => (text, number),
        };
        calls.push(Call {
            name: name.to_owned(),
            text: text.to_owned(),
            began: number,
            ended,
        });
    }
    calls
}

fn judge(calls: &[Call], data_dir: &Path) -> Audited {
    if calls.iter().any(|call| call.name.starts_with("io_uring")) {
        return Audited::NotVisible("it uses io_uring, whose operations are no system calls".to_owned());
    }
    let shown = |path: &Path| path.display().to_string();
    let receive = shown(&data_dir.join("recv_snapshots"));
    let answers = |word: &str| -> Vec<&Call> {
        let quoted = format!("\\\"{word}\\\"");
        let is_answer = |call: &&Call| {
            let writes = ["write", "writev", "sendto", "sendmsg", "pwritev2"];
            writes.contains(&call.name.as_str()) && call.text.contains(&quoted) && !call.of(&receive)
        };
        calls.iter().filter(is_answer).collect()
    };
    let mut wrong = Vec::new();
    let Some(opened) = answers("opened").first().copied() else {
        return Audited::NotVisible("its answers were not seen among the system calls".to_owned());
    };
    let parent = data_dir.parent().map(shown).unwrap_or_default();
    for path in [&receive, &shown(data_dir), &parent] {
        let synced =
            |call: &Call| call.ended < opened.began && ((call.is_sync() && call.of(path)) || call.is_sync_of_all());
        if !calls.iter().any(synced) {
            wrong.push((
                "SR-PUB-005",
                format!("{path} was not synced before opened was answered"),
            ));
        }
    }
    let committed = answers("committed");
    let renames: Vec<&Call> = calls.iter().filter(|call| is_publication(call)).collect();
    let mut from = 0;
    for (number, answer) in (1..).zip(&committed) {
        let Some(rename) = renames
            .iter()
            .find(|call| call.began >= from && call.ended < answer.began)
        else {
            wrong.push((
                "SR-PUB-001",
                format!("commit {number}: no rename of db.partial to db.snapshot before committed was answered"),
            ));
            wrong.extend(in_its_place(calls, number, from, answer));
            continue;
        };
        wrong.extend(order(calls, number, from, rename, answer, &receive));
        wrong.extend(in_its_place(calls, number, from, rename));
        from = answer.began;
    }
    if committed.is_empty() {
        return Audited::NotVisible("its answers were not seen among the system calls".to_owned());
    }
    Audited::Seen(wrong)
}

fn is_publication(call: &Call) -> bool {
    call.name.starts_with("rename")
        && call.succeeded()
        && call.text.contains("db.partial\"")
        && call.text.contains("db.snapshot\"")
}

/// Until the rename, nobody takes away or opens for writing what stands under the snapshot's name.
fn in_its_place(calls: &[Call], number: usize, from: usize, rename: &Call) -> Option<(&'static str, String)> {
    let touches = |call: &&Call| {
        let is_earlier = call.began >= from && call.began < rename.began && call.succeeded();
        let takes_away = call.name.starts_with("unlink") || call.name.starts_with("rename");
        let writes = ["O_WRONLY", "O_RDWR", "O_TRUNC"];
        let opens = call.name.starts_with("open") && writes.iter().any(|flag| call.text.contains(flag));
        let truncates = call.name == "truncate" || call.name == "creat";
        is_earlier && call.text.contains("db.snapshot\"") && (takes_away || opens || truncates)
    };
    let call = calls.iter().find(touches)?;
    Some((
        "SR-PUB-002",
        format!(
            "commit {number}: {} of db.snapshot before the rename: a crash there leaves none, or a part",
            call.name
        ),
    ))
}

/// Data written, file synced, renamed, directory synced, and only then answered.
fn order(
    calls: &[Call],
    number: usize,
    from: usize,
    rename: &Call,
    answer: &Call,
    receive: &str,
) -> Vec<(&'static str, String)> {
    let partial = format!("{receive}/db.partial");
    let before = |call: &&Call| call.began >= from && call.ended < rename.began;
    let mut wrong = Vec::new();
    let opens_synced = |call: &&Call| {
        call.name.starts_with("open")
            && call.text.contains("db.partial")
            && (call.text.contains("O_SYNC") || call.text.contains("O_DSYNC"))
    };
    let writes_through = calls.iter().filter(before).any(|call| opens_synced(&call));
    let written = calls
        .iter()
        .filter(before)
        .filter(|call| call.is_write() && call.of(&partial));
    let last_write = written.map(|call| call.ended).max().unwrap_or(from);
    let syncs_file = |call: &Call| (call.is_sync() && call.of(&partial)) || call.is_sync_of_all();
    let synced = calls
        .iter()
        .filter(before)
        .any(|call| syncs_file(call) && call.began >= last_write);
    let maps = calls
        .iter()
        .filter(before)
        .any(|call| call.name == "msync" && call.succeeded());
    if !synced && !writes_through && !maps {
        wrong.push((
            "SR-PUB-001",
            format!("commit {number}: db.partial was not synced between its last write and the rename"),
        ));
    }
    let late = |call: &Call| {
        let of_file = call.of(&partial) || call.of(&format!("{receive}/db.snapshot"));
        call.is_write() && of_file && call.began > rename.began && call.began < answer.began
    };
    if calls.iter().any(late) {
        wrong.push((
            "SR-PUB-001",
            format!("commit {number}: it was written to after the rename"),
        ));
    }
    let syncs_directory = |call: &Call| {
        call.began > rename.ended
            && call.ended < answer.began
            && ((call.is_sync() && call.of(receive)) || call.is_sync_of_all())
    };
    if !calls.iter().any(syncs_directory) {
        wrong.push((
            "SR-PUB-001",
            format!("commit {number}: recv_snapshots was not synced between the rename and the answer"),
        ));
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
7 fsync(3</s/data/recv_snapshots>) = 0
7 fsync(3</s/data>) = 0
7 fsync(3</s>) = 0
7 write(1<pipe:[1]>, "{\"reply\":\"opened\"}", 9) = 9
7 pwrite64(4</s/data/recv_snapshots/db.partial>, "abc", 3, 0) = 3
7 fsync(4</s/data/recv_snapshots/db.partial> <unfinished ...>
8 write(1<pipe:[1]>, "elsewhere", 9) = 9
7 <... fsync resumed>) = 0
7 renameat(3</s/data/recv_snapshots>, "db.partial", 3</s/data/recv_snapshots>, "db.snapshot") = 0
7 fsync(3</s/data/recv_snapshots>) = 0
7 write(1<pipe:[1]>, "{\"reply\":\"committed\"}", 9) = 9
"#;

    fn clauses(trace: &str) -> Vec<&'static str> {
        match judge(&calls(trace.trim_start()), Path::new("/s/data")) {
            Audited::Seen(wrong) => wrong.into_iter().map(|(clause, _)| clause).collect(),
            Audited::NotVisible(why) => panic!("{why}"),
        }
    }

    #[test]
    fn the_right_order_is_right_and_each_omission_is_seen() {
        assert_eq!(clauses(GOOD), Vec::<&str>::new());
        let without = |line: &str| {
            assert!(GOOD.contains(line));
            clauses(&GOOD.replacen(line, "", 1))
        };
        assert_eq!(without("7 fsync(3</s/data>) = 0\n"), ["SR-PUB-005"]);
        assert_eq!(without("7 fsync(3</s>) = 0\n"), ["SR-PUB-005"]);
        let failed = GOOD.replace("<... fsync resumed>) = 0", "<... fsync resumed>) = -1 EIO");
        assert_eq!(clauses(&failed), ["SR-PUB-001"]);
        let late = GOOD.replace(
            "resumed>) = 0\n",
            "resumed>) = 0\n7 pwrite64(4</s/data/recv_snapshots/db.partial>, \"x\", 1, 3) = 1\n",
        );
        assert_eq!(clauses(&late), ["SR-PUB-001"]);
        let renames = "7 renameat(";
        let unlinked = GOOD.replace(
            renames,
            &format!("7 unlinkat(3</s/data/recv_snapshots>, \"db.snapshot\", 0) = 0\n{renames}"),
        );
        assert_eq!(clauses(&unlinked), ["SR-PUB-002"]);
        let (head, tail) = GOOD
            .rsplit_once("7 fsync(3</s/data/recv_snapshots>) = 0\n")
            .expect("the directory's sync");
        assert_eq!(clauses(&format!("{head}{tail}")), ["SR-PUB-001"]);
    }
}
