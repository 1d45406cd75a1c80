//! The version of an ONNX Runtime library, asked before anything else is done with it.
// The library's one exported function is called through `dlsym`; ort keeps the answer to itself.
#![allow(unsafe_code)]

use ort::sys::OrtApiBase;
use std::ffi::{CStr, CString, c_char};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

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
    use super::version_of;

    #[test]
    fn what_is_no_runtime_is_refused_with_the_reason() {
        assert!(version_of("/nowhere/libonnxruntime.so".as_ref()).unwrap_err().contains("/nowhere"));
        assert!(version_of("/etc/passwd".as_ref()).is_err());
        let other = version_of("libc.so.6".as_ref()).unwrap_err();
        assert!(other.contains("OrtGetApiBase"), "{other}");
    }
}
