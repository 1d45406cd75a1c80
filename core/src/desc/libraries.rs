//! Which of a plan's libraries belong to which runtime.

use super::{Backend, FileDesc, SystemDesc};

impl SystemDesc {
    /// The libraries of a backend's runtime: its own, which has the backend's name, and behind it those that it finds beside
    /// itself; none where the plan has none. A manifest gives no file beside a runtime the name of one.
    #[must_use]
    pub fn libraries_of(&self, backend: Backend) -> &'static [FileDesc] {
        let is_runtimes = |file: &FileDesc| Backend::ALL.iter().any(|backend| backend.name() == file.name);
        let mut rest = self.libraries;
        while let [own, others @ ..] = rest {
            if own.name == backend.name() {
                let beside = others.iter().take_while(|file| !is_runtimes(file)).count();
                return rest.get(..beside.saturating_add(1)).unwrap_or_default();
            }
            rest = others;
        }
        &[]
    }
}

#[cfg(test)]
mod tests {
    use super::{Backend, FileDesc, SystemDesc};

    #[test]
    fn a_runtime_has_its_library_and_what_follows_before_the_next_runtime() {
        const FILES: &[FileDesc] = &[
            FileDesc { name: "tvm", sha256: "1", version: "0.27.0" },
            FileDesc { name: "libtvm_ffi.so", sha256: "2", version: "" },
            FileDesc { name: "libother.so", sha256: "3", version: "" },
            FileDesc { name: "onnxruntime", sha256: "4", version: "1.32.0" },
        ];
        let own = |files: &'static [FileDesc], backend| {
            SystemDesc { libraries: files, ..SystemDesc::EMPTY }.libraries_of(backend)
        };
        let sums = |files: &'static [FileDesc], backend, expected: &[&str]| {
            let own = own(files, backend);
            assert!(own.iter().map(|file| file.sha256).eq(expected.iter().copied()), "{own:?}");
        };
        sums(FILES, Backend::Tvm, &["1", "2", "3"]);
        sums(FILES, Backend::OnnxRuntime, &["4"]);
        sums(&FILES[..3], Backend::OnnxRuntime, &[]);
        sums(&[], Backend::Tvm, &[]);
    }
}
