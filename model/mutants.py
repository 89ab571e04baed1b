#!/usr/bin/env python3
"""Runs the mutants of cargo-mutants, all compiled into one build and chosen by an environment variable.

Guarantees: the mutants are those of `cargo mutants --list`, each run alone, in a process of its own;
what cannot be compiled this way is named, not counted. The sources are copied, never touched.
Refuses to know: which mutants are equivalent; that is judged by hand, in MUTANTS.md.

A function with mutants becomes one `if` with a branch per mutant, each a whole copy of its body
(mutant schemata: Untch, Offutt, Harrold, ISSTA 1993). So a mutant costs a run of the tests, not a build.
"""

import argparse
import concurrent.futures
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VARIABLE = "SNAPSHOT_RECEIVER_MUTANT"
SWITCH = f'''
extern crate std as std_for_mutants;
/// Whether this mutant is the chosen one.
#[doc(hidden)]
#[allow(missing_docs, unreachable_pub)]
pub fn is_mutant(number: u32) -> bool {{
    static CHOSEN: std_for_mutants::sync::OnceLock<u32> = std_for_mutants::sync::OnceLock::new();
    *CHOSEN.get_or_init(|| {{
        std_for_mutants::env::var("{VARIABLE}").ok().and_then(|text| text.parse().ok()).unwrap_or(0)
    }}) == number
}}
'''
SKIPPED_TEXT = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])\'', re.S)


def listed(files):
    """The mutants, numbered from 1 in cargo-mutants' order."""
    command = ["cargo", "mutants", "--list", "--json", "--package", "snapshot-receiver"]
    for pattern in files:
        command += ["--file", pattern]
    mutants = json.loads(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout)
    for number, mutant in enumerate(mutants, 1):
        mutant["number"] = number
    return mutants


def index_of(starts, place):
    return starts[place["line"] - 1] + place["column"] - 1


def body_of(text, start, end):
    """The places of a function's outer braces."""
    blank = SKIPPED_TEXT.sub(lambda match: " " * len(match.group()), text[start:end])
    depth = 0
    for at in range(re.search(r"\bfn\b", blank).start(), len(blank)):
        depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(blank[at], 0)
        if blank[at] == "{" and depth == 0:
            return blank[: at].find("const fn") >= 0, start + at, end - 1
    raise ValueError(f"no body in {text[start:end][:80]!r}")


def switched(text, mutants):
    """The file with all its mutants, and for each of its new lines the mutant that it belongs to."""
    starts = [0]
    for line in text.split("\n"):
        starts.append(starts[-1] + len(line) + 1)
    functions = {}
    for mutant in mutants:
        span = mutant["function"]["span"]
        key = (index_of(starts, span["start"]), index_of(starts, span["end"]))
        functions.setdefault(key, []).append(mutant)
    pieces, done = [], 0
    for (start, end), members in sorted(functions.items()):
        is_const, open_at, close_at = body_of(text, start, end)
        assert start >= done, "functions within functions"
        if is_const:
            continue
        pieces.append((None, text[done : open_at + 1]))
        for mutant in members:
            first, last = (index_of(starts, mutant["span"][side]) for side in ("start", "end"))
            body = f"{text[open_at + 1 : first]} {mutant['replacement']} {text[last:close_at]}"
            number = mutant["number"]
            pieces.append((number, f"\nif crate::is_mutant({number}) {{\n{body}\n}} else"))
        pieces.append((None, " {\n" + text[open_at + 1 : close_at] + "\n}\n"))
        done = close_at
    pieces.append((None, text[done:]))
    owners, lines = {}, 1
    for number, piece in pieces:
        count = piece.count("\n")
        if number is not None:
            # The first line ends what came before.
            owners.update({line: number for line in range(lines + 1, lines + count + 1)})
        lines += count
    return "".join(piece for _, piece in pieces), owners


def copied(into):
    """A copy of what git tracks, as it stands in the work tree."""
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout
    for name in filter(None, names.decode().split("\0")):
        if (ROOT / name).is_file():
            target = into / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target)


