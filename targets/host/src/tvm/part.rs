//! A module on a part of a GPU: its kernels, loaded and launched by this program, and its weights in planned memory.
//!
//! ```text
//!  compiled code ── "conv_kernel"(addresses …, blocks, threads) ──▶ launch ──▶ the lane's stream
//! ```
//!
//! Compiled code calls a kernel by its name, which it finds in TVM's registry: each name is registered there once for the
//! process, and means a kernel of the module that the calling thread runs. TVM's own runtime for CUDA is not loaded. So TVM has
//! no means to take a device's memory, to copy, to wait or to use another stream: whatever asks it for that fails.
// Launching kernels, of which their compiler says what they are given; callbacks that TVM calls with raw pointers.
#![allow(unsafe_code)]

use super::abi::{ADDRESS, Any, Api, Device, Tensor};
use super::hooks::{answer, arguments, register_function};
use super::value::{Value, tensor};
use crate::arena::Span;
use crate::backend::BackendError;
use crate::gpu::Seat;
use crate::serve::current::take_on_device;
use aegis_core::desc::GPU_ALIGNMENT;
use aegis_cuda::{Argument, CudaError, Kernel, Partition, Shape};
use serde::Deserialize;
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{CString, c_void};
use std::ptr::null;
use std::sync::{Arc, Mutex, PoisonError};

/// The most shared memory of a block that a launch gets unasked.
const USUAL_SHARED: u32 = 48 << 10;

/// What the compiler says of a kernel.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
struct Told {
    name: String,
    parameters: Vec<Parameter>,
    /// What a call has behind the parameters.
    launch: Vec<Extent>,
}

/// The type of a parameter.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Parameter {
    Handle,
    Int32,
    Uint32,
    Int64,
}

/// How far a launch reaches in one direction.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
enum Extent {
    #[serde(rename = "blockIdx.x")]
    BlocksX,
    #[serde(rename = "blockIdx.y")]
    BlocksY,
    #[serde(rename = "blockIdx.z")]
    BlocksZ,
    #[serde(rename = "threadIdx.x")]
    ThreadsX,
    #[serde(rename = "threadIdx.y")]
    ThreadsY,
    #[serde(rename = "threadIdx.z")]
    ThreadsZ,
    #[serde(rename = "tirx.use_dyn_shared_memory")]
    Shared,
}

impl Parameter {
    const fn bytes(self) -> usize {
        match self {
            Self::Int32 | Self::Uint32 => 4,
            Self::Handle | Self::Int64 => 8,
        }
    }

    /// What is passed for it.
    fn argument(self, any: &Any) -> Option<Argument> {
        Some(match self {
            Self::Handle => Argument::Address(u64::try_from(any.handle(ADDRESS)?.addr()).ok()?),
            Self::Int32 => Argument::U32(i32::try_from(any.number()?).ok()?.cast_unsigned()),
            Self::Uint32 => Argument::U32(u32::try_from(any.number()?).ok()?),
            Self::Int64 => Argument::U64(any.number()?.cast_unsigned()),
        })
    }
}

impl Told {
    /// What a call of it launches, with what.
    fn launch(&self, passed: &[Any]) -> Result<(Shape, Vec<Argument>), String> {
        let of_other_form = || {
            format!("the kernel {} takes {:?} {:?}, and was called otherwise", self.name, self.parameters, self.launch)
        };
        let (own, extents) = passed.split_at_checked(self.parameters.len()).ok_or_else(of_other_form)?;
        if extents.len() != self.launch.len() {
            return Err(of_other_form());
        }
        let own = self.parameters.iter().zip(own).map(|(parameter, any)| parameter.argument(any));
        let own = own.collect::<Option<Vec<_>>>().ok_or_else(of_other_form)?;
        let mut shape = Shape { grid: [1; 3], block: [1; 3], shared: 0 };
        for (extent, any) in self.launch.iter().zip(extents) {
            let Shape { grid: [blocks_x, blocks_y, blocks_z], block: [x, y, z], shared } = &mut shape;
            let place = match extent {
                Extent::BlocksX => blocks_x,
                Extent::BlocksY => blocks_y,
                Extent::BlocksZ => blocks_z,
                Extent::ThreadsX => x,
                Extent::ThreadsY => y,
                Extent::ThreadsZ => z,
                Extent::Shared => shared,
            };
            *place = any.number().and_then(|number| u32::try_from(number).ok()).ok_or_else(of_other_form)?;
        }
        Ok((shape, own))
    }
}

