//! Finding and opening TVM's two libraries.
// Libraries are loaded at run time, and their functions found by name.
#![allow(unsafe_code)]

use super::abi::{Api, Version};
use std::ffi::{CStr, CString, c_void};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// The library of the interface. It lies beside the runtime's.
const INTERFACE: &str = "libtvm_ffi.so";
/// The interface that this program was written for: its changes are told by the second number as long as the first is 0.
const SPOKEN: Version = Version { major: 0, minor: 1, patch: 0 };

/// Opens the interface beside the runtime's library, then that. Both stay loaded.
///
/// # Errors
/// The loader's message, that a file is another library, or that it is of another version.
pub(super) fn open(library: &Path) -> Result<Api, String> {
    let beside = library.with_file_name(INTERFACE);
    if library.exists() && !beside.exists() {
        return Err(format!(
            "{INTERFACE} is not beside it, which it needs: name it by `beside` in [runtime.tvm], or put it where AEGIS_TVM_LIBRARY points"
        ));
    }
    if !library.exists() {
        return Err("there is no such file".to_owned());
    }
    // Compiled models have its symbols undefined without naming it, so they must be visible to all that is loaded later.
    let interface = load(&beside, libc::RTLD_GLOBAL).map_err(|text| format!("{INTERFACE} beside it: {text}"))?;
    let find = |name: &CStr| {
        symbol(interface, name).ok_or_else(|| {
            format!(
                "{INTERFACE} beside it does not export {}, so it is no TVM that this program knows",
                name.to_string_lossy()
            )
        })
    };
    let version = find(c"TVMFFIGetVersion")?;
    // SAFETY: every TVM interface exports this symbol with this type, which is stable across its versions.
    let version = unsafe { std::mem::transmute::<*mut c_void, unsafe extern "C" fn(*mut Version)>(version) };
    let mut found = Version::default();
    // SAFETY: the function writes the version and nothing else.
    unsafe { version(&raw mut found) };
    is_spoken(found)?;
    // SAFETY: the library is TVM's, of a version whose functions are known.
    let api = unsafe { Api::find(find) }?;
    let runtime = load(library, libc::RTLD_LOCAL)?;
    match symbol(runtime, c"TVMBackendParallelLaunch") {
        Some(_) => Ok(api),
        None => Err("it does not export TVMBackendParallelLaunch, so it is no TVM runtime".to_owned()),
    }
}

/// Whether this program can call an interface of a version.
fn is_spoken(found: Version) -> Result<(), String> {
    let Version { major, minor, .. } = SPOKEN;
    if (found.major, found.minor) == (major, minor) {
        return Ok(());
    }
    Err(format!("{INTERFACE} beside it has version {found} of TVM's C interface, this program speaks {major}.{minor}"))
}

fn load(library: &Path, visibility: i32) -> Result<*mut c_void, String> {
    let path = CString::new(library.as_os_str().as_bytes()).map_err(|error| error.to_string())?;
    // The interface's initialiser takes the signal of stray accesses, by which this program tells a stack that is too small: it gets
    // its former handler back.
    // SAFETY: a structure of numbers and pointers, for which zeros are valid.
    let mut handler = unsafe { std::mem::zeroed::<libc::sigaction>() };
    // SAFETY: it only reads the handler.
    let is_read = unsafe { libc::sigaction(libc::SIGSEGV, std::ptr::null(), &raw mut handler) } == 0;
    // SAFETY: the path is a C string; loading runs the library's initialisers, which is what the plan asks for by
    // naming the library's checksum.
    let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW | visibility) };
    if is_read {
        // SAFETY: it is the handler that was there before.
        unsafe { libc::sigaction(libc::SIGSEGV, &raw const handler, std::ptr::null_mut()) };
    }
    if !handle.is_null() {
        return Ok(handle);
    }
    // SAFETY: after a failure it returns a C string that lives until this thread's next call.
    let text = unsafe { libc::dlerror() };
    if text.is_null() {
        return Err("the loader says nothing".to_owned());
    }
    // SAFETY: as above.
    Err(unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned())
}

fn symbol(library: *mut c_void, name: &CStr) -> Option<*mut c_void> {
    // SAFETY: the handle is valid and never closed; the name is a C string.
    let found = unsafe { libc::dlsym(library, name.as_ptr()) };
    (!found.is_null()).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::{Version, is_spoken, open};
    use std::os::unix::fs::symlink;

    #[test]
    fn what_is_no_runtime_is_refused_with_the_reason() {
        assert_eq!(open("/nowhere/libtvm_runtime.so".as_ref()).unwrap_err(), "there is no such file");
        let folder = tempfile::tempdir().unwrap();
        let library = folder.path().join("tvm");
        std::fs::write(&library, "no library").unwrap();
        let alone = open(&library).unwrap_err();
        assert!(alone.contains("libtvm_ffi.so is not beside it") && alone.contains("`beside`"), "{alone}");
        let beside = folder.path().join("libtvm_ffi.so");
        std::fs::write(&beside, "no library").unwrap();
        let broken = open(&library).unwrap_err();
        assert!(broken.starts_with("libtvm_ffi.so beside it: ") && broken.contains("libtvm_ffi.so: "), "{broken}");
        std::fs::remove_file(&beside).unwrap();
        // Any other library of this process.
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let other = maps.lines().find_map(|line| line.split_whitespace().find(|word| word.contains("libc.so")));
        symlink(other.unwrap(), &beside).unwrap();
        let other = open(&library).unwrap_err();
        assert!(other.contains("does not export TVMFFIGetVersion, so it is no TVM"), "{other}");
    }

    #[test]
    fn another_version_of_the_interface_is_told_with_both() {
        assert!(is_spoken(Version { major: 0, minor: 1, patch: 16 }).is_ok());
        let error = is_spoken(Version { major: 0, minor: 2, patch: 3 }).unwrap_err();
        assert!(error.contains("has version 0.2.3") && error.ends_with("this program speaks 0.1"), "{error}");
        assert!(is_spoken(Version { major: 1, minor: 1, patch: 0 }).is_err());
    }
}