def cargo(tree, *arguments):
    """Cargo's messages; its own text goes to standard error as it comes."""
    command = ["cargo", *arguments, "--message-format=json"]
    run = subprocess.run(command, cwd=tree, stdout=subprocess.PIPE, text=True)
    return run.returncode, [json.loads(line) for line in run.stdout.splitlines() if line.startswith("{")]


def built(tree, mutants):
    """Writes the mutants into the tree; returns the viable ones' numbers and those that do not compile."""
    by_file = {}
    for mutant in mutants:
        if mutant["function"]:
            by_file.setdefault(mutant["file"], []).append(mutant)
    library = tree / "src/lib.rs"
    library.write_text((ROOT / "src/lib.rs").read_text() + SWITCH)
    unviable = {}
    while True:
        owners = {}
        for name, members in by_file.items():
            members = [mutant for mutant in members if mutant["number"] not in unviable]
            text, owners[name] = switched((ROOT / name).read_text(), members)
            (tree / name).write_text(text)
        status, messages = cargo(tree, "test", "--no-run", "--quiet", "--package", "snapshot-receiver", "--lib")
        viable = sorted({number for numbers in owners.values() for number in numbers.values()})
        if status == 0:
            return viable, unviable
        before = len(unviable)
        for message in (entry["message"] for entry in messages if entry["reason"] == "compiler-message"):
            if message["level"] != "error":
                continue
            for span in message["spans"]:
                number = owners.get(span["file_name"], {}).get(span["line_start"])
                if span["is_primary"] and number:
                    unviable[number] = message["message"]
        if len(unviable) == before:
            rendered = [entry["message"]["rendered"] for entry in messages if entry["reason"] == "compiler-message"]
            sys.exit("errors outside the mutants:\n" + "\n".join(rendered))


def binaries(tree, tests):
    """The test binaries, in the order asked for."""
    chosen = [word for test in tests for word in (["--lib"] if test == "lib" else ["--test", test])]
    status, messages = cargo(tree, "test", "--no-run", "--package", "snapshot-receiver", *chosen)
    found = {}
    for message in messages:
        if message.get("executable"):
            is_library = "lib" in message["target"]["kind"]
            found["lib" if is_library else message["target"]["name"]] = message["executable"]
    if status != 0 or set(tests) - set(found):
        sys.exit(f"the tests do not build: {sorted(set(tests) - set(found))}")
    return [(test, found[test]) for test in tests]


def limited():
    # A mutant that allocates for ever ends itself, not the machine.
    resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))


def ended(process, seconds):
    """The exit status, or None after so many seconds. One in which this process was stopped, too, does not count."""
    waited, before = 0.0, time.monotonic()
    while waited < seconds:
        try:
            return process.wait(0.5)
        except subprocess.TimeoutExpired:
            now = time.monotonic()
            waited, before = waited + min(now - before, 1.0), now
    return None


def judged(tree, programs, seconds, number):
    """What the tests make of one mutant: (verdict, by what)."""
    environment = dict(os.environ, CARGO_MANIFEST_DIR=str(tree), RUST_BACKTRACE="0")
    environment[VARIABLE] = str(number)
    for test, program in programs:
        with tempfile.TemporaryFile() as output:
            process = subprocess.Popen(
                [program], cwd=tree, env=environment, stdin=subprocess.DEVNULL, stdout=output,
                stderr=subprocess.STDOUT, preexec_fn=limited, start_new_session=True,
            )
            status = ended(process, seconds)
            if status is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            output.seek(0)
            text = output.read().decode(errors="replace")
        if status is None:
            finished = len(re.findall(r"^test .* \.\.\. ok$", text, re.M))
            return "timeout", f"{test} ({finished} tests passed before)"
        if status != 0:
            failed = re.findall(r"^test (\S+).* \.\.\. FAILED$", text, re.M)
            return "caught", f"{test}: {', '.join(failed) or f'ended with {status}'}"
    return "missed", ""


