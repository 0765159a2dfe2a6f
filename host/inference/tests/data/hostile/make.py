"""Makes model files that nobody should load: python make.py (needs the package onnx).

`refused` are found out before tract reads them, `heavy` only by trying. Nothing is checked or computed here: no checker
would let them pass.
"""

import pathlib

from onnx import TensorProto, helper

HERE = pathlib.Path(__file__).parent
F32, I64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
value = helper.make_tensor_value_info
node = helper.make_node


def ints(name, *values, dims=None):
    return helper.make_tensor(name, I64, [len(values)] if dims is None else dims, values)


def scalar(name, number, kind=I64):
    return helper.make_tensor(name, kind, [], [number])


def save(name, nodes, initializers=(), inputs=None, outputs=None, sparse=(), change=None):
    inputs = [value("x", F32, [4])] if inputs is None else inputs
    graph = helper.make_graph(nodes, name, inputs, outputs or [value("y", F32, None)], list(initializers))
    for tensor in sparse:
        graph.sparse_initializer.append(tensor)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    if change:
        change(model)
    (HERE / f"{name}.onnx").write_bytes(model.SerializeToString())


def weights(dims, kind=F32, raw=b"", external=None, name="w"):
    tensor = TensorProto(name=name, data_type=kind, dims=dims)
    if external:
        tensor.data_location = TensorProto.EXTERNAL
        for key, text in {"location": external, "offset": "0", "length": "16"}.items():
            tensor.external_data.add(key=key, value=text)
    else:
        tensor.raw_data = raw
    return tensor


ADD = [node("Add", ["x", "w"], ["y"])]

# --- refused before tract reads them ---
save("external_parent", ADD, [weights([4], external="../../../../etc/passwd")])
save("external_absolute", ADD, [weights([4], external="/etc/passwd")])
# Says that it is external and not where; and the other way round.
save("external_nowhere", ADD, [weights([4])], change=lambda m: setattr(m.graph.initializer[0], "data_location", 1))
save("external_attribute", [node("Constant", [], ["w"], value=weights([4], external="/etc/passwd")), *ADD])
branch = helper.make_graph([node("Identity", ["inner"], ["b"])], "branch", [], [value("b", F32, [4])],
                           [weights([4], external="/etc/passwd", name="inner")])
save("external_branch", [node("If", ["c"], ["y"], then_branch=branch, else_branch=branch)], [scalar("c", True, BOOL)])
sparse = helper.make_sparse_tensor(weights([1], external="/etc/passwd"), ints("i", 0), [4])
save("external_sparse", ADD, sparse=[sparse])
save("dims_huge", ADD, [weights([1 << 62, 4])])
save("dims_overflow", ADD, [weights([1 << 32, 1 << 32])])
save("dims_negative", ADD, [weights([-4], raw=bytes(16))])
save("raw_short", ADD, [weights([4], raw=bytes(15))])
save("raw_long", ADD, [weights([4], raw=bytes(17))])
lying = helper.make_tensor("w", F32, [2], [1.0, 2.0])
lying.dims[0] = 1 << 40
save("typed_short", ADD, [lying])
save("dtype_unknown", ADD, [weights([4], kind=99, raw=bytes(16))])
save("input_huge", [node("Identity", ["x"], ["y"])], inputs=[value("x", F32, [1 << 62, 1 << 62])])
save("long_name", [node("Identity", ["x"], ["y"], name="n" * 20_000)])
save("long_axis", [node("Identity", ["x"], ["y"])], inputs=[value("x", F32, ["(" * 5_000 + "n" + ")" * 5_000])])


def field(number, data):
    """One length-delimited field of protobuf, by hand: the library refuses to nest so deeply."""
    length, size = len(data), b""
    while True:
        size += bytes([length & 127 | (128 if length > 127 else 0)])
        length >>= 7
        if not length:
            return bytes([number << 3 | 2]) + size + data


