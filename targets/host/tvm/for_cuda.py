"""What `compile.py` does for a CUDA device: machine code of all kernels in the library, and weights that the vehicle places.

    interface(…) ─▶ schedules ─▶ constants of `main` become parameters ─▶ host code ──▶ MODULE.so
                                  their values: `aegis_weights`           kernels: `aegis_kernels`

The host code calls each kernel by its name, and the library imports no module of TVM's for CUDA: AegisRT registers the names, and
launches the kernels itself, on its own stream. So TVM's runtime for CUDA is not needed, and nothing of the device's memory is taken
but what AegisRT gives.
"""

import json
import os
import re

# Parts of TVM's virtual machine that look at shapes and make tensors: they do the same in each run, whatever the tensors hold.
HARMLESS = {
    "vm.builtin.alloc_shape_heap",
    "vm.builtin.alloc_storage",
    "vm.builtin.alloc_tensor",
    "vm.builtin.check_shape_info",
    "vm.builtin.check_tensor_info",
    "vm.builtin.check_tuple_info",
    "vm.builtin.copy",
    "vm.builtin.make_prim_value",
    "vm.builtin.make_shape",
    "vm.builtin.make_tuple",
    "vm.builtin.match_prim_value",
    "vm.builtin.match_shape",
    "vm.builtin.null_value",
    "vm.builtin.reshape",
    "vm.builtin.shape_of",
    "vm.builtin.tuple_getitem",
}
# What a launch is given behind the kernel's own parameters.
SHARED = "tirx.use_dyn_shared_memory"
AXES = [f"{of}Idx.{axis}" for of in ("block", "thread") for axis in "xyz"]

SOURCE = """\
#include <stddef.h>
#include <stdint.h>
#ifdef __cplusplus
extern "C"
#else
extern
#endif
__attribute__((visibility("default"))) int __tvm_ffi_aegis_kernels(void *, const void *, int32_t, void *);
static const char code[] = CODE;
static const char kernels[] = KERNELS;
static const struct { const void *bytes; size_t length; } parts[] = {{code, sizeof code - 1}, {kernels, sizeof kernels - 1}};
int __tvm_ffi_aegis_kernels(void *self, const void *arguments, int32_t count, void *result) {
  struct value { int32_t type; uint32_t length; const void *pointer; } *value = (struct value *)result;
  (void)self, (void)arguments, (void)count;
  value->type = 4, value->length = 0, value->pointer = parts;
  return 0;
}
"""


def device(capability):
    """TVM's target of a compute capability, such as 9.0, with its architecture."""
    import tvm

    if not re.fullmatch(r"[1-9][0-9]?\.[0-9]a?", capability):
        raise ValueError(f"--capability {capability}: a compute capability is like 8.7 or 9.0")
    arch = "sm_" + capability.replace(".", "")
    # What every device has that CUDA 12 knows: the schedules must not ask for more, and no device is asked here.
    limits = {"max_threads_per_block": 1024, "max_shared_memory_per_block": 49152, "thread_warp_size": 32}
    return tvm.target.Target({"kind": "cuda", "arch": arch, **limits}, host="llvm"), arch


def literal(code):
    """Bytes as a string of C."""
    return "\n".join('"' + "".join(f"\\{byte:03o}" for byte in code[at : at + 64]) + '"' for at in range(0, len(code), 64)) or '""'


def headers():
    """Tells TVM where CUDA's headers are, where nobody does: in pip's packages."""
    if "CUDA_PATH" in os.environ:
        return
    try:
        import nvidia
    except ImportError as error:
        raise ImportError("no package of pip has cuda_runtime.h, and CUDA_PATH is not set") from error

    for folder in nvidia.__path__:
        for cuda in sorted(os.listdir(folder), reverse=True):
            if os.path.isfile(os.path.join(folder, cuda, "include", "cuda_runtime.h")):
                os.environ["CUDA_PATH"] = os.path.join(folder, cuda)
                return
    raise ImportError("no package of pip has cuda_runtime.h, and CUDA_PATH is not set")