def by_cargo_mutants(tree, mutants, tests, seconds):
    """What is part of a constant is chosen when it is compiled: cargo-mutants itself builds each of these."""
    copied(tree)
    command = ["cargo", "mutants", "--package", "snapshot-receiver", "--test-package", "snapshot-receiver"]
    command += ["--in-place", "--baseline", "skip", "--timeout", str(int(seconds)), "--no-times"]
    command += ["-C=--lib" if test == "lib" else f"-C=--test={test}" for test in tests]
    for mutant in mutants:
        command += ["--re", f"^{re.escape(mutant['name'])}$"]
    subprocess.run(command, cwd=tree)
    names = {mutant["name"]: "not run" for mutant in mutants}
    for verdict in ["caught", "missed", "timeout", "unviable"]:
        for name in (tree / f"mutants.out/{verdict}.txt").read_text().splitlines():
            names[name] = verdict
    return [{"name": name, "verdict": verdict, "by": "cargo mutants"} for name, verdict in names.items()]


def selected(mutants, asked):
    """What of them was asked for."""
    if asked.only:
        mutants = [mutant for mutant in mutants if re.search(asked.only, mutant["name"])]
    if asked.again:
        wanted, earlier = asked.verdicts.split(","), json.loads(asked.again.read_text())
        names = {entry["name"] for entry in earlier if entry["verdict"] in wanted}
        mutants = [mutant for mutant in mutants if mutant["name"] in names]
    shard, shards = map(int, asked.shard.split("/"))
    return mutants[shard::shards]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--file", action="append", required=True, help="as for cargo mutants; may be repeated")
    parser.add_argument("--tests", required=True, help="test binaries by name, fastest first; lib is the unit tests")
    parser.add_argument("--tree", type=Path, default=ROOT / "target/mutants", help="where the copy is made")
    parser.add_argument("--only", help="a regular expression on the mutants' names")
    parser.add_argument("--shard", default="0/1", help="K/N: the mutants K, K+N, K+2N, ..., from 0")
    parser.add_argument("--again", type=Path, help="only mutants of an earlier report, by its verdict")
    parser.add_argument("--verdicts", default="missed", help="which of them, with commas between")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--timeout", type=float, default=60, help="seconds for one test binary")
    parser.add_argument("--json", type=Path, help="write the report here")
    asked = parser.parse_args()

    mutants = selected(listed(asked.file), asked)
    tree = asked.tree.resolve()
    tree.mkdir(parents=True, exist_ok=True)
    copied(tree)
    viable, unviable = built(tree, mutants)
    tests = asked.tests.split(",")
    programs = binaries(tree, tests)
    verdict, by = judged(tree, programs, 10 * asked.timeout, 0)
    if verdict != "missed":
        sys.exit(f"the tests fail without a mutant: {verdict} {by}")

    report, chosen, constant = [], [], []
    for mutant in mutants:
        number, name = mutant["number"], mutant["name"]
        if number in viable:
            chosen.append(mutant)
        elif number in unviable:
            report.append({"name": name, "verdict": "unviable", "by": unviable[number]})
        else:
            constant.append(mutant)
    began = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(asked.jobs) as pool:
        run = lambda mutant: judged(tree, programs, asked.timeout, mutant["number"])
        for mutant, (verdict, by) in zip(chosen, pool.map(run, chosen)):
            report.append({"name": mutant["name"], "verdict": verdict, "by": by})
            if verdict != "caught":
                print(f"{verdict}: {mutant['name']} {by}", flush=True)
    if constant:
        entries = by_cargo_mutants(tree.with_name(tree.name + "-constants"), constant, tests, asked.timeout)
        print("\n".join(f"{entry['verdict']}: {entry['name']}" for entry in entries if entry["verdict"] != "caught"))
        report += entries
    counts = {}
    for entry in report:
        counts[entry["verdict"]] = counts.get(entry["verdict"], 0) + 1
    print(f"{len(report)} mutants: {counts}, {time.monotonic() - began:.0f} s")
    if asked.json:
        asked.json.write_text(json.dumps(report, indent=1) + "\n")
    if not chosen and not constant:
        sys.exit(4)
    if counts.get("not run"):
        sys.exit(101)
    sys.exit(100 if counts.get("missed") else 0)


if __name__ == "__main__":
    main()
