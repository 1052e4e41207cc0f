#!/bin/sh
# Fuzzing of every parser: `short` for `make test`, `long [target] [seconds]` for `make fuzz`, and
# `keep target`, which takes into the corpus what long runs grew.
#
# Owns how targets are built and run; what they check stands in fuzz/src. libFuzzer drives both: a
# stable compiler instruments for it as well, cargo-fuzz on a nightly one adds AddressSanitizer.
# FUZZ_SEED and FUZZ_RUNS (executions a target beside its corpus) choose another short run; FUZZ_LINTS are the
# compiler's lints, of which a fault that was put in on purpose takes none.
# Invariant: only `keep` writes to fuzz/corpus. A failing input is printed and stands in
# target/fuzz/failures.

set -eu
cd "$(dirname "$0")/.."
. scripts/env.sh

TARGETS=$(cd fuzz/fuzz_targets && ls -- *.rs | sed 's/[.]rs$//')
OUT=${CARGO_TARGET_DIR:-$PWD/target}/fuzz
HOST=$(rustc --version --verbose | sed -n 's/^host: //p')
FUZZ_SEED=${FUZZ_SEED:-1}
FUZZ_RUNS=${FUZZ_RUNS:-4000}
# Beyond this an input says nothing new; marks in it stand for more (fuzz/src/input.rs).
LIMITS="-max_len=4096 -timeout=20 -rss_limit_mb=1024"

words() {
    case $1 in
    sandbox | openai_chat) echo upstreams ;;
    canonical | canonical_node | bodies) echo json ;;
    *) echo "$1" ;;
    esac
}

# The arguments of one run of target $1, its corpora last; $2 is where what is new is written.
run() {
    target=$1
    grown=$2
    shift 2
    mkdir -p "$grown" "$OUT/failures"
    dictionary=fuzz/dictionaries/$(words "$target").dict
    [ ! -e "$dictionary" ] || set -- -dict="$dictionary" "$@"
    # shellcheck disable=SC2086 # words
    "$LAUNCH" "$target" "$grown" "fuzz/corpus/$target" $LIMITS -artifact_prefix="$OUT/failures/$target-" "$@"
}

stable() {
    target=$1
    shift
    "$OUT/stable/$HOST/release/$target" "$@"
}

with_cargo_fuzz() {
    target=$1
    shift
    grown=$1
    corpus=$2
    shift 2
    cargo +nightly fuzz run --target-dir "$OUT/nightly" "$target" "$grown" "$corpus" -- "$@"
}

# Target $1, or all; with what cargo-fuzz gives the compiler, but for what only a nightly one knows.
build() {
    RUSTFLAGS="${FUZZ_LINTS--D warnings} --cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table" \
        cargo build --quiet --locked --release --manifest-path fuzz/Cargo.toml --target "$HOST" --target-dir "$OUT/stable" \
        ${1:+--bin "$1"}
}

# One target, quiet unless it fails; the number of executions is libFuzzer's own.
short_run() {
    log=$OUT/$1.log
    files=$(ls "fuzz/corpus/$1" | wc -l)
    # What is new is of no use here, and no other run may look on.
    fresh=$(mktemp -d)
    if run "$1" "$fresh" -print_final_stats=1 -seed="$FUZZ_SEED" -runs=$((files + FUZZ_RUNS)) >"$log" 2>&1; then
        rm -rf "$fresh"
        printf '%-15s %s executions\n' "$1" "$(sed -n 's/^stat::number_of_executed_units: //p' "$log")"
    else
        grep -Ev '^(#|INFO)' "$log" | tail -n 60
        fail "fuzz target $1 failed; again with FUZZ_SEED=$FUZZ_SEED FUZZ_RUNS=$FUZZ_RUNS sh scripts/fuzz.sh short $1"
    fi
}

LAUNCH=stable
case ${1:-} in
short)
    cargo fmt --manifest-path fuzz/Cargo.toml --check
    build "${2:-}"
    say "FUZZ_SEED=$FUZZ_SEED FUZZ_RUNS=$FUZZ_RUNS"
    for target in ${2:-$TARGETS}; do short_run "$target"; done
    ;;
long)
    if command -v cargo-fuzz >/dev/null && cargo +nightly --version >/dev/null 2>&1; then
        LAUNCH=with_cargo_fuzz
        say "cargo-fuzz on $(rustc +nightly --version)"
    else
        say "libFuzzer on $(rustc --version), for there is no cargo-fuzz with a nightly compiler here"
        build "${2:-}"
    fi
    for target in ${2:-$TARGETS}; do
        say "$target for ${3:-60} s"
        run "$target" "$OUT/grown/$target" -max_total_time="${3:-60}" -print_final_stats=1
    done
    ;;
keep)
    [ -n "${2:-}" ] || fail "usage: scripts/fuzz.sh keep <target>"
    build "$2"
    # The fewest short inputs that reach what the corpus doesn't: it stands in git.
    "$OUT/stable/$HOST/release/$2" -set_cover_merge=1 -use_counters=0 -max_len=512 "fuzz/corpus/$2" "$OUT/grown/$2"
    ;;
*) fail "usage: scripts/fuzz.sh short [target] | long [target] [seconds] | keep <target>" ;;
esac
