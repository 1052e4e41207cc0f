#!/bin/sh
# Builds a Worker to WASM.
#
#   scripts/build.sh               the ready one, into build/
#   scripts/build.sh faults        the same with the tests' faults, into build-faults/
#   scripts/build.sh example NAME  examples/NAME, into the folder build/ there
#   scripts/build.sh example NAME faults    with the tests' faults, into the folder build-faults/ there
#   scripts/build.sh bench         bench/runner, whose durable runs are measured, into the folder build/ there
#
# wrangler runs it before each deploy and `wrangler dev`, so an up-to-date build returns at once.
# Invariant: a build's .stamp is older than any source that the build has not seen.

set -eu
cd "$(dirname "$0")/.."
. scripts/env.sh

USAGE="usage: scripts/build.sh [faults | example NAME [faults] | bench]"
CRATE=worker BUILT=build FEATURES= BINDGEN=$PWD/scripts/wasm-bindgen.sh
case ${1:-} in
'') ;;
faults) BUILT=build-faults FEATURES="--features faults" BINDGEN=$CARGO_TOOLS/bin/wasm-bindgen ;;
example)
    CRATE=examples/${2:?"$USAGE"}
    [ -e "$CRATE/Cargo.toml" ] || fail "there is no $CRATE"
    BUILT=$CRATE/build
    case ${3:-} in
    '') ;;
    faults) BUILT=$CRATE/build-faults FEATURES="--features steadfast/faults" BINDGEN=$CARGO_TOOLS/bin/wasm-bindgen ;;
    *) fail "$USAGE" ;;
    esac
    ;;
bench) CRATE=bench/runner BUILT=bench/runner/build ;;
*) fail "$USAGE" ;;
esac

SOURCES="src Cargo.toml Cargo.lock scripts/build.sh scripts/wasm-bindgen.sh $CRATE/src $CRATE/Cargo.toml"
# shellcheck disable=SC2086 # a list of words
is_fresh() {
    [ -e "$BUILT/.stamp" ] && [ -e "$BUILT/index_bg.wasm" ] && [ -z "$(find $SOURCES schema.sql -newer "$BUILT/.stamp")" ]
}
if is_fresh; then exit 0; fi

sh scripts/setup.sh build
use_wasm_toolchain

# Taken before the compiler reads: what changes from here on makes the build stale.
mkdir -p target
stamp=target/$(echo "$BUILT" | tr / -).stamp
touch "$stamp"
# esbuild is wrangler's own, which spares worker-build a download. wasm-opt is left out: it takes
# several times what the compiler does, and once compressed it saves nothing but function names,
# by which a stack trace in production is read.
# shellcheck disable=SC2086 # words, or none
CARGO_TOOLS=$CARGO_TOOLS WASM_BINDGEN_BIN=$BINDGEN ESBUILD_BIN=$PWD/node_modules/.bin/esbuild \
    worker-build --release --no-opt --out-dir "$PWD/$BUILT" "$CRATE" -- --locked $FEATURES
mv "$stamp" "$BUILT/.stamp"