graph = field(1, field(1, b"x") + field(2, b"y") + field(4, b"Identity"))
for _ in range(200):
    attribute = field(1, b"then_branch") + field(6, graph) + bytes([160, 1, 5])
    graph = field(1, field(1, b"x") + field(2, b"y") + field(4, b"If") + field(5, attribute))
(HERE / "nested.onnx").write_bytes(field(7, graph))
save("cycle", [node("Add", ["x", "b"], ["a"]), node("Neg", ["a"], ["b"]), node("Neg", ["b"], ["y"])])
save("twice", [node("Neg", ["x"], ["y"]), node("Abs", ["x"], ["y"])])

# --- heavy: small files that ask for gigabytes when they are loaded ---
save("expand", [node("Expand", ["o", "s"], ["w"]), node("ReduceSum", ["w"], ["r"], keepdims=0), node("Add", ["x", "r"], ["y"])],
     [scalar("o", 1.0, F32), ints("s", 1 << 17, 1 << 17)])
save("range", [node("Range", ["a", "b", "d"], ["i"]), node("Cast", ["i"], ["w"], to=F32), node("ReduceSum", ["w"], ["r"], keepdims=0),
               node("Add", ["x", "r"], ["y"])], [scalar("a", 0), scalar("b", 1 << 40), scalar("d", 1)])
save("one_hot", [node("OneHot", ["i", "n", "v"], ["w"]), node("ReduceSum", ["w"], ["r"], keepdims=0), node("Add", ["x", "r"], ["y"])],
     [ints("i", 1), scalar("n", 1 << 40), helper.make_tensor("v", F32, [2], [0.0, 1.0])])
# --- a length that is an expression hundreds of levels deep, which tract walks by recursion ---
steps = [step for i in range(300) for step in (node("Div", [f"d{i}", "three"], [f"h{i}"]), node("Add", [f"h{i}", "seven"], [f"d{i + 1}"]))]
# Apart from the others: it ends the process that reads it by its stack, which the child is for, and fuzzing must not begin with.
save("../stack/deep_length", [node("Shape", ["x"], ["d0"]), *steps, node("Expand", ["o", "d300"], ["w"]), node("ReduceSum", ["w"], ["r"], keepdims=0),
                     node("Add", ["x", "r"], ["y"])],
     [ints("three", 3), ints("seven", 7), helper.make_tensor("o", F32, [1], [1.0])], inputs=[value("x", F32, ["n"])], outputs=[value("y", F32, ["n"])])
# --- heavy when it runs ---
save("resize", [node("Resize", ["i", "", "s"], ["y"], mode="nearest")], [helper.make_tensor("s", F32, [4], [1, 1, 1e6, 1e6])],
     inputs=[value("i", F32, [1, 1, 8, 8])])
# As many elements as a value says, which only the run knows.
save("grow", [node("Range", ["zero", "n", "one"], ["y"])], [scalar("zero", 0), scalar("one", 1)],
     inputs=[value("n", I64, [])], outputs=[value("y", I64, None)])
# As many as the fourth power of an input's length. It goes through floats, where no symbol can follow: the model is planned
# for each length anew, and what the length asks for is computed then.
POWER = [node("Shape", ["x"], ["n"]), node("Cast", ["n"], ["f"], to=F32), node("Mul", ["f", "f"], ["f2"]), node("Mul", ["f2", "f2"], ["f4"]),
         node("Cast", ["f4"], ["e"], to=I64)]
