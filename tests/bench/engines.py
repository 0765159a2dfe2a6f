"""Models for the benchmark of kernels, and ONNX Runtime that runs them.

    engines.py make FOLDER WEIGHTS < convolutions as JSON
    engines.py serve

`make` writes one ONNX file per convolution, and the sentence encoder of `embed` as PyTorch exports it: with the weights
that products need already transposed. `serve` reads lines of JSON (`model`, `threads`, `milliseconds`) and answers each
with the nanoseconds that the runs took, on so many threads at once of which each runs the model alone.
"""

import json
import sys
import threading
import time
from pathlib import Path

import numpy as np


def make(folder, weights):
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    def save(name, nodes, inputs, outputs, constants):
        constants = [numpy_helper.from_array(array, name) for name, array in constants.items()]
        graph = helper.make_graph(nodes, name, inputs, outputs, constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.checker.check_model(model)
        onnx.save(model, str(folder / f"{name}.onnx"))

    def floats(name, shape):
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    for name, shape in json.load(sys.stdin).items():
        filters = np.random.default_rng(1).standard_normal(shape["filter"], dtype=np.float32) * np.float32(0.1)
        half, stride = shape["filter"][2] // 2, shape["stride"]
        node = helper.make_node(
            "Conv", ["x", "w"], ["y"], pads=[half] * 4, strides=[stride] * 2, group=shape["groups"]
        )
        size = (shape["input"][2] + 2 * half - shape["filter"][2]) // stride + 1
        output = [1, shape["filter"][0], size, size]
        save(name, [node], [floats("x", shape["input"])], [floats("y", output)], {"w": filters})
    encoder(weights, save, floats, helper, TensorProto)


def safetensors(path):
    """All tensors of a file, by their names."""
    content = path.read_bytes()
    begin = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:begin])
    tensors = {}
    for name, entry in header.items():
        if name != "__metadata__" and entry["dtype"] == "F32":
            first, last = entry["data_offsets"]
            tensors[name] = np.frombuffer(content[begin + first : begin + last], np.float32).reshape(entry["shape"])
    return tensors


def encoder(path, save, floats, helper, types, rows=1, length=64, heads=12, layers=6):
    weights, constants, nodes = safetensors(path), {}, []

    def constant(name, array):
        constants.setdefault(name, np.ascontiguousarray(array))
        return name

    def node(operator, *inputs, **attributes):
        output = f"v{len(nodes)}"
        nodes.append(helper.make_node(operator, list(inputs), [output], **attributes))
        return output

    def weight(name):
        return constant(name, weights[name])

    def scalar(value):
        return constant(f"scalar {value}", np.float32(value))

    def shape(*lengths):
        return constant(f"shape {lengths}", np.array(lengths, np.int64))

    def dense(name, x):
        product = node("MatMul", x, constant(f"{name} transposed", weights[f"{name}.weight"].T))
        return node("Add", weight(f"{name}.bias"), product)

    def normalization(name, x):
        scale, bias = weight(f"{name}.LayerNorm.weight"), weight(f"{name}.LayerNorm.bias")
        return node("LayerNormalization", x, scale, bias, axis=-1, epsilon=1e-12)

    width = 384 // heads
    words = node("Gather", weight("embeddings.word_embeddings.weight"), "ids")
    places = constant("places", weights["embeddings.position_embeddings.weight"][:length])
    kinds = constant("kind", weights["embeddings.token_type_embeddings.weight"][:1])
    hidden = normalization("embeddings", node("Add", node("Add", words, kinds), places))
    for layer in range(layers):
        name = f"encoder.layer.{layer}"

        def part(which, order):
            heads_of = node("Reshape", dense(f"{name}.attention.self.{which}", hidden), shape(rows, length, heads, width))
            return node("Transpose", heads_of, perm=order)

        query, key, value = part("query", [0, 2, 1, 3]), part("key", [0, 2, 3, 1]), part("value", [0, 2, 1, 3])
        scores = node("Div", node("MatMul", query, key), scalar(np.sqrt(width)))
        weighted = node("Softmax", node("Add", scores, "mask"), axis=-1)
        context = node("Transpose", node("MatMul", weighted, value), perm=[0, 2, 1, 3])
        context = node("Reshape", context, shape(rows, length, 384))
        attended = dense(f"{name}.attention.output.dense", context)
        hidden = normalization(f"{name}.attention.output", node("Add", attended, hidden))
        wide = dense(f"{name}.intermediate.dense", hidden)
        erf = node("Erf", node("Div", wide, scalar(np.sqrt(2))))
        wide = node("Mul", node("Mul", wide, node("Add", erf, scalar(1.0))), scalar(0.5))
        hidden = normalization(f"{name}.output", node("Add", dense(f"{name}.output.dense", wide), hidden))
    nodes.append(helper.make_node("MatMul", ["shares", hidden], ["means"]))
    ids = helper.make_tensor_value_info("ids", types.INT64, [rows, length])
    inputs = [ids, floats("mask", [rows, 1, 1, length]), floats("shares", [rows, 1, length])]
    save("encoder", nodes, inputs, [floats("means", [rows, 1, 384])], constants)


def serve():
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    sessions = {}

    def session(path):
        if path not in sessions:
            sessions[path] = onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])
        return sessions[path]

    def value(of):
        count = int(np.prod(of.shape))
        if of.type == "tensor(int64)":
            return (1000 + np.arange(count, dtype=np.int64)).reshape(of.shape)
        if of.name == "mask":
            return np.zeros(of.shape, np.float32)
        return ((np.arange(count) * 7919 % 1013) / 1013 - 0.5).astype(np.float32).reshape(of.shape)

    for line in sys.stdin:
        question = json.loads(line)
        runner = session(question["model"])
        inputs = {of.name: value(of) for of in runner.get_inputs()}
        took = []

        def run():
            runner.run(None, inputs)
            started, mine = time.perf_counter_ns(), []
            while len(mine) < 2 or time.perf_counter_ns() - started < question["milliseconds"] * 1e6:
                begun = time.perf_counter_ns()
                runner.run(None, inputs)
                mine.append(time.perf_counter_ns() - begun)
            took.extend(mine)

        threads = [threading.Thread(target=run) for _ in range(question["threads"])]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print(json.dumps(took), flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["make"]:
        make(Path(sys.argv[2]), Path(sys.argv[3]))
    else:
        serve()
