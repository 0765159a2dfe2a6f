"""Makes the small ONNX models that the tests load: python make.py (needs the packages onnx and onnxruntime).

Prints what ONNX Runtime computes for them; the tests carry these numbers as their expectations.
"""

import pathlib

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

HERE = pathlib.Path(__file__).parent


def tensor(name, dtype, shape):
    return helper.make_tensor_value_info(name, dtype, shape)


def save(name, nodes, inputs, outputs, initializers=(), check=True):
    graph = helper.make_graph(nodes, name, inputs, outputs, list(initializers))
    opset = [helper.make_opsetid("", 17), helper.make_opsetid("com.example", 1)]
    model = helper.make_model(graph, opset_imports=opset if not check else opset[:1], ir_version=8)
    if check:
        onnx.checker.check_model(model)
    onnx.save(model, HERE / f"{name}.onnx")


def run(name, **inputs):
    session = onnxruntime.InferenceSession(HERE / f"{name}.onnx", providers=["CPUExecutionProvider"])
    for output, value in zip(session.get_outputs(), session.run(None, inputs)):
        print(f"{name}: {output.name} {value.dtype} {list(value.shape)} {value.ravel().tolist()}")


F32, I32, I64, BOOL, STRING = (
    TensorProto.FLOAT,
    TensorProto.INT32,
    TensorProto.INT64,
    TensorProto.BOOL,
    TensorProto.STRING,
)

# Fixed shapes, two inputs and two outputs of unlike types.
save(
    "add",
    [helper.make_node("Add", ["x", "y"], ["sum"]), helper.make_node("Greater", ["x", "y"], ["greater"])],
    [tensor("x", F32, [2, 2]), tensor("y", F32, [2, 2])],
    [tensor("sum", F32, [2, 2]), tensor("greater", BOOL, [2, 2])],
)

