"""Models of the experiments that no package has: one in batches and two in segments, made of pip's `onnx` 1.23.2."""

import hashlib
import pathlib
import subprocess
import tomllib

from sets import LOOKOUT, MADE

BATCH = 32
# What is made in segments: of which model, and the values with which segments end; one is carried each time.
CUTS = {"parted": ("object", ["r56", "r119"]), "slices": ("motion", ["r52", "r113"])}


def make(folder, aegis):
    import onnx

    folder.mkdir(parents=True, exist_ok=True)
    batch = onnx.load(packaged(onnx, "object"))
    in_batches(onnx, batch.graph)
    onnx.checker.check_model(batch)
    onnx.save(batch, folder / MADE["batch"][0])
    for task, (model, at) in CUTS.items():
        whole = onnx.load(packaged(onnx, model))
        weights_last(whole.graph)
        # With types of what is carried.
        whole = onnx.shape_inference.infer_shapes(whole, data_prop=True)
        path = folder / MADE[task][0].replace(".1.", ".")
        onnx.save(whole, path)
        subprocess.run([aegis, "model", "cut", path, "--at", *at, "-o", folder], check=True)
        path.unlink()


def packaged(onnx, model):
    """Where the package has the model that examples/lookout has under this name."""
    source = tomllib.loads(LOOKOUT.read_text())["model"][model]["source"]
    path = pathlib.Path(onnx.__file__).parent / source["path"].removeprefix("onnx/")
    if hashlib.sha256(path.read_bytes()).hexdigest() != source["sha256"]:
        raise SystemExit(f"{path} is not of onnx {source['version']}")
    return path


def in_batches(onnx, graph):
    """Makes so many pictures at a time of one; the one place inside that says how many is where they become rows."""
    for port in (graph.input[0], graph.output[0]):
        port.type.tensor_type.shape.dim[0].dim_value = BATCH
    (reshape,) = [node for node in graph.node if node.op_type == "Reshape"]
    for weights in graph.initializer:
        if weights.name == reshape.input[1]:
            _, columns = onnx.numpy_helper.to_array(weights)
            weights.CopyFrom(onnx.helper.make_tensor(weights.name, onnx.TensorProto.INT64, [2], [BATCH, columns]))


def weights_last(graph):
    """Generates each weight right before what uses it, not all at the beginning, from where segments would carry them."""
    weights = {node.output[0]: node for node in graph.node if node.op_type == "ConstantOfShape"}
    nodes = []
    for node in graph.node:
        if node.output[0] not in weights:
            nodes += [weights.pop(name) for name in node.input if name in weights]
            nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
