//! TVM's C interface: the values that cross it, and the functions that are called. The names are those of `tvm/ffi/c_api.h` and
//! of DLPack, without their prefixes.
// Functions of a library that is loaded at run time.
#![allow(unsafe_code)]

use aegis_core::desc::ElementType;
use std::ffi::{CStr, c_char, c_void};
use std::fmt;

/// A handle of an object whose owners are counted.
pub(super) type Handle = *mut c_void;

/// The type index of nothing.
pub(super) const NONE: i32 = 0;
/// Of an integer.
pub(super) const INT: i32 = 1;
/// Of a truth value.
pub(super) const BOOL: i32 = 2;
/// Of an address.
pub(super) const ADDRESS: i32 = 4;
/// Of an element type.
pub(super) const DATA_TYPE: i32 = 5;
/// Of a C string that belongs to who passes it.
pub(super) const RAW_STR: i32 = 8;
/// Of a string of at most seven bytes inside the value.
pub(super) const SMALL_STR: i32 = 11;
/// From here on a value is a handle of an object.
pub(super) const OBJECTS: i32 = 64;
/// Of a string.
pub(super) const STR: i32 = 65;
/// Of a function.
pub(super) const FUNCTION: i32 = 68;
/// Of a shape.
pub(super) const SHAPE: i32 = 69;
/// Of a tensor.
pub(super) const TENSOR: i32 = 70;
/// Of an array.
pub(super) const ARRAY: i32 = 71;
/// Of a module.
pub(super) const MODULE: i32 = 73;

/// What comes before an object's own fields: the counters, the type index and the deleter.
const HEADER_BYTES: usize = 24;

/// A value of any type: `TVMFFIAny`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(super) struct Any {
    /// What it is.
    pub(super) index: i32,
    /// The length of a small string; otherwise 0.
    pub(super) small_length: u32,
    /// A number, a pointer or the bytes of a small string.
    pub(super) bits: u64,
}

impl Any {
    /// Nothing.
    pub(super) const NONE: Self = Self { index: NONE, small_length: 0, bits: 0 };

    /// An integer.
    pub(super) const fn int(value: i64) -> Self {
        Self { index: INT, small_length: 0, bits: value.cast_unsigned() }
    }

    /// A truth value.
    pub(super) const fn bool(value: bool) -> Self {
        Self { index: BOOL, small_length: 0, bits: if value { 1 } else { 0 } }
    }

    /// A string, which must outlive the value.
    pub(super) fn text(text: &CStr) -> Self {
        Self::pointer(RAW_STR, text.as_ptr().cast_mut().cast())
    }

    /// An object.
    pub(super) fn object(index: i32, handle: Handle) -> Self {
        Self::pointer(index, handle)
    }

    fn pointer(index: i32, pointer: *mut c_void) -> Self {
        // Not a bare address: the library turns it into a pointer again.
        Self { index, small_length: 0, bits: u64::try_from(pointer.expose_provenance()).unwrap_or(0) }
    }

    /// The handle of an object of this type.
    pub(super) fn handle(&self, index: i32) -> Option<Handle> {
        (self.index == index).then(|| self.address())
    }

    /// The number of an integer.
    pub(super) fn number(&self) -> Option<i64> {
        (self.index == INT).then(|| self.bits.cast_signed())
    }

    /// An element type.
    pub(super) fn data_type(&self) -> Option<DataType> {
        let [code, bits, low, high, ..] = self.bits.to_ne_bytes();
        (self.index == DATA_TYPE).then(|| DataType { code, bits, lanes: u16::from_ne_bytes([low, high]) })
    }

    /// The pointer of an object or a C string.
    pub(super) fn address(&self) -> *mut c_void {
        std::ptr::with_exposed_provenance_mut(usize::try_from(self.bits).unwrap_or(0))
    }
}

/// Bytes of somebody else: `TVMFFIByteArray`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(super) struct Bytes {
    data: *const c_char,
    size: usize,
}

impl Bytes {
    /// Those of a text, which must outlive this.
    pub(super) const fn of(text: &str) -> Self {
        Self { data: text.as_ptr().cast(), size: text.len() }
    }

    /// The text.
    ///
    /// # Safety
    /// The bytes are alive.
    pub(super) unsafe fn read(&self) -> String {
        if self.data.is_null() {
            return String::new();
        }
        // SAFETY: the library says that so many bytes are there, and the caller that they are alive.
        let bytes = unsafe { std::slice::from_raw_parts(self.data.cast::<u8>(), self.size) };
        String::from_utf8_lossy(bytes).into_owned()
    }
}

/// The shape of a shape object.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(super) struct ShapeCell {
    pub(super) data: *const i64,
    pub(super) size: usize,
}

/// What an error says.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(super) struct ErrorCell {
    pub(super) kind: Bytes,
    pub(super) message: Bytes,
}

/// The fields of an object behind its header.
///
/// # Safety
/// The handle is alive and of an object whose first field is a `T`.
pub(super) unsafe fn fields<'a, T>(handle: Handle) -> &'a T {
    // SAFETY: the interface fixes that the fields follow the header, aligned; the caller says which these are.
    unsafe { &*handle.cast::<u8>().add(HEADER_BYTES).cast::<T>() }
}

/// The version of the interface.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Version {
    pub(super) major: u32,
    pub(super) minor: u32,
    pub(super) patch: u32,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// An element type: `DLDataType`.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct DataType {
    pub(super) code: u8,
    pub(super) bits: u8,
    pub(super) lanes: u16,
}