/// Kernels of a module, loaded for one part of a device, with the module's weights.
#[derive(Debug)]
pub(super) struct Loaded {
    kernels: BTreeMap<String, (Told, Kernel)>,
    /// Arguments of `main` behind its inputs.
    pub(super) weights: Vec<Value>,
    /// After what is on it.
    pub(super) seat: Arc<Seat>,
}

/// What a compiled library has for a device: its machine code, and the kernels in it as JSON.
#[derive(Clone, Copy, Debug)]
struct Code<'a> {
    image: &'a [u8],
    kernels: &'a [u8],
}

impl Loaded {
    /// Loads kernels for a partition, as `aegis_kernels` returned them, registers their names, and places the weights in the
    /// memory that is served now. The copies have ended when the partition's work has.
    pub(super) fn load(
        api: &'static Api,
        (seat, partition): (&Arc<Seat>, &Partition),
        (kernels, weights): (&Value, &[Value]),
        span: &Span,
        failed: &impl Fn(String) -> BackendError,
    ) -> Result<Self, BackendError> {
        // SAFETY: a library that `compile.py` wrote returned it; TVM keeps it loaded as long as its function, which the caller has.
        let code = unsafe { code(&kernels.any()) };
        let code = code.ok_or_else(|| failed("its aegis_kernels returns no kernels".to_owned()))?;
        let told = serde_json::from_slice(code.kernels);
        let told: Vec<Told> = told.map_err(|error| failed(format!("its aegis_kernels: {error}")))?;
        let of_module = |error: CudaError| {
            // A lost device stays one; all else is said of the file.
            if error.class() == aegis_core::ErrorClass::Fatal { error.into() } else { failed(error.to_string()) }
        };
        let module = partition.load(code.image).map_err(of_module)?;
        let mut kernels = BTreeMap::new();
        for told in told {
            let name = CString::new(told.name.as_str()).map_err(|error| failed(error.to_string()))?;
            let kernel = module.kernel(partition, &name).map_err(of_module)?;
            let bytes: Vec<usize> = told.parameters.iter().copied().map(Parameter::bytes).collect();
            // Drivers before CUDA 12.4 cannot tell; the compiler that wrote one wrote the other.
            if let Some(takes) = kernel.parameters(partition)?.filter(|takes| *takes != bytes) {
                let name = &told.name;
                return Err(failed(format!("kernel \"{name}\" takes parameters of {takes:?} bytes, not of {bytes:?}")));
            }
            register(api, &told.name).map_err(failed)?;
            kernels.insert(told.name.clone(), (told, kernel));
        }
        let device = Device::cuda(seat.device().ordinal());
        let weights = place(api, device, partition, weights, span, failed)?;
        Ok(Self { kernels, weights, seat: Arc::clone(seat) })
    }

    /// Does something while this module's kernels are those of the calling thread, launched on a partition.
    pub(super) fn during<R>(&self, partition: &Partition, body: impl FnOnce() -> R) -> R {
        let running = Running { loaded: self, partition };
        // A panic of the body would leave the pointer set: the guard puts it back in every case.
        let _guard = Guard(RUNNING.replace((&raw const running).cast()));
        body()
    }
}

