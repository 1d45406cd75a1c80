//! The demonstration on a bare machine: Cortex-M4F or AArch64, in QEMU, which prints what semihosting hands it.
//!
//! Its panic handler calls a function that does not exist, as that of `bare-proof` does.
#![no_std]
#![no_main]
#![allow(unsafe_code, reason = "entry and semihosting calls have no safe form; each block says why it is sound")]

#[cfg_attr(target_arch = "arm", path = "arm.rs")]
#[cfg_attr(target_arch = "aarch64", path = "aarch64.rs")]
mod machine;
#[path = "../../no_panic.rs"]
mod no_panic;
mod semihosting;

use semihosting::Output;

/// Called once the machine has a stack.
// SAFETY: no other function has this name.
#[unsafe(no_mangle)]
extern "C" fn demonstrate() -> ! {
    let Some(mut out) = Output::open() else { semihosting::exit(2) };
    let demonstrated = aegis_bare::demonstrate(&mut out);
    let written = out.close();
    semihosting::exit(if demonstrated.is_ok() && written { 0 } else { 1 })
}
