//! Renders the checked plan, `system.lock`, into the tables that `main.rs` includes.

fn main() {
    aegis_codegen::build_rs::render("system.toml");
}
