#!/bin/sh
# Builds the Worker to WASM: build/, or with `faults` build-faults/ for the tests.
#
# wrangler runs it before each deploy and `wrangler dev`, so an up-to-date build returns at once.
# Invariant: build/.stamp is older than any source that the build has not seen.

set -eu
cd "$(dirname "$0")/.."
. scripts/env.sh

case ${1:-} in
'') OUT=build FEATURES= BINDGEN=$PWD/scripts/wasm-bindgen.sh ;;
faults) OUT=build-faults FEATURES="--features faults" BINDGEN=$CARGO_TOOLS/bin/wasm-bindgen ;;
*) fail "usage: scripts/build.sh [faults]" ;;
esac

SOURCES="src Cargo.toml Cargo.lock scripts/build.sh scripts/wasm-bindgen.sh"
# shellcheck disable=SC2086 # a list of words
is_fresh() {
    [ -e "$OUT/.stamp" ] && [ -e "$OUT/index_bg.wasm" ] && [ -z "$(find $SOURCES schema.sql -newer "$OUT/.stamp")" ]
}
if is_fresh; then exit 0; fi

sh scripts/setup.sh build
use_wasm_toolchain

# Taken before the compiler reads: what changes from here on makes the build stale.
mkdir -p target
stamp=target/$OUT.stamp
touch "$stamp"
# esbuild is wrangler's own, which spares worker-build a download. wasm-opt is left out: it takes
# several times what the compiler does, and once compressed it saves nothing but function names,
# by which a stack trace in production is read.
# shellcheck disable=SC2086 # words, or none
CARGO_TOOLS=$CARGO_TOOLS WASM_BINDGEN_BIN=$BINDGEN ESBUILD_BIN=$PWD/node_modules/.bin/esbuild \
    worker-build --release --no-opt --out-dir "$OUT" -- --locked $FEATURES
mv "$stamp" "$OUT/.stamp"
