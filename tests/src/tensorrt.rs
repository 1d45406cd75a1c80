//! TensorRT-RTX with its provider for ONNX Runtime, installed as a user's would be.

use crate::pip::installed;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// NVIDIA's package of pip: the provider, a plug-in, with the libraries that it needs.
const PACKAGE: &str = "onnxruntime-ep-nv-tensorrt-rtx-cu13==0.5.0";

/// The folder of the provider and its libraries; `None` with a printed reason where pip cannot install them.
///
/// # Panics
/// Where they cannot be installed although `AEGIS_REQUIRE_TOOLS` is set.
pub fn plugin() -> Option<&'static Path> {
    static FOLDER: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    match FOLDER.get_or_init(|| {
        Ok(installed("tensorrt-rtx-0.5.0", &["--no-deps", PACKAGE])?.join("onnxruntime_ep_nv_tensorrt_rtx"))
    }) {
        Ok(folder) => Some(folder),
        Err(why) => {
            assert!(std::env::var_os("AEGIS_REQUIRE_TOOLS").is_none(), "AEGIS_REQUIRE_TOOLS is set, but: {why}");
            eprintln!("skipped: TensorRT-RTX cannot be installed: {why}");
            None
        }
    }
}
