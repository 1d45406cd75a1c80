//! What `bare-proof` and `bare-firmware` do where a panic is left in them: nothing, because they do not link then.

unsafe extern "C" {
    /// Defined nowhere.
    safe fn aegis_a_panic_is_reachable() -> !;
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    aegis_a_panic_is_reachable()
}
