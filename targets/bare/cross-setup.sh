#!/usr/bin/env bash
# A Rust toolchain for aarch64 Linux and for machines without an operating system, out of Debian packages: for places where
# rustup can fetch no targets. Needs Debian on x86-64; installs what is missing of its own packages where it is root, and says
# what is missing where it is not. Packages for arm64 are unpacked into a private folder only: the system's package manager
# never hears of a foreign architecture. What is there already is kept.
#
#   targets/bare/cross-setup.sh FOLDER && . FOLDER/env.sh
set -euo pipefail
prefix=$(realpath -m "${1:?usage: cross-setup.sh FOLDER}")
bare_targets=(thumbv7em-none-eabihf aarch64-unknown-none-softfloat)
export DEBIAN_FRONTEND=noninteractive LC_ALL=C
mkdir -p "$prefix"
sysroot=$prefix/sysroot

# 1. The system's own packages: C compiler and libraries to link and run aarch64 programs, and the emulators.
# qemu-system-arm also holds qemu-system-aarch64.
install_packages() {
    local package missing=()
    for package in gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user qemu-system-arm; do
        dpkg-query -W -f='${Status}\n' "$package" 2>/dev/null | grep -q '^install ok installed$' || missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    if [ "$(id -u)" != 0 ]; then
        echo "cross-setup: missing packages: ${missing[*]}" >&2
        return 1
    fi
    apt-get -q update
    apt-get -qy --no-install-recommends install "${missing[@]}"
}

# 2. rustc for this machine, the standard library for both, and its sources, all of one version. They are looked up with a
# state of apt's own that also knows arm64.
unpack_toolchain() {
    [ ! -e "$prefix/complete" ] || return 0
    local apt=$prefix/apt version std llvm
    rm -rf "$apt" "$sysroot"
    mkdir -p "$apt"/state/lists/partial "$apt"/cache/archives/partial "$apt"/packages "$sysroot"
    : >"$apt/status"
    cat >"$apt/apt.conf" <<CONF
APT::Architecture "amd64";
APT::Architectures { "amd64"; "arm64"; };
APT::Sandbox::User "root";
Dir::State "$apt/state";
Dir::State::status "$apt/status";
Dir::Cache "$apt/cache";
Acquire::Languages "none";
CONF
    export APT_CONFIG=$apt/apt.conf
    apt-get -q update
    versions() { apt-cache madison "$1" | awk -F'|' '{gsub(/ /, "", $2); print $2}' | sort -u; }
    version=$(comm -12 <(versions rustc-web:amd64) <(versions libstd-rust-web-dev:arm64) |
        comm -12 - <(versions rust-web-src) | sort -V | tail -1)
    if [ -z "$version" ]; then
        echo "cross-setup: Debian has no version of rustc-web for amd64, arm64 and as sources" >&2
        return 1
    fi
    # Two packages carry versions in their names: the shared standard library, and LLVM where it is not part of that.
    depends_on() { apt-cache show "$1:amd64=$version" | sed -n "s/^Depends:.*\\($2\\).*/\\1/p" | head -1; }
    std=$(depends_on libstd-rust-web-dev 'libstd-rust-web-[0-9.]*')
    llvm=$(apt-cache show "$std:amd64=$version" | sed -n 's/^Depends:.*\(libllvm[0-9]*\).*/\1/p' | head -1)
    (
        cd "$apt/packages"
        apt-get -q download "rustc-web:amd64=$version" "$std:amd64=$version" "libstd-rust-web-dev:amd64=$version" \
            "libstd-rust-web-dev:arm64=$version" "rust-web-src=$version" ${llvm:+"$llvm:amd64"}
        for package in ./*_amd64.deb; do dpkg-deb -x "$package" "$sysroot"; done
        dpkg-deb --fsys-tarfile libstd-rust-web-dev_*_arm64.deb |
            tar -x -C "$sysroot" ./usr/lib/rustlib/aarch64-unknown-linux-gnu
        dpkg-deb --fsys-tarfile rust-web-src_*_all.deb |
            tar -x -C "$sysroot" --wildcards './usr/lib/rustlib/src*' './usr/src/rustc-*/library*'
    )
    rm -rf "$apt"
    unset APT_CONFIG
    echo "$version" >"$prefix/version"
    touch "$prefix/complete"
}

# 3. What to put into the environment. The bare targets are linked by rustup's own lld, which links for every machine.
write_environment() {
    local lld tool
    lld=$(env -u RUSTC rustc --print sysroot)/lib/rustlib/x86_64-unknown-linux-gnu/bin/rust-lld
    if [ ! -x "$lld" ]; then
        echo "cross-setup: the toolchain that rustup gives has no $lld" >&2
        return 1
    fi
    mkdir -p "$prefix/bin"
    for tool in rustc rustdoc; do
        cat >"$prefix/bin/$tool" <<WRAPPER
#!/bin/sh
LD_LIBRARY_PATH="$sysroot/usr/lib/x86_64-linux-gnu\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}" exec "$sysroot/usr/bin/$tool" "\$@"
WRAPPER
        chmod +x "$prefix/bin/$tool"
    done
    cat >"$prefix/env.sh" <<ENV
export RUSTC="$prefix/bin/rustc" RUSTDOC="$prefix/bin/rustdoc"
# What this toolchain builds goes when it goes.
export CARGO_TARGET_DIR="$prefix/build"
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64 -L /usr/aarch64-linux-gnu"
export CARGO_TARGET_THUMBV7EM_NONE_EABIHF_LINKER="$lld"
export CARGO_TARGET_AARCH64_UNKNOWN_NONE_SOFTFLOAT_LINKER="$lld"
ENV
}

# 4. Rust's own core for the bare targets, from the sources, with the bitcode that link-time optimization reads.
build_core() {
    local target to seed
    for target in "${bare_targets[@]}"; do
        to=$sysroot/usr/lib/rustlib/$target/lib
        [ ! -e "$to/complete" ] || continue
        seed=$(mktemp -d)
        mkdir "$seed/src"
        echo '#![no_std]' >"$seed/src/lib.rs"
        printf '[package]\nname = "seed"\nversion = "0.0.0"\nedition = "2024"\n[workspace]\n' >"$seed/Cargo.toml"
        (
            cd "$seed"
            RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Cembed-bitcode=yes CARGO_TARGET_DIR=$seed/target \
                cargo build --quiet --release -Zbuild-std=core --target "$target"
        )
        rm -rf "$to"
        mkdir -p "$to"
        cp "$seed/target/$target/release/deps"/lib{core,compiler_builtins}-*.rlib "$to/"
        rm -rf "$seed"
        touch "$to/complete"
    done
}

install_packages
unpack_toolchain
write_environment
. "$prefix/env.sh"
build_core
echo "cross-setup: $("$RUSTC" --version), Debian's rustc-web $(cat "$prefix/version"), in $prefix"
