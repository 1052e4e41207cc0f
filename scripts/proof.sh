#!/bin/sh
# `make proof`: the long tier. What CI does for half a minute, each for as long as it takes to find more, and a
# panic in the examples' Workers, which takes two builds that CI does without.
#
# Owns the lengths. The simulator begins at a seed of the day, so that each run looks elsewhere.

set -eu
cd "$(dirname "$0")/.."
. scripts/env.sh
first=$(date +%s)

sh scripts/sim.sh "" "${RUNS:-10000}" "$first" ""
# Large and long runs, of which the simulator draws few.
SIM_SIZED=${SIZED:-100} cargo test --locked --test it -- --nocapture sim::what_
node scripts/mutants.mjs
# It exhausts each scene, in about ten minutes; its time is bounded in case one comes to no end.
MODEL=deep timeout "${MODEL_SECONDS:-1800}" cargo test --locked --test it -- --nocapture model::
for example in custom-worker plain-worker; do sh scripts/build.sh example "$example" faults; done
node --disable-warning=ExperimentalWarning --test miniflare/panic.proof.mjs
sh scripts/build.sh example plain-worker
MINUTES=${MINUTES:-10} SEED=$first node --disable-warning=ExperimentalWarning chaos/run.mjs
sh scripts/fuzz.sh long "" "${SECONDS_EACH:-120}"
