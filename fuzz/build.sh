#!/bin/bash -eu
# Builds every fuzz target and puts it, with its seeds, dictionary and options, where a fuzzing farm
# looks for them ($OUT). ClusterFuzzLite and OSS-Fuzz call it in their container; without one:
#
#     OUT=/tmp/out fuzz/build.sh
#
# SANITIZER is theirs: address (the default), coverage, none; FUZZ_FLAGS goes to `cargo fuzz build`.
cd "$(dirname "$0")/.."
: "${OUT:?the directory that the targets go to}"
mkdir -p "$OUT"

case "${SANITIZER:-address}" in
    # The container's compiler flags instrument for coverage; cargo-fuzz must not add a sanitizer.
    coverage) sanitizer=none ;;
    introspector) echo "there is no introspector build for Rust here" >&2; exit 1 ;;
    *) sanitizer="${SANITIZER:-address}" ;;
esac

target_dir="${CARGO_TARGET_DIR:-$PWD/fuzz/target}"
# The farms' image has a nightly of its own, in RUSTUP_TOOLCHAIN, and a `cargo` before the real one, which
# for coverage looks whether its first word is `fuzz`: no toolchain may be named there.
toolchain=()
if [ -z "${RUSTUP_TOOLCHAIN:-}" ]; then toolchain=("+${FUZZ_TOOLCHAIN:-nightly}"); fi
host=$(rustc "${toolchain[@]}" -vV | sed -n 's/^host: //p')
# shellcheck disable=SC2086
CARGO_TARGET_DIR="$target_dir" cargo "${toolchain[@]}" fuzz build \
    --sanitizer "$sanitizer" --target "$host" --debug-assertions ${FUZZ_FLAGS:-}

for source in fuzz/fuzz_targets/*.rs; do
    target=$(basename "$source" .rs)
    cp "$target_dir/$host/release/$target" "$OUT/$target"
    cp "fuzz/options/$target.options" "$OUT/$target.options"
    if [ -f "fuzz/dictionaries/$target.dict" ]; then cp "fuzz/dictionaries/$target.dict" "$OUT/$target.dict"; fi
    python3 - "$OUT/${target}_seed_corpus.zip" "fuzz/seeds/$target" "fuzz/regressions/$target" <<'PYTHON'
import pathlib, sys, zipfile
archive, *directories = sys.argv[1:]
with zipfile.ZipFile(archive, "w") as seeds:
    for directory in map(pathlib.Path, directories):
        for path in sorted(directory.iterdir()):
            if path.suffix not in (".md", ".trace"):
                seeds.write(path, f"{directory.parent.name}-{path.name}")
PYTHON
done
ls "$OUT"
