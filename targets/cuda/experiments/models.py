"""Models of the experiments that no package has: one in batches and one in segments, made of pip's `onnx` 1.23.2."""

import hashlib
import pathlib
import subprocess
import tomllib

from sets import LOOKOUT, MADE

BATCH = 32
# After these three segments of light_resnet50 end; one value is carried each time.
CUTS = ["r56", "r119"]


def make(folder, aegis):
    import onnx

    folder.mkdir(parents=True, exist_ok=True)
    source = tomllib.loads(LOOKOUT.read_text())["model"]["object"]["source"]
    path = pathlib.Path(onnx.__file__).parent / source["path"].removeprefix("onnx/")
    if hashlib.sha256(path.read_bytes()).hexdigest() != source["sha256"]:
        raise SystemExit(f"{path} is not of onnx {source['version']}")
    batch = onnx.load(path)
    in_batches(onnx, batch.graph)
    onnx.checker.check_model(batch)
    onnx.save(batch, folder / MADE["batch"][0])
    whole = onnx.load(path)
    weights_last(whole.graph)
    # With types of what is carried.
    whole = onnx.shape_inference.infer_shapes(whole, data_prop=True)
    onnx.save(whole, folder / "object.onnx")
    subprocess.run([aegis, "model", "cut", folder / "object.onnx", "--at", *CUTS, "-o", folder], check=True)
    (folder / "object.onnx").unlink()


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
