//! The version of an ONNX Runtime library, asked before anything else is done with it.
// The library's one exported function is called through `dlsym`; ort keeps the answer to itself.
#![allow(unsafe_code)]

use ort::sys::OrtApiBase;
use std::ffi::{CStr, CString, c_char};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// The version string of the library, as in `1.32.0`. The library stays loaded.
///
/// # Errors
/// The loader's message, or that the file is another library.
pub fn version_of(library: &Path) -> Result<String, String> {
    let path = CString::new(library.as_os_str().as_bytes()).map_err(|error| error.to_string())?;
    // SAFETY: the path is a C string; loading runs the library's initialisers, which is what the plan asks for by
    // naming the library's checksum.
    let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
    if handle.is_null() {
        return Err(last_error());
    }
    // SAFETY: the handle is valid and never closed; the name is a C string.
    let entry = unsafe { libc::dlsym(handle, c"OrtGetApiBase".as_ptr()) };
    if entry.is_null() {
        return Err("it does not export OrtGetApiBase, so it is no ONNX Runtime".to_owned());
    }
    // SAFETY: every ONNX Runtime exports this symbol with this signature, from its first release on.
    let entry: unsafe extern "system" fn() -> *const OrtApiBase = unsafe { std::mem::transmute(entry) };
    // SAFETY: the function takes nothing and returns a static table or null.
    let base = unsafe { entry().as_ref() }.ok_or("OrtGetApiBase returned nothing")?;
    // SAFETY: as above; the string is static.
    Ok(text(unsafe { (base.GetVersionString)() }))
}

/// Loads what lies beside a library and begins with one of these names, in their order, so that the loader finds it by the name
/// that it has inside. It stays loaded. Returned is what the loader says of those that it does not load.
pub(super) fn preload(library: &Path, names: &[&str]) -> Vec<String> {
    let folder = library.parent().and_then(|folder| std::fs::read_dir(folder).ok());
    let mut files: Vec<PathBuf> = folder.into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    files.sort();
    let mut refused = Vec::new();
    for name in names {
        let begins = |file: &&PathBuf| file.file_name().is_some_and(|own| own.to_string_lossy().starts_with(name));
        for file in files.iter().filter(begins) {
            let Ok(path) = CString::new(file.as_os_str().as_bytes()) else { continue };
            // SAFETY: the path is a C string; loading runs the library's initialisers, which is what the plan asks for by naming
            // it.
            let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_GLOBAL) };
            if handle.is_null() {
                refused.push(last_error());
            }
        }
    }
    refused
}

/// The version of the loaded library whose file name begins with `name`, which tells it as TensorRT's does; `None` where none is
/// loaded, or it does not tell.
pub(super) fn infer_version(name: &str) -> Option<String> {
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    let is_it = |path: &&str| Path::new(path).file_name().is_some_and(|file| file.to_string_lossy().starts_with(name));
    let path = maps.lines().filter_map(|line| line.get(line.find('/')?..)).find(is_it)?;
    let path = CString::new(path).ok()?;
    // SAFETY: the path is a C string; what is loaded already is not loaded again.
    let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | libc::RTLD_NOLOAD) };
    if handle.is_null() {
        return None;
    }
    // SAFETY: the handle is valid and never closed; the name is a C string.
    let entry = unsafe { libc::dlsym(handle, c"getInferLibVersion".as_ptr()) };
    if entry.is_null() {
        return None;
    }
    // SAFETY: every TensorRT exports this function of the C interface with this signature.
    let entry: unsafe extern "C" fn() -> i32 = unsafe { std::mem::transmute(entry) };
    // SAFETY: it takes nothing and returns a number.
    version(u32::try_from(unsafe { entry() }).ok()?)
}

/// TensorRT's number as a version: two digits each for minor and patch from 10 on and in TensorRT-RTX, before that one for the
/// minor.
fn version(number: u32) -> Option<String> {
    if number == 0 {
        return None;
    }
    let of = |major: u32, minor: u32| {
        let (rest, patch) = (number / 100, number % 100);
        (number / major, rest % minor, patch)
    };
    let (major, minor, patch) = if number >= 10_000 { of(10_000, 100) } else { of(1_000, 10) };
    Some(format!("{major}.{minor}.{patch}"))
}

fn last_error() -> String {
    // SAFETY: `dlerror` returns null or a C string that lives until this thread's next call.
    text(unsafe { libc::dlerror() })
}

fn text(pointer: *const c_char) -> String {
    if pointer.is_null() {
        return String::new();
    }
    // SAFETY: both callers pass a C string that outlives this call.
    unsafe { CStr::from_ptr(pointer) }.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::{infer_version, preload, version, version_of};

    #[test]
    fn the_number_of_tensorrt_is_a_version() {
        for (number, text) in [(101_401, "10.14.1"), (10_701, "1.7.1"), (8_601, "8.6.1"), (100_000, "10.0.0")] {
            assert_eq!(version(number).as_deref(), Some(text));
        }
        assert_eq!(version(0), None);
    }

    #[test]
    fn what_lies_beside_is_loaded_and_tells_its_version() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("libbroken.so.1"), "no library").unwrap();
        std::fs::write(folder.path().join("other"), "").unwrap();
        let refused = preload(&folder.path().join("libonnxruntime.so"), &["libmissing.so", "libbroken.so"]);
        assert!(matches!(refused.as_slice(), [one] if one.contains("libbroken.so.1")), "{refused:?}");
        assert_eq!(infer_version("libnobody.so"), None);
        // A library that is no TensorRT tells nothing.
        assert_eq!(infer_version("libc.so"), None);
        let Some(plugin) = aegis_tests::tensorrt::plugin() else { return };
        assert_eq!(preload(&plugin.join("libonnxruntime.so"), &["libtensorrt_rtx.so"]), [""; 0]);
        assert_eq!(infer_version("libtensorrt_rtx.so").as_deref(), Some("1.7.1"));
    }

    #[test]
    fn what_is_no_runtime_is_refused_with_the_reason() {
        assert!(version_of("/nowhere/libonnxruntime.so".as_ref()).unwrap_err().contains("/nowhere"));
        assert!(version_of("/etc/passwd".as_ref()).is_err());
        let other = version_of("libc.so.6".as_ref()).unwrap_err();
        assert!(other.contains("OrtGetApiBase"), "{other}");
    }
}
