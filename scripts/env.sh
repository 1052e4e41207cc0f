# Where the tools of this checkout are. Sourced, in the checkout's root, by every other script.
#
# Owns the versions, folders and PATH, and which Rust compiles to WASM. It installs nothing:
# setup.sh does. Invariant: no version stands here that a lock file states.
#
# STEADFAST_WASM_TOOLCHAIN chooses the Rust that compiles to wasm32:
#   auto     (default) the one on the PATH when it has the target, else Debian's
#   default  the one on the PATH
#   debian   Debian's cargo-web with a standard library built by scripts/debian-wasm.sh

say() { printf '%s\n' "steadfast: $*"; }

fail() {
    printf '%s\n' "steadfast: $*" >&2
    exit 1
}

locked() {
    awk -v name="name = \"$1\"" '$0 == name { getline; gsub(/version = |"/, ""); print; exit }' Cargo.lock
}

# worker-build is released with `worker`, and wasm-bindgen's output format changes with every version.
WORKER_BUILD_VERSION=$(locked worker)
WASM_BINDGEN_VERSION=$(locked wasm-bindgen)
LITELLM_REQUIREMENTS=scripts/litellm-requirements.txt

CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/steadfast
CARGO_TOOLS=$CACHE/cargo-worker-build-$WORKER_BUILD_VERSION-wasm-bindgen-$WASM_BINDGEN_VERSION
LITELLM_VENV=$CACHE/litellm-$(sed -n 's/^litellm==//p' "$LITELLM_REQUIREMENTS")

# The pinned Node comes first; a rustup that setup.sh has just installed comes last.
PATH=$PWD/node_modules/.bin:$CARGO_TOOLS/bin:$PATH:${CARGO_HOME:-$HOME/.cargo}/bin
# The tests run LiteLLM's proxy as an upstream.
STEADFAST_LITELLM=$LITELLM_VENV/bin/litellm
# wrangler neither reports on its use nor asks whether it may.
WRANGLER_SEND_METRICS=false
export PATH STEADFAST_LITELLM WRANGLER_SEND_METRICS

rust_has_wasm() {
    command -v rustc >/dev/null &&
        ls "$(rustc --print sysroot)"/lib/rustlib/wasm32-unknown-unknown/lib/libstd-*.rlib >/dev/null 2>&1
}

# A standard library fits exactly one compiler, so the folder names the package's version.
debian_rust() {
    version=$(dpkg-query -W -f '${Version}' rustc-web 2>/dev/null) || return 1
    printf '%s\n' "$CACHE/debian-rust-$version"
}

debian_rust_is_ready() {
    folder=$(debian_rust) && [ -e "$folder/ready" ]
}

# rustc calls its WASM linker rust-lld. rustup brings one along; Debian has lld-22 and the like.
rust_lld() {
    host=$(/usr/bin/rustc --version --verbose | sed -n 's/^host: //p')
    for candidate in \
        "$(rustc --print sysroot)/lib/rustlib/$host/bin/rust-lld" \
        "$(command -v rust-lld || true)" \
        "/usr/bin/lld-$(debian_llvm)"; do
        if [ -x "$candidate" ]; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    return 1
}

debian_llvm() {
    /usr/bin/rustc --version --verbose | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p'
}

# Prints `default`, `debian`, or nothing when neither can compile to wasm32 yet.
wasm_toolchain() {
    case ${STEADFAST_WASM_TOOLCHAIN:-auto} in
    auto) if rust_has_wasm; then echo default; elif debian_rust_is_ready; then echo debian; fi ;;
    default) if rust_has_wasm; then echo default; fi ;;
    debian) if debian_rust_is_ready; then echo debian; fi ;;
    *) fail "STEADFAST_WASM_TOOLCHAIN must be auto, default or debian" ;;
    esac
}

# Puts the Rust that compiles to wasm32 first on the PATH.
use_wasm_toolchain() {
    case $(wasm_toolchain) in
    default) ;;
    debian)
        # clippy finds its standard library by SYSROOT alone.
        SYSROOT=$(debian_rust)
        PATH=$SYSROOT/bin:$PATH
        export SYSROOT PATH
        ;;
    *) fail "no Rust here can compile to wasm32-unknown-unknown; run: make setup" ;;
    esac
}
