//! AArch64, as QEMU's `virt`, which starts at exception level 1 with caches and translation off.

use core::arch::{asm, global_asm};

// Without a table of exceptions a fault ends in a loop of faults, so a run that does not end has failed.
global_asm!(
    ".section .text.reset, \"ax\"",
    ".global reset",
    "reset:",
    "adrp x0, _stack_top",
    "add x0, x0, :lo12:_stack_top",
    "mov sp, x0",
    "bl demonstrate",
    "b .",
);

/// One semihosting call.
pub(super) fn call(operation: usize, block: &[usize]) -> usize {
    let answer;
    // SAFETY: the debugger, here QEMU, reads the block and what it points to, which live across the call, and changes x0 only.
    // Memory counts as changed, as without `nomem`, so no write before it is put off.
    unsafe {
        asm!("hlt #0xF000", inlateout("x0") operation => answer, in("x1") block.as_ptr(), options(nostack, preserves_flags));
    }
    answer
}
