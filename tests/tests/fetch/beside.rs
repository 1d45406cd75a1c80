//! Libraries that a runtime looks for in its own folder.

use crate::{ARCH, Machine, fetch_all, only, states};
use aegis_codegen::fetch::{self, Context, Silent, State, cache};
use aegis_codegen::lock::sha256;
use aegis_codegen::manifest::Client;
use aegis_core::desc::{Backend, FileDesc};
use aegis_host::cache::Cache;
use std::fs;

#[test]
fn libraries_beside_a_runtimes_lie_with_it_in_one_folder_by_their_names() {
    let machine = Machine::with_clients();
    machine.publish(Client::Pip, "runtime==1.2.0", &[("lib/own.so", b"own"), ("lib/gpu.so", b"gpu")]);
    let source = |path: &str, content: &[u8]| {
        format!("{{ pip = \"runtime\", version = \"1.2.0\", path = \"{path}\", sha256 = \"{}\" }}", sha256(content))
    };
    let tables = format!(
        "[runtime.onnxruntime]\nversion = \"1.2.0\"\nsource = {}\nbeside = [{}]\n",
        source("lib/own.so", b"own"),
        source("lib/gpu.so", b"gpu")
    );
    let loaded = machine.vehicle(&tables);
    let (own, gpu) = (sha256(b"own"), sha256(b"gpu"));
    let links = [("onnxruntime", own.as_str()), ("gpu.so", gpu.as_str())];
    for round in 0..3 {
        let outcome = fetch_all(&machine, &loaded);
        assert_eq!(outcome.findings, []);
        let state = if round == 0 { State::Added } else { State::Present };
        assert_eq!(states(&outcome), [("onnxruntime", state), ("gpu.so", state)]);
        let folder = cache::together(&machine.context().cache, &links);
        assert_eq!(outcome.files[0].path, folder.join("onnxruntime"));
        assert_eq!((fs::read(folder.join("onnxruntime")).unwrap(), fs::read(folder.join("gpu.so")).unwrap()).1, b"gpu");
        // A vehicle finds them there.
        let files = links.map(|(name, sha256)| FileDesc { name, sha256: sha256.to_owned().leak(), version: "" });
        let found = Cache::at(machine.context().cache).together(&files).unwrap().unwrap();
        assert_eq!(found, folder.join("onnxruntime"));
        // What is damaged is made anew.
        fs::remove_file(folder.join("gpu.so")).unwrap();
        if round == 1 {
            fs::write(folder.join("gpu.so"), "something else").unwrap();
        }
    }
    assert_eq!(machine.calls().len(), 1);
    // A library that is given has its own beside it, and an architecture that has a source of its own has none.
    let given = machine.root.path().join("vehicle/lib.so");
    fs::write(&given, "own").unwrap();
    let context = Context { libraries: vec![(Backend::OnnxRuntime, given)], ..machine.context() };
    let outcome = fetch::fetch(&loaded, ARCH, &context, &Silent);
    let (finding, shown) = only(&outcome, &loaded);
    assert!(finding.message.contains("vehicle/gpu.so"), "{shown}");
    machine.publish(Client::Pip, "arm==1.2.0", &[("lib.so", b"arm")]);
    let arm = source("lib.so", b"arm").replace("runtime", "arm");
    let loaded = machine.vehicle(&format!("{tables}source-aarch64 = {arm}\n"));
    let outcome = fetch::fetch(&loaded, "aarch64", &machine.context(), &Silent);
    assert_eq!((states(&outcome), outcome.findings.len()), (vec![("onnxruntime", State::Added)], 0));
}
