//! Cortex-M4F, as QEMU's `mps2-an386`.

use core::arch::{asm, global_asm};

// The vector table at address 0, where the processor looks for its stack and its first instruction, and that instruction's code:
// it grants access to the floating-point registers (coprocessors 10 and 11 in CPACR), which the compiler may use for anything.
// A fault ends in the endless loop, so a run that does not end has failed.
global_asm!(
    ".section .vectors, \"a\"",
    ".word _stack_top",
    ".word reset",
    ".rept 14",
    ".word stuck",
    ".endr",
    ".section .text.reset, \"ax\"",
    ".global reset",
    ".thumb_func",
    "reset:",
    "ldr r0, =0xE000ED88",
    "ldr r1, [r0]",
    "orr r1, r1, #0xF00000",
    "str r1, [r0]",
    "dsb",
    "isb",
    "bl demonstrate",
    ".thumb_func",
    "stuck:",
    "b stuck",
);

/// One semihosting call.
pub(super) fn call(operation: usize, block: &[usize]) -> usize {
    let answer;
    // SAFETY: the debugger, here QEMU, reads the block and what it points to, which live across the call, and changes r0 only.
    // Memory counts as changed, as without `nomem`, so no write before it is put off.
    unsafe {
        asm!("bkpt 0xAB", inlateout("r0") operation => answer, in("r1") block.as_ptr(), options(nostack, preserves_flags));
    }
    answer
}
