#!/bin/sh
# What `make test` runs: every check there is, in the order of their cost, to the first that fails.
#
#   scripts/test.sh         all of them
#   scripts/test.sh check   `make check`, the inner loop: what needs neither WASM nor workerd
#
# Owns the list of checks. Each is named with its seconds.

set -eu
cd "$(dirname "$0")/.."
SCOPE=${1:-test}
started=$(date +%s)

phase() {
    name=$1
    shift
    printf '\n== %s\n' "$name"
    from=$(date +%s)
    if ! "$@"; then
        printf '\n== FAILED: %s\n' "$name" >&2
        exit 1
    fi
    printf -- '-- %s: %s s\n' "$name" "$(($(date +%s) - from))"
}

# In a shell of its own, since Debian's Rust may come first on its PATH.
# cargo-clippy is called by its own name: cargo would look in its home first, for rustup's.
wasm_clippy() (
    use_wasm_toolchain
    cargo-clippy clippy --locked --target wasm32-unknown-unknown --lib "$@" -- -D warnings -D clippy::string_slice
)

rustdoc() {
    RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps "$@"
}

wasm_rustdoc() (
    use_wasm_toolchain
    rustdoc --target wasm32-unknown-unknown
)

passed() {
    printf '\n== all passed: %s s\n' "$(($(date +%s) - started))"
    exit
}

phase "set-up" sh scripts/setup.sh "$SCOPE"
. scripts/env.sh
phase "fmt" cargo fmt --all --check
phase "committed files" node scripts/check.mjs
phase "scripts" node --test scripts/mutants/*.test.mjs
phase "clippy, native" cargo clippy --locked --all-targets -- -D warnings
if [ "$SCOPE" = check ]; then
    phase "native tests" cargo test --locked
    passed
fi
phase "clippy, wasm32" wasm_clippy
phase "clippy, wasm32 with faults" wasm_clippy --features faults
phase "clippy, wasm32 Workers" wasm_clippy -p steadfast-worker -p custom-worker -p plain-worker -p bench-runner
phase "rustdoc" rustdoc --features native
phase "rustdoc, wasm32" wasm_rustdoc
phase "native tests" cargo test --locked
phase "simulator, 30 s" sh scripts/sim.sh "" 40 "" 30
phase "fuzz, short" sh scripts/fuzz.sh short
phase "cargo package" cargo package --locked --allow-dirty -p steadfast
phase "build" sh scripts/build.sh
phase "build with faults" sh scripts/build.sh faults
phase "build the example" sh scripts/build.sh example custom-worker
phase "build the example without objects" sh scripts/build.sh example plain-worker
phase "wrangler deploy --dry-run" wrangler deploy --dry-run
phase "wrangler deploy --dry-run, example" wrangler deploy --dry-run --cwd examples/custom-worker
phase "wrangler deploy --dry-run, example without objects" wrangler deploy --dry-run --cwd examples/plain-worker
phase "Worker tests in workerd" node --disable-warning=ExperimentalWarning --test --test-concurrency=2 "miniflare/*.test.mjs" "bench/*.test.mjs"
phase "the oracle of chaos" node --disable-warning=ExperimentalWarning --test "chaos/*.test.mjs"
phase "chaos, 30 s" node --disable-warning=ExperimentalWarning chaos/run.mjs
passed
