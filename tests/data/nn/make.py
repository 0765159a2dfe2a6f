"""Makes `types.onnx`: python make.py (needs the package onnx). Every output is its input, one pair for each element type.

The expected values of the test are therefore the inputs themselves; no other implementation is needed.
"""

import pathlib

import onnx
from onnx import TensorProto, helper

TYPES = {
    "fp16": TensorProto.FLOAT16,
    "fp32": TensorProto.FLOAT,
    "fp64": TensorProto.DOUBLE,
    "u8": TensorProto.UINT8,
    "i32": TensorProto.INT32,
    "i64": TensorProto.INT64,
    "bool": TensorProto.BOOL,
    "i8": TensorProto.INT8,
    "u16": TensorProto.UINT16,
}

# Reshape to the same shape, because engines may drop an Identity and hand the input itself back.
shape = helper.make_tensor("shape", TensorProto.INT64, [2], [1, 2])
nodes = [helper.make_node("Reshape", [name, "shape"], [f"{name}_out"]) for name in TYPES]
inputs = [helper.make_tensor_value_info(name, of, [2]) for name, of in TYPES.items()]
outputs = [helper.make_tensor_value_info(f"{name}_out", of, [1, 2]) for name, of in TYPES.items()]
graph = helper.make_graph(nodes, "types", inputs, outputs, [shape])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
onnx.checker.check_model(model)
onnx.save(model, pathlib.Path(__file__).parent / "types.onnx")
