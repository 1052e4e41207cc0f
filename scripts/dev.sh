#!/bin/sh
# What `make dev` runs: set-up, build, and the server in this process's place.

set -eu
cd "$(dirname "$0")/.."
sh scripts/setup.sh dev
sh scripts/build.sh
. scripts/env.sh
exec node scripts/dev.mjs
