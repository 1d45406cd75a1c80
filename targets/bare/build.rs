//! Renders the reference vehicle's plan, and says how binaries without an operating system are linked.

mod link;

fn main() {
    aegis_codegen::build_rs::render("../../system.toml");
    link::arguments();
}