impl DataType {
    /// That of a tensor of a plan.
    pub(super) const fn of(element: ElementType) -> Self {
        let (code, bits) = match element {
            ElementType::I64 => (0, 64),
            ElementType::I32 => (0, 32),
            ElementType::U8 => (1, 8),
            ElementType::F32 => (2, 32),
        };
        Self { code, bits, lanes: 1 }
    }

    /// The length of so many elements in bytes.
    pub(super) fn bytes(self, elements: u64) -> Option<u64> {
        let bits = u64::from(self.bits).checked_mul(u64::from(self.lanes))?;
        elements.checked_mul(bits.div_ceil(8))
    }
}

/// A device: `DLDevice`.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Device {
    pub(super) kind: i32,
    pub(super) id: i32,
}

impl Device {
    /// The number of CPUs among the kinds of devices.
    pub(super) const OF_CPU: i32 = 1;
    /// That of CUDA devices.
    pub(super) const OF_CUDA: i32 = 2;
    /// The CPU's memory.
    pub(super) const CPU: Self = Self { kind: Self::OF_CPU, id: 0 };

    /// The memory of the CUDA device of a number.
    pub(super) fn cuda(ordinal: u16) -> Self {
        Self { kind: Self::OF_CUDA, id: i32::from(ordinal) }
    }
}

/// A tensor: `DLTensor`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(super) struct Tensor {
    pub(super) data: *mut c_void,
    pub(super) device: Device,
    pub(super) rank: i32,
    pub(super) data_type: DataType,
    pub(super) shape: *const i64,
    pub(super) strides: *const i64,
    pub(super) byte_offset: u64,
}

impl Tensor {
    /// Its sides; `None` where it says that there are some and has none.
    ///
    /// # Safety
    /// What it was read from is alive as long as the result is used.
    pub(super) unsafe fn sides<'a>(&self) -> Option<&'a [i64]> {
        let rank = usize::try_from(self.rank).ok()?;
        if rank == 0 {
            return Some(&[]);
        }
        // SAFETY: so many are there as long as the tensor is alive.
        (!self.shape.is_null()).then(|| unsafe { std::slice::from_raw_parts(self.shape, rank) })
    }

    /// Whether its elements lie behind each other, in the order of the sides.
    ///
    /// # Safety
    /// What it was read from is alive.
    pub(super) unsafe fn is_compact(&self) -> bool {
        // SAFETY: the caller's.
        let Some(sides) = (unsafe { self.sides() }) else { return false };
        if self.strides.is_null() || sides.is_empty() {
            return true;
        }
        // SAFETY: where there are strides each side has one.
        let strides = unsafe { std::slice::from_raw_parts(self.strides, sides.len()) };
        let mut expected = Some(1_i64);
        sides.iter().zip(strides).rev().all(|(side, stride)| {
            let fits = *side == 1 || expected == Some(*stride);
            expected = expected.and_then(|length| length.checked_mul(*side));
            fits
        })
    }
}

/// A tensor with who is to be told when it is not used any more: `DLManagedTensor`.
#[repr(C)]
#[derive(Debug)]
pub(super) struct ManagedTensor {
    pub(super) tensor: Tensor,
    pub(super) context: *mut c_void,
    pub(super) deleter: Option<unsafe extern "C" fn(*mut ManagedTensor)>,
}

/// A function as TVM calls it: 0, or another number after it has set an error.
pub(super) type SafeCall = unsafe extern "C" fn(*mut c_void, *const Any, i32, *mut Any) -> i32;

/// Declares [`Api`], and how it is found in a library.
macro_rules! api {
    ($($field:ident: $name:literal, fn($($type:ty),*) $(-> $result:ty)?;)+) => {
        /// The functions of `libtvm_ffi.so` that are called.
        #[derive(Clone, Copy, Debug)]
        pub(super) struct Api {
            $(pub(super) $field: unsafe extern "C" fn($($type),*) $(-> $result)?,)+
        }

        impl Api {
            /// Finds all of them; `find` returns the address of a symbol.
            ///
            /// # Safety
            /// Where a symbol of such a name is found, it is TVM's.
            pub(super) unsafe fn find(
                mut find: impl FnMut(&CStr) -> Result<*mut c_void, String>,
            ) -> Result<Self, String> {
                Ok(Self {
                    $($field: {
                        let found = find($name)?;
                        // SAFETY: TVM exports each of these names as a C function of this type, in the version that was asked for
                        // first.
                        unsafe { std::mem::transmute::<*mut c_void, unsafe extern "C" fn($($type),*) $(-> $result)?>(found) }
                    },)+
                })
            }
        }
    };
}

api! {
    keep: c"TVMFFIObjectIncRef", fn(Handle) -> i32;
    release: c"TVMFFIObjectDecRef", fn(Handle) -> i32;
    function: c"TVMFFIFunctionCreate", fn(*mut c_void, SafeCall, Option<unsafe extern "C" fn(*mut c_void)>, *mut Handle) -> i32;
    set_global: c"TVMFFIFunctionSetGlobal", fn(*const Bytes, Handle, i32) -> i32;
    global: c"TVMFFIFunctionGetGlobal", fn(*const Bytes, *mut Handle) -> i32;
    call: c"TVMFFIFunctionCall", fn(Handle, *const Any, i32, *mut Any) -> i32;
    take_error: c"TVMFFIErrorMoveFromRaised", fn(*mut Handle);
    set_error: c"TVMFFIErrorSetRaisedFromCStr", fn(*const c_char, *const c_char);
    tensor: c"TVMFFITensorFromDLPack", fn(*mut ManagedTensor, i32, i32, *mut Handle) -> i32;
    set_symbol: c"TVMFFIEnvModRegisterContextSymbol", fn(*const c_char, *mut c_void) -> i32;
}