def kernel(function):
    """What a launch of a kernel is given, in order."""
    name, launch = str(function.attrs["global_symbol"]), [str(tag) for tag in function.attrs["tirx.kernel_launch_params"]]
    unknown = [tag for tag in launch if tag not in AXES and tag != SHARED]
    parameters = [str(getattr(parameter, "dtype", "handle")) for parameter in function.params]
    if unknown or not set(parameters) <= {"handle", "int32", "uint32", "int64"}:
        raise ValueError(f"the kernel {name} takes {', '.join(parameters + unknown)}, which AegisRT does not give")
    return {"name": name, "parameters": parameters, "launch": launch}


def with_own_kernels(arch):
    """From now on TVM hands kernels over: compiled for this architecture, and described, in a module of C."""
    import tvm
    from tvm.support import nvcc

    headers()
    # Where TVM's runtime for CUDA can be loaded it would compile them as well.
    os.environ["TVM_COMPILE_FORCE_FALLBACK"] = "1"
    source_of = tvm.get_global_func("target.build.cuda")

    def build(module, target):
        source = source_of(module, target).inspect_source("cuda")
        # Beside CUDA's own headers, where TVM does not look in pip's packages.
        libraries = ["-I" + os.path.join(os.environ["CUDA_PATH"], "include", "cccl")]
        code = bytes(nvcc.compile_cuda(source, "cubin", arch, libraries, compiler="nvrtc"))
        described = json.dumps([kernel(function) for function in module.functions.values()])
        text = SOURCE.replace("CODE", literal(code)).replace("KERNELS", literal(described.encode()))
        return tvm.get_global_func("runtime.CSourceModuleCreate")(text, "c", ["aegis_kernels"], [])

    tvm.register_global_func("target.build.cuda", build, override=True)


def with_weights_as_parameters(module):
    """Each constant tensor of `main` becomes a parameter of it, and `aegis_weights` returns them all, in that order."""
    import tvm
    from tvm import relax

    found = []

    @relax.expr_functor.mutator
    class Parameters(relax.PyExprMutator):
        """Puts a parameter in the place of each constant."""

        def visit_generic_const_(self, constant):
            if not isinstance(constant.value, tvm.runtime.Tensor):
                return constant
            for other, parameter in found:
                if other.same_as(constant):
                    return parameter
            found.append((constant, relax.Var(f"aegis_weight{len(found)}", constant.ty)))
            return found[-1][1]

    main = module["main"]
    body = Parameters(module).visit_expr(main.body)
    parameters = [*main.params, *(parameter for _, parameter in found)]
    module["main"] = relax.Function(parameters, body, main.ret_ty, main.is_pure, main.attrs)
    builder = relax.BlockBuilder()
    with builder.function("aegis_weights", []):
        builder.emit_func_output(relax.Tuple([constant for constant, _ in found]))
    module["aegis_weights"] = builder.get()["aegis_weights"].with_attr("global_symbol", "aegis_weights")
    return module


def build(module, target, arch, level):
    """The compiled executable of a module with `main` and `aegis_interface`."""
    import tvm
    from tvm import relax
    from tvm.relax.backend.cuda import pipeline

    with_own_kernels(arch)
    with tvm.transform.PassContext(opt_level=level), target:
        passes = pipeline.library_dispatch_passes(target) + pipeline.legalize_passes(target)
        module = with_weights_as_parameters(tvm.transform.Sequential(passes)(module))
        passes = pipeline.dataflow_lower_passes(target) + pipeline.finalize_passes(target)
        lowered = tvm.transform.Sequential(passes)(module)
        executable = relax.build(lowered, target=target, relax_pipeline=None)
    called = set(re.findall(r"^@(\S+) packed_func;", executable.as_text(), re.MULTILINE))
    # A machine that calls none of its own functions does not exist: another release of TVM prints them in another way.
    if not any(name.startswith("vm.builtin.") for name in called):
        raise ValueError("TVM does not tell what the module calls in each run as the release 0.27 does")
    own = {str(name.name_hint) for name in lowered.functions}
    others = sorted(called - own - HARMLESS)
    if others:
        raise ValueError(f"it calls {', '.join(others)} on the CPU in each run, which one graph of a device cannot repeat")
    return executable
