#!/usr/bin/env bash
# The vehicle of `examples/lookout` and the probe for aarch64 and a C library as old as Jetson's: glibc 2.31 (JetPack 5), as `.ci/run` does
# it with AEGIS_CROSS=1. Both are started by qemu-user as far as that goes without a GPU. Whatever is missing fails it.
set -euo pipefail
cd "$(dirname "$0")/../.."
newest=2.31
folder=$PWD/target/cross
mkdir -p "$folder"
targets/bare/cross-setup.sh "$folder/toolchain"

# The linker with the symbols of each version of the C library, by package names.
python3 -m pip install --quiet --disable-pip-version-check --target "$folder/zig" ziglang==0.17.1
cargo install --quiet --locked --root "$folder/zigbuild" cargo-zigbuild --version 0.24.1
export PYTHONPATH=$folder/zig PATH=$folder/zigbuild/bin:$PATH

. "$folder/toolchain/env.sh"
# Zig's, not the toolchain's.
unset CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER
export CARGO_TARGET_DIR=$folder/glibc
cargo zigbuild --quiet --release -p lookout -p aegis-host --target "aarch64-unknown-linux-gnu.$newest"

for binary in lookout aegis-host-probe; do
    file=$CARGO_TARGET_DIR/aarch64-unknown-linux-gnu/release/$binary
    versions=$(readelf --version-info --wide "$file" | grep -o 'GLIBC_[0-9.]*' | sort --unique --version-sort)
    needed=$(tail -n 1 <<<"$versions" | cut -d _ -f 2)
    if [ -z "$needed" ] || [ "$(printf '%s\n' "$needed" "$newest" | sort --version-sort | tail -n 1)" != "$newest" ]; then
        echo "cross: $binary needs glibc ${needed:-of no version}, the oldest JetPack has $newest" >&2
        exit 1
    fi
    # Neither CUDA nor a C++ library is linked.
    if readelf --dynamic --wide "$file" | grep NEEDED | grep -v -E '\[(libc|libm|libdl|libpthread|librt|libgcc_s|ld-linux-aarch64)\.so'; then
        echo "cross: $binary is linked with more than the C library" >&2
        exit 1
    fi
    echo "cross: $binary for aarch64 needs glibc $needed"
done

emulate() { qemu-aarch64 -L /usr/aarch64-linux-gnu "$CARGO_TARGET_DIR/aarch64-unknown-linux-gnu/release/$1" "${@:2}"; }
emulate lookout --describe | grep -q "40 SMs of gpu0"
# Without a driver it says so, with the status of what the user can change.
status=0
emulate lookout --for 1s 2>"$folder/lookout.txt" || status=$?
if [ "$status" != 2 ] || ! grep -q "libcuda.so.1 cannot be loaded" "$folder/lookout.txt"; then
    cat "$folder/lookout.txt" >&2
    echo "cross: lookout ended with $status" >&2
    exit 1
fi
echo "cross: lookout proves its plan on aarch64, and says that there is no driver"
