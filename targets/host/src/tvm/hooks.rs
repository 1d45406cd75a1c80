//! What TVM asks for while it runs a model, answered from planned memory and on the calling thread.
//!
//! ```text
//!  vm.builtin.alloc_storage  a block of the model's server, as a tensor of bytes; given back with its last owner
//!  vm.builtin.alloc_tensor   a view of such a block, which it keeps
//!  TVMBackendAllocWorkspace  a block inside one kernel      TVMBackendFreeWorkspace  gives it back
//!  __tvm_set_device          nothing: the lane's part of a GPU is set already, and another device is refused
//!  TVMBackendParallelLaunch  all parts of a parallel loop, one after the other: no thread is made
//! ```
//!
//! TVM's own pools are not used: they keep what they have, and cannot be bounded. The first two replace functions of TVM's
//! registry by their names, the others what each compiled library is given when it is loaded. A refusal is TVM's own kind of
//! error, which ends the run.
// Callbacks that TVM calls with raw pointers.
#![allow(unsafe_code)]

use super::abi::{Any, Api, Bytes, DataType, Device, Handle, SHAPE, SafeCall, ShapeCell, TENSOR, Tensor, fields};
use super::part;
use super::value::{Value, check, tensor, text};
use crate::serve::current::{give, take, take_on_device};
use std::ffi::{CStr, CString, c_void};
use std::ptr::null_mut;
use std::sync::OnceLock;

/// The process's one interface, for callbacks.
static API: OnceLock<&'static Api> = OnceLock::new();

/// Makes TVM ask here.
pub(super) fn register(api: &'static Api) -> Result<(), String> {
    API.get_or_init(|| api);
    let functions: [(&str, SafeCall); 3] = [
        ("vm.builtin.alloc_storage", alloc_storage),
        ("vm.builtin.alloc_tensor", alloc_tensor),
        ("__tvm_set_device", set_device),
    ];
    for (name, call) in functions {
        register_function(api, name, (call, null_mut()), true)?;
    }
    let symbols: [(&CStr, *mut c_void); 4] = [
        (c"__TVMBackendAllocWorkspace", alloc_workspace as *mut c_void),
        (c"__TVMBackendFreeWorkspace", free_workspace as *mut c_void),
        (c"__TVMBackendParallelLaunch", parallel_launch as *mut c_void),
        (c"__TVMBackendParallelBarrier", parallel_barrier as *mut c_void),
    ];
    for (name, symbol) in symbols {
        // SAFETY: each is a function of the type that TVM's `c_backend_api.h` has under this name; a later registration goes
        // before TVM's own.
        check(api, unsafe { (api.set_symbol)(name.as_ptr(), symbol) })?;
    }
    Ok(())
}

/// Puts a function into TVM's registry, with what it is called with. `replaces` says whether there may be one of that name.
pub(super) fn register_function(
    api: &'static Api,
    name: &str,
    (call, own): (SafeCall, *mut c_void),
    replaces: bool,
) -> Result<(), String> {
    let mut handle: Handle = null_mut();
    // SAFETY: the function has TVM's convention, and what it is called with lives forever; the result is checked.
    check(api, unsafe { (api.function)(own, call, None, &raw mut handle) })?;
    // SAFETY: the name outlives the call, and the registry becomes an owner of its own.
    let result = check(api, unsafe { (api.set_global)(&Bytes::of(name), handle, i32::from(replaces)) });
    // SAFETY: it was made above, and this owner is not used any more. The result is always 0.
    unsafe { (api.release)(handle) };
    result
}

/// A block of the model's server.
struct Block(*mut u8);

// SAFETY: it is only an address, which is given back once.
unsafe impl Send for Block {}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: `take` gave it, and its tensor's last owner has gone.
        unsafe { give(self.0.cast()) };
    }
}

