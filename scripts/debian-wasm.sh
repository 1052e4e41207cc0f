#!/bin/sh
# Makes Debian's Rust compile to wasm32-unknown-unknown, for machines that rustup can't serve.
#
# Debian has the compiler and the standard library's source (cargo-web, rust-web-src) but not the
# library for this target, so it is built here once, into a sysroot of its own in the user's cache.
# Invariant: nothing under /usr is written, and `ready` appears when everything before it is done.

set -eu
cd "$(dirname "$0")/.."
. scripts/env.sh

TARGET=wasm32-unknown-unknown
SYSROOT=$(debian_rust) || fail "Debian's cargo-web is not installed"
if [ -e "$SYSROOT/ready" ]; then exit 0; fi
HOST=$(/usr/bin/rustc --version --verbose | sed -n 's/^host: //p')

LINKER=$(rust_lld) || fail "there is neither rustup's rust-lld nor Debian's lld-$(debian_llvm)"

rm -rf "$SYSROOT"
mkdir -p "$SYSROOT/bin" "$SYSROOT/lib/rustlib/$HOST/bin" "$SYSROOT/lib/rustlib/$TARGET/lib" "$SYSROOT/seed"

cd "$SYSROOT/seed"
cat >Cargo.toml <<'TOML'
[package]
name = "seed"
version = "0.0.0"
edition = "2024"

[lib]
path = "seed.rs"

[profile.release]
panic = "abort"

[workspace]
TOML
echo '#![no_std]' >seed.rs
# Building the standard library is an unstable feature of cargo; this variable opens it in a stable one.
RUSTC_BOOTSTRAP=1 RUSTC=/usr/bin/rustc CARGO_TARGET_DIR=$SYSROOT/seed/target \
    /usr/bin/cargo build --release --target "$TARGET" -Zbuild-std=std,panic_abort
cd "$SYSROOT"
rm seed/target/"$TARGET"/release/deps/libseed-*
cp seed/target/"$TARGET"/release/deps/*.rlib "lib/rustlib/$TARGET/lib/"
rm -rf seed

ln -s "/usr/lib/rustlib/$HOST/lib" "lib/rustlib/$HOST/lib"
ln -s "$LINKER" "lib/rustlib/$HOST/bin/rust-lld"
for tool in cargo cargo-clippy clippy-driver; do ln -s "/usr/bin/$tool" "bin/$tool"; done
cat >bin/rustc <<'SH'
#!/bin/sh
exec /usr/bin/rustc --sysroot "${0%/bin/rustc}" "$@"
SH
chmod +x bin/rustc
touch ready
