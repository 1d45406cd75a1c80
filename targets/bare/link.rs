//! How the binaries are linked. Apart from `build.rs`, so that a build script without the generator can say the same.

/// Says it to cargo.
pub(super) fn arguments() {
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    if variable("CARGO_CFG_TARGET_OS") == "none" {
        let script = format!("{}/{}.ld", variable("CARGO_MANIFEST_DIR"), variable("CARGO_CFG_TARGET_ARCH"));
        println!("cargo::rerun-if-changed={script}");
        println!("cargo::rustc-link-arg-bin=bare-firmware=-T{script}");
    } else {
        // The entry is the binary's own; of the C library it needs only what copies and clears memory.
        println!("cargo::rustc-link-arg-bin=bare-proof=-nostartfiles");
        println!("cargo::rustc-link-arg-bin=bare-proof=-lc");
    }
    println!("cargo::rerun-if-changed=link.rs");
}