/// Answers one of TVM's calls: the status, after the result or the error, of this kind, was set.
pub(super) fn answer(kind: &CStr, result: *mut Any, answer: impl FnOnce(&'static Api) -> Result<Value, String>) -> i32 {
    let Some(api) = API.get() else { return -1 };
    match answer(api) {
        Ok(value) => {
            // SAFETY: TVM passes a place for the result, which becomes the owner.
            unsafe { result.write(value.any()) };
            std::mem::forget(value);
            0
        }
        Err(text) => {
            let text = CString::new(text).unwrap_or_default();
            // SAFETY: both are C strings, which are copied.
            unsafe { (api.set_error)(kind.as_ptr(), text.as_ptr()) };
            -1
        }
    }
}

/// The arguments of a call.
///
/// # Safety
/// So many are alive.
pub(super) unsafe fn arguments<'a>(first: *const Any, count: i32) -> &'a [Any] {
    let count = if first.is_null() { 0 } else { usize::try_from(count).unwrap_or(0) };
    // SAFETY: as the caller says; a slice of nothing needs no memory.
    if count == 0 { &[] } else { unsafe { std::slice::from_raw_parts(first, count) } }
}

/// The sides of a shape that is passed.
fn shape(any: &Any) -> Option<Vec<i64>> {
    // SAFETY: TVM passes a live shape, whose fields begin with this.
    let cell = unsafe { fields::<ShapeCell>(any.handle(SHAPE)?) };
    if cell.size == 0 {
        return Some(Vec::new());
    }
    // SAFETY: so many sides are there.
    Some(unsafe { std::slice::from_raw_parts(cell.data, cell.size) }.to_vec())
}

/// The length of a tensor in bytes.
fn bytes(shape: &[i64], data_type: DataType) -> Option<u64> {
    let elements = shape.iter().try_fold(1_u64, |product, side| product.checked_mul(u64::try_from(*side).ok()?))?;
    data_type.bytes(elements)
}

/// `alloc_storage(vm, shape, device, data type, scope)`.
unsafe extern "C" fn alloc_storage(_: *mut c_void, first: *const Any, count: i32, result: *mut Any) -> i32 {
    answer(c"MemoryError", result, |api| {
        // SAFETY: TVM passes as many as it says.
        let [_, sides, device, data_type, scope] = (unsafe { arguments(first, count) }) else {
            return Err(format!("alloc_storage with {count} arguments, known are 5"));
        };
        let scope = text(scope).unwrap_or_default();
        if !matches!(scope.as_str(), "" | "global") {
            return Err(format!("memory of the scope {scope} is not planned"));
        }
        let on = part::device();
        // Of the CPU all have their storage there, whichever number it has.
        if let (Some(_), Some(other)) = (on, device.number().filter(|number| *number != 0)) {
            return Err(format!("storage of device {other} of the virtual machine, which has one, is not planned"));
        }
        let size = shape(sides).zip(data_type.data_type()).and_then(|(shape, data_type)| bytes(&shape, data_type));
        let size = size.ok_or("alloc_storage without a size")?;
        let bytes = usize::try_from(size).map_err(|error| error.to_string())?;
        let block = if on.is_some() { take_on_device(bytes) } else { take(bytes) };
        if block.is_null() {
            return Err(format!("{size} bytes are not as planned"));
        }
        let length = i64::try_from(size).map_err(|error| error.to_string());
        let block = Block(block.cast());
        tensor(api, on.unwrap_or(Device::CPU), (block.0, 0), &[length?], DataType { code: 1, bits: 8, lanes: 1 }, block)
    })
}

/// `alloc_tensor(storage, offset, shape, data type)`, perhaps with a scope.
unsafe extern "C" fn alloc_tensor(_: *mut c_void, first: *const Any, count: i32, result: *mut Any) -> i32 {
    answer(c"MemoryError", result, |api| {
        // SAFETY: TVM passes as many as it says.
        let [storage, offset, sides, data_type, ..] = (unsafe { arguments(first, count) }) else {
            return Err(format!("alloc_tensor with {count} arguments, known are 4"));
        };
        let incomplete = || "alloc_tensor without a storage, an offset, a shape or an element type".to_owned();
        let handle = storage.handle(TENSOR).ok_or_else(incomplete)?;
        // SAFETY: it is a live tensor: what `alloc_storage` returned.
        let block = *unsafe { fields::<Tensor>(handle) };
        let offset = offset.number().and_then(|offset| u64::try_from(offset).ok()).ok_or_else(incomplete)?;
        let (shape, data_type) = shape(sides).zip(data_type.data_type()).ok_or_else(incomplete)?;
        // SAFETY: a block has one side, which is its length.
        let length = u64::try_from(unsafe { *block.shape }).unwrap_or(0);
        let end = bytes(&shape, data_type).and_then(|bytes| bytes.checked_add(offset));
        if end.is_none_or(|end| end > length) {
            return Err(format!(
                "a tensor of the shape {shape:?} at {offset} lies outside its block of {length} bytes"
            ));
        }
        // SAFETY: it is alive, and the view becomes another owner.
        check(api, unsafe { (api.keep)(handle) })?;
        let storage = Value::owned(api, Any::object(TENSOR, handle));
        // A kernel is given an address, and no offset beside it.
        let place = match block.device {
            Device::CPU => (block.data.cast::<u8>(), offset),
            _ => {
                let offset = usize::try_from(offset).map_err(|error| error.to_string())?;
                (block.data.cast::<u8>().wrapping_add(offset), 0)
            }
        };
        tensor(api, block.device, place, &shape, data_type, storage)
    })
}

/// `__tvm_set_device(kind, number)`, before a kernel is called.
unsafe extern "C" fn set_device(_: *mut c_void, first: *const Any, count: i32, result: *mut Any) -> i32 {
    answer(c"RuntimeError", result, |api| {
        // SAFETY: TVM passes as many as it says.
        let device = match unsafe { arguments(first, count) } {
            [kind, number] => kind.number().zip(number.number()),
            _ => None,
        };
        let own = part::device().unwrap_or(Device::CPU);
        if device == Some((i64::from(own.kind), i64::from(own.id))) {
            return Ok(Value::owned(api, Any::NONE));
        }
        Err(format!("the module asks for device {device:?} (kind and number), and runs on {own:?}"))
    })
}

unsafe extern "C" fn alloc_workspace(kind: i32, _: i32, size: u64, _: i32, _: i32) -> *mut c_void {
    let take: extern "C" fn(usize) -> *mut c_void = if kind == Device::OF_CPU { take } else { take_on_device };
    let block = usize::try_from(size).map_or(null_mut(), |size| take(size));
    if let (true, Some(api)) = (block.is_null(), API.get()) {
        let text = CString::new(format!("{size} bytes of workspace are not as planned")).unwrap_or_default();
        // SAFETY: both are C strings, which are copied.
        unsafe { (api.set_error)(c"MemoryError".as_ptr(), text.as_ptr()) };
    }
    block
}

unsafe extern "C" fn free_workspace(_: i32, _: i32, block: *mut c_void) -> i32 {
    // SAFETY: a kernel gives back once what `alloc_workspace` gave it.
    unsafe { give(block) };
    0
}

/// What a part of a parallel loop knows of all: `TVMParallelGroupEnv`.
#[repr(C)]
struct Group {
    barrier: *mut c_void,
    parts: i32,
}

type Part = unsafe extern "C" fn(i32, *mut Group, *mut c_void) -> i32;

/// A kernel that names no number of parts, 0, adapts to how many there are: one.
unsafe extern "C" fn parallel_launch(part: Part, data: *mut c_void, parts: i32) -> i32 {
    let mut group = Group { barrier: null_mut(), parts: parts.max(1) };
    for number in 0..group.parts {
        // SAFETY: TVM's compiled code made the part for these arguments.
        let status = unsafe { part(number, &raw mut group, data) };
        if status != 0 {
            return status;
        }
    }
    0
}

/// One part alone never waits. Several that wait for each other cannot run one after the other.
unsafe extern "C" fn parallel_barrier(_: i32, group: *mut Group) -> i32 {
    // SAFETY: TVM's compiled code passes on what `parallel_launch` gave it.
    let parts = unsafe { group.as_ref() }.map_or(0, |group| group.parts);
    if parts == 1 {
        return 0;
    }
    if let Some(api) = API.get() {
        let text = c"parts of a parallel loop wait for each other, but run one after the other";
        // SAFETY: both are C strings, which are copied.
        unsafe { (api.set_error)(c"RuntimeError".as_ptr(), text.as_ptr()) };
    }
    -1
}

#[cfg(test)]
mod tests {
    use super::{Group, parallel_barrier, parallel_launch};
    use std::ffi::c_void;

    /// What a part notes: its number, how many there are, what the barrier said and the thread.
    type Notes = Vec<(i32, i32, i32, std::thread::ThreadId)>;

    unsafe extern "C" fn note(number: i32, group: *mut Group, notes: *mut c_void) -> i32 {
        // SAFETY: the test passes its notes, and `parallel_launch` a group.
        let (notes, parts) = unsafe { (&mut *notes.cast::<Notes>(), (*group).parts) };
        // SAFETY: as above.
        let barrier = unsafe { parallel_barrier(number, group) };
        notes.push((number, parts, barrier, std::thread::current().id()));
        if number == 2 { 7 } else { 0 }
    }

    #[test]
    fn parts_of_a_parallel_loop_run_one_after_the_other_on_the_calling_thread() {
        let own = std::thread::current().id();
        let launch = |parts| {
            let mut notes = Notes::new();
            // SAFETY: the part gets what it expects.
            let status = unsafe { parallel_launch(note, (&raw mut notes).cast(), parts) };
            (status, notes)
        };
        assert_eq!(launch(0), (0, vec![(0, 1, 0, own)]), "one part alone may wait for all");
        assert_eq!(launch(2), (0, vec![(0, 2, -1, own), (1, 2, -1, own)]), "several may not");
        let (status, notes) = launch(5);
        assert_eq!((status, notes.len()), (7, 3), "the first failure ends it");
    }
}
