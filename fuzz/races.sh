#!/usr/bin/env bash
# Plants each race of the classic hand-over (incidents A9 to A11) in `interleave`, which has to find it
# from its seeds within so many seconds: fuzz/races.sh [SECONDS], after `cargo +nightly fuzz build`.
set -euo pipefail
cd "$(dirname "$0")/.."
host=$(rustc -vV | sed -n 's/^host: //p')
target="${CARGO_TARGET_DIR:-fuzz/target}/$host/release/interleave"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
missed=0
for bug in put_back_counts_twice put_back_empties_a_commit put_back_revives_an_aborted_attempt; do
    mkdir -p "$work/$bug"
    if SNAPSHOT_FUZZ_BUG=$bug "$target" "$work/$bug" fuzz/seeds/interleave "-max_total_time=${1:-60}" -max_len=97 \
        "-artifact_prefix=$work/$bug-" > "$work/log" 2>&1; then
        echo "$bug: NOT FOUND"
        missed=1
    elif says=$(grep -m1 -E 'no order of these calls|two storage operations of database' "$work/log"); then
        # libFuzzer counts in its own lines only: a race that a seed shows comes before the first.
        executions=$(sed -n 's/^#\([0-9]*\).*/\1/p' "$work/log" | tail -n 1)
        echo "$bug: found after ${executions:-0} executions or more: ${says:0:120}"
    else
        tail -n 20 "$work/log"
        echo "$bug: something else was found"
        missed=1
    fi
done
exit $missed
