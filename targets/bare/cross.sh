#!/usr/bin/env bash
# The dispatcher on other machines, as `.ci/run` does it with AEGIS_CROSS=1: core's tests on aarch64 Linux, the link proof for
# two bare targets, and the firmware in QEMU, whose trace must be the host's byte for byte. Whatever is missing fails it.
set -euo pipefail
cd "$(dirname "$0")/../.."
folder=target/cross
mkdir -p "$folder"
targets/bare/cross-setup.sh "$folder/toolchain"

# The host's trace, by the project's own toolchain. `tests/tests/bare.rs` replays it.
cargo run --quiet -p aegis-bare --bin bare-host >"$folder/host.jsonl"

. "$folder/toolchain/env.sh"
cargo test --quiet -p aegis-core --target aarch64-unknown-linux-gnu

build() { cargo build --quiet -p aegis-bare --profile bare --target "$target" "$@"; }

# Runs the firmware in an emulated machine. Its whole standard output is the trace; a fault is an endless loop.
dispatch() {
    local emulator=$1 trace=$folder/$target.jsonl
    shift
    timeout 60 "$emulator" "$@" -display none -monitor none -serial none \
        -semihosting-config enable=on,target=native -kernel "$CARGO_TARGET_DIR/$target/bare/bare-firmware" >"$trace"
    cmp "$folder/host.jsonl" "$trace"
    echo "cross: $target: links without a reachable panic; $(wc -l <"$trace") records in $emulator, the host's byte for byte"
}

for target in thumbv7em-none-eabihf aarch64-unknown-none-softfloat; do
    build --features bare --bin bare-proof --bin bare-firmware
    # A linker that lets anything pass would prove nothing.
    if build --features bare,can-panic --bin bare-proof >"$folder/can-panic.txt" 2>&1; then
        echo "cross: $target: a binary that can panic was linked" >&2
        exit 1
    fi
    grep -q "undefined symbol: aegis_a_panic_is_reachable" "$folder/can-panic.txt" || {
        cat "$folder/can-panic.txt" >&2
        exit 1
    }
    case $target in
    thumbv7em-none-eabihf) dispatch qemu-system-arm -machine mps2-an386 ;;
    aarch64-unknown-none-softfloat) dispatch qemu-system-aarch64 -machine virt -cpu cortex-a53 -nic none ;;
    esac
done
