#!/bin/sh
# `make sim`: one simulated run with its trace, or a hunt for a seed that breaks something.
#
# Owns the words of the command line. Every figure and failure is the campaign's own: tests/it/sim.

set -eu
cd "$(dirname "$0")/.."
. scripts/env.sh
seed=$1 runs=$2 first=$3 seconds=$4

if [ -n "$seed" ]; then
    SIM_SEED=$seed exec cargo test --locked --test it -- --nocapture sim::one_seed
fi
SIM_RUNS=${runs:-1000} SIM_FIRST=${first:-1} SIM_SECONDS=${seconds:-0} \
    exec cargo test --locked --test it -- --nocapture sim::a_campaign