SUM = [node("ReduceSum", ["w"], ["r"], keepdims=0), node("Add", ["x", "r"], ["y"])]
ONE = helper.make_tensor("one", F32, [1], [1.0])
SQUEEZE = node("Squeeze", ["e"], ["count"])
for name, nodes, initializers in [
    ("range", [SQUEEZE, node("Range", ["a", "count", "d"], ["i"], name="many"), node("Cast", ["i"], ["w"], to=F32)], [scalar("a", 0), scalar("d", 1)]),
    ("expand", [node("Expand", ["one", "e"], ["w"], name="many")], [ONE]),
    ("tile", [node("Tile", ["one", "e"], ["w"], name="many")], [ONE]),
    ("constant", [node("ConstantOfShape", ["e"], ["w"], name="many", value=helper.make_tensor("v", F32, [1], [2.0]))], []),
    ("one_hot", [SQUEEZE, node("OneHot", ["i", "count", "v"], ["w"], name="many")], [ints("i", 0), helper.make_tensor("v", F32, [2], [0.0, 1.0])]),
    ("resize", [node("Concat", ["ones", "e"], ["sizes"], axis=0), node("Resize", ["pixel", "", "", "sizes"], ["w"], name="many", mode="nearest")],
     [ints("ones", 1, 1, 1), helper.make_tensor("pixel", F32, [1, 1, 1, 1], [1.0])]),
    ("pad", [node("Concat", ["zero", "e"], ["pads"], axis=0), node("Pad", ["one", "pads"], ["w"], name="many")], [ints("zero", 0), ONE]),
]:
    save(f"by_length_{name}", [*POWER, *nodes, *SUM], initializers, inputs=[value("x", F32, ["n"])], outputs=[value("y", F32, ["n"])])
# Each small enough, and all together not.
several = [node("Add", ["one", f"b{i}"], [f"o{i}"]) for i in range(20)] + [node("Expand", [f"o{i}", "e"], [f"w{i}"], name=f"part{i}") for i in range(20)]
save("by_length_several", [*POWER, *several, node("Sum", [f"w{i}" for i in range(20)], ["w"]), *SUM],
     [ONE, *[helper.make_tensor(f"b{i}", F32, [1], [float(i)]) for i in range(20)]], inputs=[value("x", F32, ["n"])], outputs=[value("y", F32, ["n"])])
# --- a constant of more elements than anything should have ---
for name, attributes in [("constant_typed", {"value": helper.make_tensor("v", F32, [1], [2.0])}), ("constant_untyped", {})]:
    save(name, [node("ConstantOfShape", ["s"], ["w"], name="huge", **attributes), *SUM], [ints("s", 1 << 33)])
for operator, first in [("Expand", "one"), ("Tile", "one"), ("Reshape", "x")]:
    save(f"{operator.lower()}_long", [node(operator, [first, "s"], ["y"], name="huge")], [ints("s", 1 << 33), *([ONE] if first == "one" else [])])
save("cast_long", [node("Cast", ["x"], ["y"], name="whole", to=I64)], inputs=[value("x", TensorProto.DOUBLE, [1])], outputs=[value("y", I64, [1])])
save("constant_default", [node("ConstantOfShape", ["s"], ["y"])], [ints("s", 2)])
save("constant_output", [node("ConstantOfShape", ["s"], ["y"], name="huge")], [ints("s", 1 << 33)])
# --- what tract reads, but cannot plan, or plans and cannot run ---
save("mismatch", [node("MatMul", ["x", "w"], ["y"], name="product")], [helper.make_tensor("w", F32, [3, 2], [1.0] * 6)])
save("split_by_input", [node("Split", ["x", "s"], ["y", "z"], name="cut")], inputs=[value("x", F32, [4]), value("s", I64, [2])])
save("pad_wrap", [node("Pad", ["x", "p"], ["y"], name="around", mode="wrap")], [ints("p", 1, 1)], change=lambda m: setattr(m.opset_import[0], "version", 19))
F64 = TensorProto.DOUBLE
save("erf_double", [node("Neg", ["x"], ["n"]), node("Erf", ["n"], ["y"], name="bell")], inputs=[value("x", F64, [4])], outputs=[value("y", F64, [4])])
save("erf_double_free", [node("Erf", ["x"], ["y"], name="bell")], inputs=[value("x", F64, ["n"])], outputs=[value("y", F64, ["n"])])
save("divide", [node("Div", ["ten", "x"], ["y"])], [ints("ten", 10)], inputs=[value("x", I64, [1])], outputs=[value("y", I64, [1])])
