"""Makes `mlp.onnx`, a network 64-64-32-10 with made-up weights: python make.py (needs NumPy and onnx). For speed only."""

import pathlib

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

rng = np.random.default_rng(1)
sizes = [64, 64, 32, 10]
nodes, weights, last = [], [], "x"
for layer, (inputs, outputs) in enumerate(zip(sizes, sizes[1:])):
    w = (rng.normal(size=(inputs, outputs)) / np.sqrt(inputs)).astype(np.float32)
    weights += [numpy_helper.from_array(w, f"w{layer}"), numpy_helper.from_array(np.zeros(outputs, np.float32), f"b{layer}")]
    nodes.append(helper.make_node("Gemm", [last, f"w{layer}", f"b{layer}"], [f"h{layer}"]))
    last = f"h{layer}"
    if layer < len(sizes) - 2:
        nodes.append(helper.make_node("Relu", [last], [f"r{layer}"]))
        last = f"r{layer}"
nodes.append(helper.make_node("Softmax", [last], ["y"], axis=1))
graph = helper.make_graph(
    nodes,
    "mlp",
    [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 64])],
    [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 10])],
    weights,
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
onnx.checker.check_model(model)
onnx.save(model, pathlib.Path(__file__).parent / "mlp.onnx")