# A free batch axis: softmax(x * w + b).
rng = np.random.default_rng(7)
w = np.round(rng.normal(size=(3, 2)), 2).astype(np.float32)
b = np.round(rng.normal(size=2), 2).astype(np.float32)
save(
    "dense",
    [
        helper.make_node("MatMul", ["x", "w"], ["xw"]),
        helper.make_node("Add", ["xw", "b"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["p"], axis=1),
    ],
    [tensor("x", F32, ["batch", 3])],
    [tensor("p", F32, ["batch", 2])],
    [numpy_helper.from_array(w, "w"), numpy_helper.from_array(b, "b")],
)

# Two inputs that share a free axis, and an output that is computed from the shape.
save(
    "pair",
    [
        helper.make_node("Mul", ["x", "y"], ["product"]),
        helper.make_node("Shape", ["product"], ["shape"]),
    ],
    [tensor("x", I32, ["n"]), tensor("y", I32, ["n"])],
    [tensor("product", I32, ["n"]), tensor("shape", I64, [1])],
)

# A free axis without a name.
save(
    "nameless",
    [helper.make_node("Neg", ["x"], ["y"])],
    [tensor("x", F32, [None, 2])],
    [tensor("y", F32, [None, 2])],
)

# Rows of two, plus a bias: the number of rows goes through floats, where no symbol can follow, so tract has to know the
# length before it can plan.
save(
    "rows",
    [
        helper.make_node("Shape", ["x"], ["n"]),
        helper.make_node("Cast", ["n"], ["float_n"], to=F32),
        helper.make_node("Mul", ["float_n", "half"], ["float_rows"]),
        helper.make_node("Cast", ["float_rows"], ["rows"], to=I64),
        helper.make_node("Concat", ["rows", "two"], ["target"], axis=0),
        helper.make_node("Reshape", ["x", "target"], ["reshaped"]),
        helper.make_node("Add", ["reshaped", "bias"], ["y"]),
    ],
    [tensor("x", F32, ["n"])],
    [tensor("y", F32, ["rows", 2])],
    [
        numpy_helper.from_array(np.array([0.5], np.float32), "half"),
        numpy_helper.from_array(np.array([2], np.int64), "two"),
        numpy_helper.from_array(np.array([10, 20], np.float32), "bias"),
    ],
)

# An operator that nobody has, inside a branch, beside one at the top.
branch = helper.make_graph(
    [helper.make_node("Wobble", ["x"], ["w"], domain="com.example")], "then", [], [tensor("w", F32, [2])]
)
other = helper.make_graph([helper.make_node("Neg", ["x"], ["n"])], "else", [], [tensor("n", F32, [2])])
save(
    "exotic",
    [
        helper.make_node("If", ["flag"], ["chosen"], then_branch=branch, else_branch=other),
        helper.make_node("Frobnicate", ["chosen"], ["y"], domain="com.example"),
    ],
    [tensor("flag", BOOL, []), tensor("x", F32, [2])],
    [tensor("y", F32, [2])],
    check=False,
)

# Branches of unlike shape that `mode` decides, and after them branches that the number of axes decides, one of them with
# branches of its own that the length of an axis decides. All use the same names inside. tract cannot type them.
def number(name, *values):
    return numpy_helper.from_array(np.array(values, np.int64), name)


def choose(condition, output, then, otherwise):
    """An `If`; each branch is its nodes, its weights and the name of its result."""
    graphs = [
        helper.make_graph(nodes, name, [], [tensor(result, F32, None)], weights)
        for name, (nodes, weights, result) in [("then", then), ("else", otherwise)]
    ]
    return helper.make_node("If", [condition], [output], then_branch=graphs[0], else_branch=graphs[1])


weighted_sum = (
    [helper.make_node("Mul", ["x", "w"], ["t"]), helper.make_node("ReduceSum", ["t", "one"], ["s"], keepdims=0)],
    [numpy_helper.from_array(np.array([1, 10, 100], np.float32), "w")],
    "s",
)
negated = ([helper.make_node("Neg", ["x"], ["t"])], [], "t")
one_row = ([helper.make_node("Mul", ["t", "t"], ["s"])], [], "s")
more_rows = ([helper.make_node("Unsqueeze", ["t", "one"], ["s"])], [], "s")
flat = (
    [helper.make_node("Identity", ["chosen"], ["t"]), choose("is_one_row", "inner", one_row, more_rows)],
    [],
    "inner",
)
save(
    "branches",
    [
        helper.make_node("Equal", ["mode", "one"], ["is_sum"]),
        choose("is_sum", "chosen", weighted_sum, negated),
        helper.make_node("Shape", ["x"], ["lengths"]),
        helper.make_node("Gather", ["lengths", "zero"], ["rows"]),
        helper.make_node("Equal", ["rows", "one"], ["is_one_row"]),
        helper.make_node("Shape", ["chosen"], ["chosen_lengths"]),
        helper.make_node("Size", ["chosen_lengths"], ["axes"]),
        helper.make_node("Equal", ["axes", "one"], ["is_flat"]),
        choose("is_flat", "y", flat, ([helper.make_node("Identity", ["chosen"], ["t"])], [], "t")),
    ],
    [tensor("x", F32, ["n", 3]), tensor("mode", I64, [])],
    [tensor("y", F32, None)],
    [number("one", 1), number("zero", 0)],
    # Which wants the number of axes of the output.
    check=False,
)

# A factor for each element, and the length of its first axis is that of the other input.
save(
    "factors",
    [helper.make_node("Mul", ["x", "k"], ["y"])],
    [tensor("x", F32, ["n", 2]), tensor("k", F32, ["n", 2])],
    [tensor("y", F32, ["n", 2])],
)

# An input of strings.
save(
    "strings",
    [helper.make_node("Identity", ["text"], ["same"])],
    [tensor("text", STRING, [1])],
    [tensor("same", STRING, [1])],
)

# An output that no node computes.
save("dangling", [helper.make_node("Neg", ["x"], ["y"])], [tensor("x", F32, [1])], [tensor("z", F32, [1])], check=False)

if __name__ == "__main__":
    x = np.array([[1, 2], [3, 4]], np.float32)
    run("add", x=x, y=x.T.copy())
    run("dense", x=np.array([[0.5, -1, 2]], np.float32))
    run("dense", x=np.array([[0.5, -1, 2], [0, 0, 0], [3, 1, -1]], np.float32))
    run("pair", x=np.array([1, 2, 3], np.int32), y=np.array([4, 5, 6], np.int32))
    run("nameless", x=np.array([[1, 2]], np.float32))
    run("rows", x=np.array([5, 7, 1, 10], np.float32))
    for mode in [0, 1]:
        for rows in [1, 2]:
            run("branches", x=np.array([[1, 2, 3], [4, 5, 6]], np.float32)[:rows], mode=np.array(mode, np.int64))
    run("factors", x=np.array([[1, 2], [3, 4]], np.float32), k=np.full((2, 2), 0.5, np.float32))
