#!/bin/sh
# Installs what is missing, and says so; quick when nothing is.
#
#   scripts/setup.sh check   what the native checks need
#   scripts/setup.sh build   what the Worker's build needs
#   scripts/setup.sh dev     and the local server
#   scripts/setup.sh test    and everything that `make test` runs
#
# Owns the way from a bare machine to a working checkout. System packages are installed on Debian
# and its kin only; elsewhere a message names what is missing. Everything else goes into
# node_modules/ and the user's cache folder (see env.sh).
# Invariant: a step that was cut is done again, a step that is done costs nothing.

set -eu
cd "$(dirname "$0")/.."
. scripts/env.sh

SCOPE=${1:-test}
# Network that does not answer must not hold the set-up: a component is some 30 MB.
RUSTUP_SECONDS=120

bounded() {
    seconds=$1
    shift
    if command -v timeout >/dev/null; then timeout "$seconds" "$@"; else "$@"; fi
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        fail "needs root for: $* (there is no sudo; run that as root, then try again)"
    fi
}

apt_install() {
    command -v apt-get >/dev/null || fail "please install by this system's own means: $*"
    say "installing Debian packages: $*"
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@"
}

# Appends a package to `missing` when a command is not there.
missing=
need() {
    command -v "$1" >/dev/null || missing="$missing $2"
}

system_packages() {
    need cc "gcc libc6-dev"
    if [ "$SCOPE" = test ]; then
        # libFuzzer is C++.
        need c++ g++
        # The READMEs' commands are run.
        need bash bash
        need curl "curl ca-certificates"
        need openssl openssl
    fi
    # node_modules brings the pinned Node; any Node and npm will do to fetch it.
    need npm "nodejs npm"
    if ! command -v cargo >/dev/null; then need curl "curl ca-certificates"; fi
    if [ "$SCOPE" != check ] && [ "$(uname)" = Linux ] && [ ! -x "$CARGO_TOOLS/bin/worker-build" ]; then
        # worker-build is compiled against the system's OpenSSL.
        need pkg-config pkg-config
        [ -n "${OPENSSL_DIR:-}" ] || pkg-config --exists openssl 2>/dev/null || missing="$missing libssl-dev"
    fi
    if [ "$SCOPE" = test ]; then
        python3 -c 'import ensurepip, venv' 2>/dev/null || missing="$missing python3-venv"
    fi
    # shellcheck disable=SC2086 # a list of words
    if [ -n "$missing" ]; then apt_install $missing; fi
}

rust() {
    if ! command -v cargo >/dev/null; then
        say "installing Rust with rustup"
        if ! (bounded $RUSTUP_SECONDS curl --proto '=https' --tlsv1.2 -sSf --connect-timeout 10 https://sh.rustup.rs |
            bounded $RUSTUP_SECONDS sh -s -- -y --no-modify-path --profile minimal --component clippy,rustfmt) ||
            ! command -v cargo >/dev/null; then
            say "rustup can't be fetched here; taking Debian's Rust"
            apt_install cargo-web rust-web-clippy rustfmt-web
        fi
    fi
    wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
    found=$(rustc --version | cut -d' ' -f2)
    oldest=$(printf '%s\n%s\n' "$wanted" "$found" | sort -t. -k1,1n -k2,2n | head -n 1)
    [ "$oldest" = "$wanted" ] || fail "Rust $wanted or newer is needed, this is $found; try: rustup update stable"
}

wasm_target() {
    [ -z "$(wasm_toolchain)" ] || return 0
    if [ "${STEADFAST_WASM_TOOLCHAIN:-auto}" != debian ]; then
        say "adding Rust's wasm32-unknown-unknown target with rustup"
        if command -v rustup >/dev/null && bounded $RUSTUP_SECONDS rustup target add wasm32-unknown-unknown; then
            say "rustup has added the target"
            return
        fi
        [ "${STEADFAST_WASM_TOOLCHAIN:-auto}" = auto ] || fail "rustup can't add wasm32-unknown-unknown"
        command -v apt-get >/dev/null ||
            fail "rustup can't add wasm32-unknown-unknown; give the Rust on the PATH that target, then try again"
        say "rustup can't; taking Debian's compiler and building the target's library from its source"
    fi
    apt_install cargo-web rust-web-src rust-web-clippy
    rust_lld >/dev/null || apt_install "lld-$(debian_llvm)"
    sh scripts/debian-wasm.sh
    say "wasm32-unknown-unknown is compiled by Debian's Rust"
}

# Unoptimised: wasm-bindgen then takes 0.6 s for a Worker, where optimising the two takes minutes. Nobody debugs them,
# so they carry no debug information.
cargo_tool() {
    CARGO_PROFILE_DEV_DEBUG=0 CARGO_INCREMENTAL=0 \
        cargo install --debug --root "$CARGO_TOOLS" --target-dir "$CARGO_TOOLS/target" "$@"
}

cargo_tools() {
    for tool in "worker-build worker-build $WORKER_BUILD_VERSION" "wasm-bindgen wasm-bindgen-cli $WASM_BINDGEN_VERSION"; do
        # shellcheck disable=SC2086 # three words
        set -- $tool
        [ -x "$CARGO_TOOLS/bin/$1" ] && continue
        say "compiling $2 $3, once for this user"
        cargo_tool --locked --version "$3" --bin "$1" "$2" && continue
        say "$2 $3 can't be built from its own lock file; taking the newest that it allows"
        cargo_tool --version "$3" --bin "$1" "$2"
    done
    # It is kept until here so that a set-up that was cut goes on where it was.
    rm -rf "$CARGO_TOOLS/target"
}

node_modules() {
    if cmp -s package-lock.json node_modules/.installed-lock.json; then return; fi
    # wrangler may be running this very script out of node_modules, to build: then it stays as it is.
    if [ "$SCOPE" = build ] && [ -x node_modules/.bin/esbuild ]; then return; fi
    say "installing node_modules"
    # npm warns that the system's Node is older than what the packages want; the pinned one runs them.
    npm ci --loglevel=error
    cp package-lock.json node_modules/.installed-lock.json
}

litellm() {
    if cmp -s "$LITELLM_REQUIREMENTS" "$LITELLM_VENV/installed.txt"; then return; fi
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' || fail "LiteLLM needs Python 3.10 or newer"
    say "installing LiteLLM's proxy for the tests, once for this user"
    rm -rf "$LITELLM_VENV"
    python3 -m venv "$LITELLM_VENV"
    # The list is complete, so pip has nothing to resolve.
    "$LITELLM_VENV/bin/pip" install --quiet --disable-pip-version-check --no-deps -r "$LITELLM_REQUIREMENTS"
    cp "$LITELLM_REQUIREMENTS" "$LITELLM_VENV/installed.txt"
}

case $SCOPE in
check | build | dev | test) ;;
*) fail "usage: scripts/setup.sh check|build|dev|test" ;;
esac
mkdir -p "$CACHE"
system_packages
rust
if [ "$SCOPE" != check ]; then
    wasm_target
    cargo_tools
fi
node_modules
if [ "$SCOPE" = test ]; then litellm; fi
