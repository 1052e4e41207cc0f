#!/bin/sh
# wasm-bindgen as the deployed build wants it: without the functions' names, which are a fifth of
# the Worker's compressed size. The faults build keeps them, for the stack traces of tests.

set -eu
exec "$CARGO_TOOLS/bin/wasm-bindgen" --remove-name-section "$@"