/// Copies weights of a module into one block of a device's memory, and makes tensors of them there.
fn place(
    api: &'static Api,
    device: Device,
    partition: &Partition,
    weights: &[Value],
    span: &Span,
    failed: &impl Fn(String) -> BackendError,
) -> Result<Vec<Value>, BackendError> {
    let broken = || failed("its aegis_weights returns other things than tensors of the CPU".to_owned());
    let whole = |weight: &Value| {
        let tensor = weight.tensor().filter(|tensor| tensor.device == Device::CPU && !tensor.data.is_null())?;
        // SAFETY: the weight is alive.
        let (shape, is_compact) = unsafe { (tensor.sides()?.to_vec(), tensor.is_compact()) };
        let elements = shape.iter().try_fold(1_u64, |product, side| product.checked_mul(u64::try_from(*side).ok()?))?;
        let bytes = tensor.data_type.bytes(elements).filter(|_| is_compact)?;
        Some((tensor, shape, bytes))
    };
    let weights = weights.iter().map(whole).collect::<Option<Vec<_>>>().ok_or_else(broken)?;
    let mut length = 0_u64;
    let mut offsets = Vec::new();
    for (_, _, bytes) in &weights {
        offsets.push(length);
        let end = length.checked_add(*bytes).and_then(|end| end.checked_next_multiple_of(GPU_ALIGNMENT.0));
        length = end.ok_or_else(broken)?;
    }
    if length == 0 {
        return Ok(Vec::new());
    }
    let block = take_on_device(usize::try_from(length).map_err(|_| broken())?).cast::<u8>();
    if block.is_null() {
        return Err(failed(format!("{length} bytes of weights are not as planned")));
    }
    let copy = |((tensor, shape, bytes), offset): ((Tensor, Vec<i64>, u64), u64)| {
        let (offset, bytes) = (usize::try_from(offset), usize::try_from(bytes));
        let (Ok(offset), Ok(bytes), Ok(from)) = (offset, bytes, usize::try_from(tensor.byte_offset)) else {
            return Err(broken());
        };
        let to = block.wrapping_add(offset);
        let address = u64::try_from(to.addr()).map_err(|_| broken())?;
        // SAFETY: the tensor is compact and so long, and nobody writes it. Its memory is not pinned, so the driver has read it
        // when it returns. The block is so long, and nobody else has it.
        unsafe { partition.upload(address, tensor.data.cast::<u8>().wrapping_add(from), bytes) }?;
        self::tensor(api, device, (to, 0), &shape, tensor.data_type, span.clone()).map_err(failed)
    };
    weights.into_iter().zip(offsets).map(copy).collect()
}

/// The module that a thread runs, and where.
struct Running<'a> {
    loaded: &'a Loaded,
    partition: &'a Partition,
}

thread_local! {
    /// That of this thread; null where none runs on a device.
    static RUNNING: Cell<*const c_void> = const { Cell::new(null()) };
}

struct Guard(*const c_void);

impl Drop for Guard {
    fn drop(&mut self) {
        RUNNING.set(self.0);
    }
}

