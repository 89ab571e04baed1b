#!/usr/bin/env bash
# Builds and runs every fuzz target, one after the other, and ends with a table: executions, rate,
# covered edges, corpus.
#
#     fuzz/run.sh [--seconds N] [--sanitizer address|none] [TARGET...]
#
# A finding ends it with 1 and says what to do next. The corpus grows in fuzz/corpus/TARGET.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=60
sanitizer=address
targets=()
usage() { echo "usage: fuzz/run.sh [--seconds N] [--sanitizer address|none] [TARGET...]" >&2; exit 2; }
while [ $# -gt 0 ]; do
    case "$1" in
        --seconds) seconds=${2:?}; shift 2 ;;
        --sanitizer) sanitizer=${2:?}; shift 2 ;;
        -*) usage ;;
        *) [ -f "fuzz/fuzz_targets/$1.rs" ] || { echo "there is no target $1" >&2; usage; }; targets+=("$1"); shift ;;
    esac
done
case "$sanitizer" in address | none) ;; *) usage ;; esac
if [ ${#targets[@]} = 0 ]; then
    for source in fuzz/fuzz_targets/*.rs; do targets+=("$(basename "$source" .rs)"); done
fi
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/fuzz/target}"
host=$(rustc +nightly -vV | sed -n 's/^host: //p')

# What `cargo fuzz build` does (0.13): the flags that libFuzzer's instrumentation needs.
build() {
    if cargo +nightly fuzz --version > /dev/null 2>&1; then
        cargo +nightly fuzz build --sanitizer "$sanitizer" --target "$host"
        return
    fi
    echo "cargo-fuzz is not installed: built with its flags by cargo alone"
    local coverage=-Cllvm-args=-sanitizer-coverage flags="-Cpasses=sancov-module"
    flags+=" $coverage-level=4 $coverage-inline-8bit-counters $coverage-pc-table $coverage-trace-compares"
    flags+=" --cfg fuzzing -Cllvm-args=-simplifycfg-branch-fold-threshold=0"
    if [ "$sanitizer" = address ]; then flags+=" -Zsanitizer=address"; fi
    flags+=" $coverage-stack-depth -Cdebug-assertions -Ccodegen-units=1"
    # With a target named, the flags are not those of build scripts and macros.
    RUSTFLAGS="${RUSTFLAGS:-} $flags" \
        cargo +nightly build --release --bins --manifest-path fuzz/Cargo.toml --target "$host"
}
build

failed=0
table=$(printf '%-16s %8s %12s %9s %7s %7s' target seconds executions rate edges corpus)
for target in "${targets[@]}"; do
    mkdir -p "fuzz/corpus/$target" "fuzz/artifacts/$target"
    log=$(mktemp)
    options=()
    if [ -f "fuzz/dictionaries/$target.dict" ]; then options+=("-dict=fuzz/dictionaries/$target.dict"); fi
    length=$(sed -n 's/^max_len = //p' "fuzz/options/$target.options")
    regressions="fuzz/regressions/$target"
    if ! "$CARGO_TARGET_DIR/$host/release/$target" \
        "fuzz/corpus/$target" "fuzz/seeds/$target" "$regressions" "-max_total_time=$seconds" "-max_len=$length" \
        -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 "-artifact_prefix=fuzz/artifacts/$target/" \
        "${options[@]}" > "$log" 2>&1; then
        failed=1
        tail -n 30 "$log"
        echo "next: cargo gate fuzz crash $target \$(ls -t fuzz/artifacts/$target/* | head -n 1) --name WHAT --cause WHY"
    fi
    number() { sed -n "s/^stat::$1: *//p" "$log"; }
    edges=$(sed -n 's/.* cov: \([0-9]*\) .*/\1/p' "$log" | tail -n 1)
    corpus=$(find "fuzz/corpus/$target" -type f | wc -l)
    row=$(printf '%-16s %8s %12s %7s/s %7s %7s' "$target" "$seconds" "$(number number_of_executed_units)" \
        "$(number average_exec_per_sec)" "$edges" "$corpus")
    echo "$row"
    table+=$'\n'"$row"
    rm -f "$log"
done
printf '\n%s\n' "$table"
exit $failed
