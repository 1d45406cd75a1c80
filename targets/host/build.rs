//! Compiles the one piece of C++: what refuses a runtime's request by `std::bad_alloc`.

fn main() {
    println!("cargo::rerun-if-changed=src/onnx/refuse.cpp");
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        .warnings_into_errors(true)
        .file("src/onnx/refuse.cpp")
        .compile("aegis_refuse");
}
