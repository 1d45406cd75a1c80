#!/usr/bin/env python3
"""Compiles an ONNX model to a library that AegisRT's backend `tvm` loads.

    compile.py MODEL.onnx MODULE.so [--shape NAME=1,3,224,224 ...] [--target llvm] [--level 2]
    compile.py MODEL.onnx MODULE.so --target cuda --capability 9.0 [...]

Needs pip's `apache-tvm` and `onnx`, and a C compiler to link; for `cuda` also NVIDIA's compiler in pip's packages (docs/tvm.md), and
no device. Every dimension must be fixed, by the file or by `--shape`.

The library holds, besides the model's function `main`, a function `aegis_interface` without arguments that returns JSON:

    {"schema": "aegis.tvm/1", "tvm": "0.27.0", "target": "llvm",
     "inputs": [{"name": "x", "dtype": "float32", "shape": [1, 3, 224, 224]}], "outputs": [...],
     "model-inputs": ["x"], "model-outputs": ["y"]}

A compiled library tells neither names nor shapes by itself. The last two lists are those that `aegis model cut` writes into each
file of a model that is cut, and empty for other models. For a CUDA device `"arch": "sm_90"` is there as well, `main` has its weights
as further arguments, which a function `aegis_weights` returns, and `aegis_kernels` returns the kernels and how they are launched.

Exit status: 0 compiled, 1 refused with the reason on standard error.
"""

import argparse
import json
import sys


class Refused(Exception):
    """The model cannot be compiled for AegisRT."""


def shapes(texts):
    """The shapes that the command line gives, by the inputs' names."""
    given = {}
    for text in texts:
        name, _, sides = text.rpartition("=")
        try:
            given[name] = [int(side) for side in sides.split(",") if side]
        except ValueError:
            raise Refused(f"--shape {text}: a shape is NAME=1,3,224,224") from None
        if not name or any(side < 1 for side in given[name]):
            raise Refused(f"--shape {text}: a shape is NAME=1,3,224,224, of dimensions from 1")
    return given


def inputs(graph, given):
    """Names and fixed shapes of the graph's inputs that are not weights."""
    weights = {weight.name for weight in graph.initializer}
    found = {}
    for value in graph.input:
        if value.name in weights:
            continue
        declared = [side.dim_value if side.HasField("dim_value") else 0 for side in value.type.tensor_type.shape.dim]
        shape = given.pop(value.name, declared)
        if any(side < 1 for side in shape):
            raise Refused(f"input {value.name} leaves a dimension open ({declared}; 0: open): give --shape {value.name}=…")
        agrees = len(shape) == len(declared) and all(own in (0, side) for own, side in zip(declared, shape))
        if declared and not agrees:
            raise Refused(f"input {value.name} was given the shape {shape}, the model has {declared} (0: any)")
        found[value.name] = shape
    if given:
        raise Refused(f"there is no input {', '.join(given)}; the model has: {', '.join(found)}")
    return found


def tensors(names, infos):
    """Descriptions of tensors whose shapes the compiler knows."""
    described = []
    for name, info in zip(names, infos, strict=True):
        sides = getattr(info.shape, "values", info.shape)
        try:
            shape = [int(side) for side in sides]
        except TypeError:
            raise Refused(f"the shape of {name} is {info.shape}, not fixed") from None
        described.append({"name": name, "dtype": str(info.dtype), "shape": shape})
    return described


def declared(model, key):
    """A list of names in the file's metadata; empty where it has none."""
    found = [entry.value for entry in model.metadata_props if entry.key == key]
    return json.loads(found[0]) if found else []


def compile_model(model, given, target, capability, level):
    """The compiled executable of an ONNX model, with its interface."""
    import for_cuda
    import tvm
    from tvm import relax
    from tvm.relax.frontend.onnx import from_onnx

    kind = tvm.target.Target(target).kind.name
    if kind not in ("llvm", "c", "cuda"):
        raise Refused(f"the target is {kind}, and AegisRT runs TVM's modules on the CPU and on CUDA devices only")
    if (kind == "cuda") != (capability is not None):
        raise Refused("--capability 9.0 goes with --target cuda: the compute capability of the device that is compiled for")
    arch = None
    if capability is not None:
        target, arch = for_cuda.device(capability)
    shape_of = inputs(model.graph, given)
    module = from_onnx(model, shape_dict=shape_of, keep_params_in_input=False)
    main = module["main"]
    result = main.ret_ty if hasattr(main, "ret_ty") else main.ret_struct_info
    results = list(result.fields) if hasattr(result, "fields") else [result]
    forms = [getattr(value, "ty", None) or value.struct_info for value in main.params]
    interface = {
        "schema": "aegis.tvm/1",
        "tvm": tvm.__version__,
        "target": kind,
        **({"arch": arch} if arch else {}),
        "inputs": tensors(list(shape_of), forms),
        "outputs": tensors([value.name for value in model.graph.output], results),
        "model-inputs": declared(model, "aegis.inputs"),
        "model-outputs": declared(model, "aegis.outputs"),
    }
    builder = relax.BlockBuilder()
    with builder.function("aegis_interface", []):
        builder.emit_func_output(tvm.ir.StringImm(json.dumps(interface)))
    module["aegis_interface"] = builder.get()["aegis_interface"].with_attr("global_symbol", "aegis_interface")
    if arch:
        return for_cuda.build(module, target, arch, level)
    with tvm.transform.PassContext(opt_level=level):
        return tvm.compile(module, target=target)


def main():
    """Compiles what the command line names."""
    parser = argparse.ArgumentParser(description="Compiles an ONNX model for AegisRT's backend tvm.")
    parser.add_argument("model", help="the ONNX file")
    parser.add_argument("module", help="the library to write, ending in .so")
    parser.add_argument("--shape", action="append", default=[], metavar="NAME=1,3,224,224", help="an input's shape")
    target = "`cuda`, or TVM's target of a CPU, such as '{\"kind\": \"llvm\", \"mcpu\": \"…\"}'"
    parser.add_argument("--target", default="llvm", help=target)
    parser.add_argument("--capability", metavar="9.0", help="with `cuda` the compute capability of the device")
    parser.add_argument("--level", type=int, default=2, choices=range(4), help="TVM's optimisation level")
    asked = parser.parse_args()
    try:
        import onnx

        target = json.loads(asked.target) if asked.target.startswith("{") else asked.target
        executable = compile_model(onnx.load(asked.model), shapes(asked.shape), target, asked.capability, asked.level)
        executable.export_library(asked.module)
    except ImportError as error:
        sys.exit(f"compile.py needs pip's apache-tvm and onnx, and for a CUDA device NVIDIA's compiler: {error}")
    except (Refused, ValueError, OSError) as error:
        sys.exit(f"compile.py: {asked.model}: {error}")


if __name__ == "__main__":
    main()