/// Of what this thread runs now.
fn with_running<R>(look: impl FnOnce(&Running<'_>) -> R) -> Option<R> {
    // SAFETY: the pointer is null or set by `during`, which keeps what it points to until it is reset, and used on this thread
    // only.
    unsafe { RUNNING.get().cast::<Running<'_>>().as_ref() }.map(look)
}

/// The device whose part the calling thread runs a module on.
pub(super) fn device() -> Option<Device> {
    with_running(|running| Device::cuda(running.loaded.seat.device().ordinal()))
}

/// Makes a kernel's name known to compiled code.
fn register(api: &'static Api, name: &str) -> Result<(), String> {
    /// Of this process: TVM's registry is one for all.
    static NAMES: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
    if names.contains(name) {
        return Ok(());
    }
    // The registry keeps it until the process ends.
    let own: &'static mut String = Box::leak(Box::new(name.to_owned()));
    register_function(api, name, (launch, std::ptr::from_mut(own).cast()), false)?;
    names.insert(name.to_owned());
    Ok(())
}

/// Launches the kernel of a name, of the module that this thread runs.
unsafe extern "C" fn launch(own: *mut c_void, first: *const Any, count: i32, result: *mut Any) -> i32 {
    answer(c"RuntimeError", result, |api| {
        // SAFETY: `register` passed a name, which lives forever.
        let name: &String = unsafe { &*own.cast() };
        // SAFETY: TVM passes as many as it says.
        let passed = unsafe { arguments(first, count) };
        let launched = with_running(|running| {
            let kernel = running.loaded.kernels.get(name);
            let (told, kernel) = kernel.ok_or_else(|| format!("the module has no kernel {name}"))?;
            let (shape, arguments) = told.launch(passed)?;
            let submit = || {
                if shape.shared > USUAL_SHARED {
                    kernel.allow_shared(running.partition, shape.shared)?;
                }
                // SAFETY: the kernel takes values of these types, as its compiler says and loading compared where the driver can
                // tell. Module and memory live as long as the engine, which keeps a captured graph, too. The addresses are those
                // of tensors that TVM has: inputs, outputs, weights and blocks of the scratch, which are this segment's as long
                // as its run lasts, as the plan proves; that a kernel stays inside of them its compiler sees to.
                unsafe { kernel.launch(running.partition, shape, &arguments) }
            };
            submit().map_err(|error: CudaError| format!("kernel {name}: {error}"))
        });
        launched.ok_or_else(|| format!("the kernel {name} was called where no module runs on a GPU"))??;
        Ok(Value::owned(api, Any::NONE))
    })
}

/// Bytes of a library's constants.
#[repr(C)]
struct Piece {
    bytes: *const u8,
    length: usize,
}

/// The code that a function of a library returned: two pieces of bytes that live as long as the library is loaded.
///
/// # Safety
/// It is the result of `aegis_kernels` of a library that `compile.py` wrote and that stays loaded.
unsafe fn code<'a>(returned: &Any) -> Option<Code<'a>> {
    let pieces = returned.handle(ADDRESS).filter(|pieces| !pieces.is_null())?.cast::<[Piece; 2]>();
    // SAFETY: the script writes two pieces behind each other.
    let [image, kernels] = unsafe { &*pieces };
    // SAFETY: each has so many bytes, which are constants of the library.
    let read = |piece: &Piece| unsafe { std::slice::from_raw_parts(piece.bytes, piece.length) };
    Some(Code { image: read(image), kernels: read(kernels) })
}

#[cfg(test)]
mod tests {
    use super::{ADDRESS, Argument, Piece, Told, code, device};
    use crate::tvm::abi::Any;

    fn told(text: &str) -> Told {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_call_is_a_launch_as_the_compiler_says_and_no_other() {
        let kernel = told(
            r#"{"name": "k", "parameters": ["handle", "int64", "int32", "uint32"],
                "launch": ["blockIdx.y", "threadIdx.x", "tirx.use_dyn_shared_memory"]}"#,
        );
        let address = Any::object(ADDRESS, std::ptr::without_provenance_mut(0x7000_0000_0100));
        let call = [address, Any::int(-1), Any::int(-2), Any::int(3), Any::int(7), Any::int(128), Any::int(50_000)];
        let (shape, arguments) = kernel.launch(&call).unwrap();
        assert_eq!((shape.grid, shape.block, shape.shared), ([1, 7, 1], [128, 1, 1], 50_000));
        let expected = [
            Argument::Address(0x7000_0000_0100),
            Argument::U64(u64::MAX),
            Argument::U32(u32::MAX - 1),
            Argument::U32(3),
        ];
        assert_eq!(arguments, expected);
        let other = |place: usize, any: Any| {
            let mut call = call;
            call[place] = any;
            kernel.launch(&call).unwrap_err()
        };
        let error = kernel.launch(&call[..6]).unwrap_err();
        assert!(error.starts_with("the kernel k takes [Handle,") && error.ends_with("called otherwise"), "{error}");
        for (place, any) in [
            (0, Any::int(5)),
            (1, address),
            (2, Any::int(1 << 40)),
            (3, Any::int(-1)),
            (4, Any::int(-1)),
            (5, Any::int(1 << 40)),
            (6, Any::NONE),
        ] {
            assert_eq!(other(place, any), error);
        }
    }

    #[test]
    fn a_kernel_of_another_form_is_not_read() {
        for text in [
            r#"{"name": "k", "parameters": ["float16"], "launch": []}"#,
            r#"{"name": "k", "parameters": [], "launch": ["clusterCtaIdx.x"]}"#,
            r#"{"name": "k", "parameters": []}"#,
        ] {
            assert!(serde_json::from_str::<Told>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_a_library_returns_is_two_pieces() {
        let piece = |text: &'static [u8]| Piece { bytes: text.as_ptr(), length: text.len() };
        let pieces = [piece(b"machine"), piece(b"[]")];
        let returned = Any::object(ADDRESS, std::ptr::from_ref(&pieces).cast_mut().cast());
        // SAFETY: two pieces.
        let found = unsafe { code(&returned) }.unwrap();
        assert_eq!((found.image, found.kernels), (b"machine".as_slice(), b"[]".as_slice()));
        for other in [Any::int(1), Any::object(ADDRESS, std::ptr::null_mut())] {
            // SAFETY: nothing that could be read.
            assert!(unsafe { code(&other) }.is_none());
        }
        assert_eq!(device(), None, "no module runs");
    }
}
