//! Owned values of TVM's interface, and calls of its functions.
// Calls through a C interface, whose results are checked and owned here.
#![allow(unsafe_code)]

use super::abi::{
    ARRAY, Any, Api, Bytes, DataType, ErrorCell, FUNCTION, Handle, OBJECTS, SMALL_STR, STR, TENSOR, fields,
};
use super::abi::{Device, ManagedTensor, Tensor};
use std::ptr::null_mut;

/// A value that is ours: where it is an object, one of its counted owners.
#[derive(Debug)]
pub(super) struct Value {
    api: &'static Api,
    any: Any,
}

// SAFETY: owners of an object are counted atomically, and what is behind it is used by one thread at a time: a value has no
// method that shares it.
unsafe impl Send for Value {}

impl Drop for Value {
    fn drop(&mut self) {
        if self.any.index >= OBJECTS {
            // SAFETY: it is a live object, of which this value is an owner that is not used any more. The result is always 0.
            unsafe { (self.api.release)(self.any.address()) };
        }
    }
}

impl Value {
    /// Becomes an owner of what the library has made for us.
    pub(super) const fn owned(api: &'static Api, any: Any) -> Self {
        Self { api, any }
    }

    /// To pass it to a call, while it lives.
    pub(super) const fn any(&self) -> Any {
        self.any
    }

    /// What it is.
    pub(super) const fn index(&self) -> i32 {
        self.any.index
    }

    /// The text of a string.
    pub(super) fn text(&self) -> Option<String> {
        text(&self.any)
    }

    /// The function that it is.
    pub(super) fn into_function(self) -> Option<Function> {
        (self.any.index == FUNCTION).then_some(Function(self))
    }

    /// The form of a tensor, with its place.
    pub(super) fn tensor(&self) -> Option<Tensor> {
        // SAFETY: the handle is of a live tensor, whose fields begin with this.
        self.any.handle(TENSOR).map(|handle| *unsafe { fields::<Tensor>(handle) })
    }

    /// The elements of an array, or itself alone.
    pub(super) fn elements(self, of: &Elements) -> Result<Vec<Self>, String> {
        if self.any.index != ARRAY {
            return Ok(vec![self]);
        }
        let count = of.size.call(&[self.any])?.any.number().unwrap_or(0);
        (0..count).map(|position| of.item.call(&[self.any, Any::int(position)])).collect()
    }
}

/// The text of a string that is passed or returned.
pub(super) fn text(any: &Any) -> Option<String> {
    match any.index {
        SMALL_STR => {
            let bytes = any.bits.to_ne_bytes();
            let length = usize::try_from(any.small_length).ok()?;
            Some(String::from_utf8_lossy(bytes.get(..length)?).into_owned())
        }
        // SAFETY: the handle is of a live string, whose fields begin with this.
        STR => Some(unsafe { fields::<Bytes>(any.address()).read() }),
        _ => None,
    }
}

/// A function.
#[derive(Debug)]
pub(super) struct Function(Value);

impl Function {
    /// The function that is registered under a name.
    pub(super) fn global(api: &'static Api, name: &str) -> Result<Self, String> {
        let mut handle = null_mut();
        // SAFETY: the name outlives the call, and the result is checked.
        check(api, unsafe { (api.global)(&Bytes::of(name), &raw mut handle) })?;
        if handle.is_null() {
            return Err(format!("it has no function {name}"));
        }
        Ok(Self(Value::owned(api, Any::object(FUNCTION, handle))))
    }

    /// Calls it; what is passed must be alive.
    pub(super) fn call(&self, arguments: &[Any]) -> Result<Value, String> {
        let api = self.0.api;
        let count = i32::try_from(arguments.len()).map_err(|error| error.to_string())?;
        let mut result = Any::NONE;
        // SAFETY: the function is alive, the arguments are as many, and the result is owned below.
        let status = unsafe { (api.call)(self.0.any.address(), arguments.as_ptr(), count, &raw mut result) };
        let result = Value::owned(api, result);
        check(api, status).map(|()| result)
    }
}

/// How the elements of arrays are reached.
#[derive(Debug)]
pub(super) struct Elements {
    size: Function,
    item: Function,
}

impl Elements {
    pub(super) fn new(api: &'static Api) -> Result<Self, String> {
        Ok(Self { size: Function::global(api, "ffi.ArraySize")?, item: Function::global(api, "ffi.ArrayGetItem")? })
    }
}

/// What a tensor that we made keeps.
struct Kept<K> {
    managed: ManagedTensor,
    _shape: Box<[i64]>,
    _kept: K,
}

/// A tensor in a device's memory that `kept` keeps; it is dropped with the tensor's last owner, on the thread where that happens.
pub(super) fn tensor<K: Send + 'static>(
    api: &'static Api,
    device: Device,
    (data, byte_offset): (*mut u8, u64),
    shape: &[i64],
    data_type: DataType,
    kept: K,
) -> Result<Value, String> {
    let shape: Box<[i64]> = shape.into();
    let tensor = Tensor {
        data: data.cast(),
        device,
        rank: i32::try_from(shape.len()).map_err(|error| error.to_string())?,
        data_type,
        shape: shape.as_ptr(),
        strides: std::ptr::null(),
        byte_offset,
    };
    let managed = ManagedTensor { tensor, context: null_mut(), deleter: Some(drop_kept::<K>) };
    let kept = Box::into_raw(Box::new(Kept { managed, _shape: shape, _kept: kept }));
    // SAFETY: the box is ours until the library has it.
    unsafe { (*kept).managed.context = kept.cast() };
    let mut handle: Handle = null_mut();
    // SAFETY: the tensor is complete, and its deleter drops the box.
    let status = unsafe { (api.tensor)(&raw mut (*kept).managed, 0, 1, &raw mut handle) };
    check(api, status).inspect_err(|_| {
        // SAFETY: the library did not take it.
        drop(unsafe { Box::from_raw(kept) });
    })?;
    Ok(Value::owned(api, Any::object(TENSOR, handle)))
}

unsafe extern "C" fn drop_kept<K>(managed: *mut ManagedTensor) {
    // SAFETY: the library calls it once, with what `tensor` passed, whose context is the box.
    drop(unsafe { Box::from_raw((*managed).context.cast::<Kept<K>>()) });
}

/// Turns a status into the error that the library keeps for this thread.
pub(super) fn check(api: &'static Api, status: i32) -> Result<(), String> {
    if status == 0 {
        return Ok(());
    }
    let mut handle: Handle = null_mut();
    // SAFETY: the handle becomes ours.
    unsafe { (api.take_error)(&raw mut handle) };
    if handle.is_null() {
        return Err(format!("TVM failed with status {status} and says nothing"));
    }
    // The type does not matter for giving it back.
    let error = Value::owned(api, Any::object(OBJECTS, handle));
    // SAFETY: the handle is of a live error, whose fields begin with this.
    let cell = unsafe { fields::<ErrorCell>(error.any.address()) };
    // SAFETY: the error is alive.
    let (kind, message) = unsafe { (cell.kind.read(), cell.message.read()) };
    Err(format!("{kind}: {}", message.trim()))
}
