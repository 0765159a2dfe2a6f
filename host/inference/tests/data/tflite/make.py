"""Makes a TFLite model of every operator that works, and what LiteRT computes for it: python make.py

Needs ai-edge-litert 2.3.0, flatbuffers 25.12.19, numpy and tflite 2.18.0. Writes one file per case beside this script, and
cases.json: inputs and LiteRT's outputs, as flat lists.
"""

import json
import pathlib

import flatbuffers
import numpy as np
import tflite
from ai_edge_litert.interpreter import Interpreter

HERE = pathlib.Path(__file__).parent
TYPES = {
    np.dtype("float32"): tflite.TensorType.FLOAT32,
    np.dtype("float16"): tflite.TensorType.FLOAT16,
    np.dtype("int32"): tflite.TensorType.INT32,
    np.dtype("int8"): tflite.TensorType.INT8,
    np.dtype("uint8"): tflite.TensorType.UINT8,
    np.dtype("bool"): tflite.TensorType.BOOL,
}
rng = np.random.default_rng(5)
cases = {}


class Graph:
    """Collects tensors and operators, and writes them in the order in which the format wants them."""

    def __init__(self):
        self.tensors, self.operators, self.codes, self.inputs, self.outputs = [], [], [], [], []

    def tensor(self, name, shape, dtype=np.float32, value=None, signature=None, scale=None, zero=None, axis=0):
        self.tensors.append((name, list(shape), np.dtype(dtype), value, signature, scale, zero, axis))
        return len(self.tensors) - 1

    def input(self, name, shape, dtype=np.float32, **more):
        self.inputs.append(self.tensor(name, shape, dtype, **more))
        return self.inputs[-1]

    def const(self, name, value, dtype=np.float32, **more):
        value = np.asarray(value, dtype)
        return self.tensor(name, value.shape, dtype, value=value, **more)

    def op(self, code, inputs, outputs, options=None, custom=None):
        key = (code, custom)
        if key not in self.codes:
            self.codes.append(key)
        self.operators.append((self.codes.index(key), inputs, outputs, options))

    def write(self, path):
        b = flatbuffers.Builder(1024)

        def offsets(start, items):
            start(b, len(items))
            for item in reversed(items):
                b.PrependUOffsetTRelative(item)
            return b.EndVector()

        def ints(values):
            return b.CreateNumpyVector(np.asarray(values, np.int32))

        buffers = [b""] + [b"" if t[3] is None else t[3].tobytes() for t in self.tensors]
        made = []
        for data in buffers:
            vector = None
            if data:
                b.Prep(16, len(data))
                vector = b.CreateByteVector(data)
            tflite.BufferStart(b)
            if vector is not None:
                tflite.BufferAddData(b, vector)
            made.append(tflite.BufferEnd(b))
        buffers = offsets(tflite.ModelStartBuffersVector, made)
        made = []
        for index, (name, shape, dtype, _, signature, scale, zero, axis) in enumerate(self.tensors):
            name, shape = b.CreateString(name), ints(shape)
            signature = None if signature is None else ints(signature)
            quantization = None
            if scale is not None:
                scale = b.CreateNumpyVector(np.atleast_1d(np.asarray(scale, np.float32)))
                zero = b.CreateNumpyVector(np.atleast_1d(np.asarray(zero, np.int64)))
                tflite.QuantizationParametersStart(b)
                tflite.QuantizationParametersAddScale(b, scale)
                tflite.QuantizationParametersAddZeroPoint(b, zero)
                tflite.QuantizationParametersAddQuantizedDimension(b, axis)
                quantization = tflite.QuantizationParametersEnd(b)
            tflite.TensorStart(b)
            tflite.TensorAddShape(b, shape)
            tflite.TensorAddType(b, TYPES[dtype])
            tflite.TensorAddBuffer(b, index + 1)
            tflite.TensorAddName(b, name)
            if signature is not None:
                tflite.TensorAddShapeSignature(b, signature)
            if quantization is not None:
                tflite.TensorAddQuantization(b, quantization)
            made.append(tflite.TensorEnd(b))
        tensors = offsets(tflite.SubGraphStartTensorsVector, made)
        made = []
        for code, inputs, outputs, options in self.operators:
            inputs, outputs = ints(inputs), ints(outputs)
            kind, table = options(b) if options else (None, None)
            tflite.OperatorStart(b)
            tflite.OperatorAddOpcodeIndex(b, code)
            tflite.OperatorAddInputs(b, inputs)
            tflite.OperatorAddOutputs(b, outputs)
            if kind is not None:
                tflite.OperatorAddBuiltinOptionsType(b, getattr(tflite.BuiltinOptions, kind))
                tflite.OperatorAddBuiltinOptions(b, table)
            made.append(tflite.OperatorEnd(b))
        operators = offsets(tflite.SubGraphStartOperatorsVector, made)
        inputs, outputs, name = ints(self.inputs), ints(self.outputs), b.CreateString("main")
        tflite.SubGraphStart(b)
        tflite.SubGraphAddTensors(b, tensors)
        tflite.SubGraphAddInputs(b, inputs)
        tflite.SubGraphAddOutputs(b, outputs)
        tflite.SubGraphAddOperators(b, operators)
        tflite.SubGraphAddName(b, name)
        graphs = offsets(tflite.ModelStartSubgraphsVector, [tflite.SubGraphEnd(b)])
        made = []
        for code, custom in self.codes:
            custom = None if custom is None else b.CreateString(custom)
            tflite.OperatorCodeStart(b)
            tflite.OperatorCodeAddDeprecatedBuiltinCode(b, min(code, 127))
            tflite.OperatorCodeAddBuiltinCode(b, code)
            # The first version of an operator, but for one that never had it.
            tflite.OperatorCodeAddVersion(b, 2 if code == tflite.BuiltinOperator.BROADCAST_TO else 1)
            if custom is not None:
                tflite.OperatorCodeAddCustomCode(b, custom)
            made.append(tflite.OperatorCodeEnd(b))
        codes = offsets(tflite.ModelStartOperatorCodesVector, made)
        tflite.ModelStart(b)
        tflite.ModelAddVersion(b, 3)
        tflite.ModelAddOperatorCodes(b, codes)
        tflite.ModelAddSubgraphs(b, graphs)
        tflite.ModelAddBuffers(b, buffers)
        b.Finish(tflite.ModelEnd(b), b"TFL3")
        path.write_bytes(bytes(b.Output()))


def options(kind, **fields):
    """The union member and a function that writes the table with these fields; a list is a vector of integers."""

    def write(b):
        vectors = {k: b.CreateNumpyVector(np.asarray(v, np.int32)) for k, v in fields.items() if isinstance(v, list)}
        getattr(tflite, f"{kind}Start")(b)
        for field, value in fields.items():
            getattr(tflite, f"{kind}Add{field}")(b, vectors.get(field, value))
        return kind, getattr(tflite, f"{kind}End")(b)

    return write


def record(name, graph, inputs, resize=None):
    """Writes the model and what LiteRT computes for `inputs`."""
    path = HERE / f"{name}.tflite"
    graph.write(path)
    interpreter = Interpreter(str(path))
    for index, detail in enumerate(interpreter.get_input_details()):
        if resize:
            interpreter.resize_tensor_input(detail["index"], inputs[index].shape)
    interpreter.allocate_tensors()
    for detail, value in zip(interpreter.get_input_details(), inputs):
        interpreter.set_tensor(detail["index"], value)
    interpreter.invoke()
    outputs = [interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details()]
    described = lambda values: [{"dtype": str(v.dtype), "shape": list(v.shape), "values": v.ravel().tolist()} for v in values]
    names = [graph.tensors[i][0] for i in graph.inputs]
    cases.setdefault(name, []).append(
        {"inputs": dict(zip(names, described(inputs))), "outputs": described(outputs)}
    )


def floats(*shape):
    return np.round(rng.normal(size=shape), 2).astype(np.float32)


def case(op, inputs, consts=(), opts=None, out=None, out_dtype=np.float32, suffix=""):
    """A model of one operator."""
    g = Graph()
    ids = [g.input(f"x{i}", v.shape, v.dtype) for i, v in enumerate(inputs)]
    ids += [g.const(f"c{i}", v, np.asarray(v).dtype) for i, v in enumerate(consts)]
    g.outputs = [g.tensor("y", out if out is not None else inputs[0].shape, out_dtype)]
    g.op(getattr(tflite.BuiltinOperator, op), ids, g.outputs, opts)
    record(f"{op.lower()}{suffix}", g, inputs)


i32 = lambda *values: np.asarray(values, np.int32)
x = floats(1, 2, 3)
for op, kind in [("ABS", "AbsOptions"), ("COS", "CosOptions"), ("EXP", "ExpOptions"), ("HARD_SWISH", "HardSwishOptions"),
                 ("SQUARE", "SquareOptions"), ("CEIL", None), ("FLOOR", None), ("LOGISTIC", None), ("RELU", None),
                 ("RELU6", None), ("SIN", None), ("TANH", None)]:
    case(op, [x * 3], opts=options(kind) if kind else None)
for op in ["LOG", "RSQRT", "SQRT"]:
    case(op, [np.abs(x) + np.float32(0.5)])
case("LEAKY_RELU", [x], opts=options("LeakyReluOptions", Alpha=0.25))
case("SOFTMAX", [x], opts=options("SoftmaxOptions", Beta=1.0))
case("LOGICAL_NOT", [np.array([True, False, True])], opts=options("LogicalNotOptions"), out_dtype=bool)
for op in ["LOGICAL_AND", "LOGICAL_OR"]:
    kind = {"LOGICAL_AND": "LogicalAndOptions", "LOGICAL_OR": "LogicalOrOptions"}[op]
    case(op, [np.array([True, True, False, False]), np.array([True, False, True, False])], opts=options(kind), out_dtype=bool)
y = floats(1, 2, 3)
y[0, 0, 0] = x[0, 0, 0]
for op, kind in [("ADD", "AddOptions"), ("SUB", "SubOptions"), ("MUL", "MulOptions"), ("DIV", "DivOptions"),
                 ("MAXIMUM", "MaximumMinimumOptions"), ("MINIMUM", "MaximumMinimumOptions")]:
    case(op, [x, y], opts=options(kind))
case("ADD", [x], [floats(3)], options("AddOptions", FusedActivationFunction=tflite.ActivationFunctionType.RELU), suffix="_row")
for op, kind in [("EQUAL", "EqualOptions"), ("NOT_EQUAL", "NotEqualOptions"), ("LESS", "LessOptions"),
                 ("LESS_EQUAL", "LessEqualOptions"), ("GREATER", "GreaterOptions"), ("GREATER_EQUAL", "GreaterEqualOptions")]:
    case(op, [x, y], opts=options(kind), out_dtype=bool)
condition = np.array([[[True, False, True], [False, True, False]]])
for op, kind in [("SELECT", "SelectOptions"), ("SELECT_V2", "SelectV2Options")]:
    case(op, [condition, x, y], opts=options(kind))
case("BATCH_MATMUL", [floats(2, 2, 3), floats(2, 3, 4)], opts=options("BatchMatMulOptions"), out=[2, 2, 4])
case("FULLY_CONNECTED", [floats(2, 3)], [floats(4, 3), floats(4)],
     options("FullyConnectedOptions", FusedActivationFunction=tflite.ActivationFunctionType.RELU), [2, 4])
image = floats(1, 5, 4, 2)
conv = dict(Padding=tflite.Padding.SAME, StrideH=2, StrideW=1, DilationHFactor=1, DilationWFactor=1)
case("CONV_2D", [image], [floats(3, 3, 3, 2), floats(3)],
     options("Conv2DOptions", FusedActivationFunction=tflite.ActivationFunctionType.RELU6, **conv), [1, 3, 4, 3])
case("DEPTHWISE_CONV_2D", [image], [floats(1, 3, 3, 2), floats(2)],
     options("DepthwiseConv2DOptions", DepthMultiplier=1, Padding=tflite.Padding.VALID, StrideH=1, StrideW=1, DilationHFactor=1, DilationWFactor=1), [1, 3, 2, 2])
pool = dict(Padding=tflite.Padding.SAME, StrideH=2, StrideW=2, FilterHeight=2, FilterWidth=2)
for op in ["AVERAGE_POOL_2D", "MAX_POOL_2D"]:
    case(op, [image], opts=options("Pool2DOptions", **pool), out=[1, 3, 2, 2])
for op in ["RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"]:
    kind = {"RESIZE_BILINEAR": "ResizeBilinearOptions", "RESIZE_NEAREST_NEIGHBOR": "ResizeNearestNeighborOptions"}[op]
    case(op, [image], [i32(10, 8)], options(kind, HalfPixelCenters=True), [1, 10, 8, 2])
    case(op, [image], [i32(9, 7)], options(kind, AlignCorners=True), [1, 9, 7, 2], suffix="_corners")
for op in ["SUM", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD"]:
    case(op, [image], [i32(1, 2)], options("ReducerOptions", KeepDims=False), [1, 2])
    case(op, [image], [i32(3)], options("ReducerOptions", KeepDims=True), [1, 5, 4, 1], suffix="_kept")
case("BROADCAST_TO", [floats(1, 3)], [i32(2, 3)], options("BroadcastToOptions"), [2, 3])
case("CONCATENATION", [x, y], opts=options("ConcatenationOptions", Axis=-1), out=[1, 2, 6])
case("EXPAND_DIMS", [x], [np.asarray(1, np.int32)], options("ExpandDimsOptions"), [1, 1, 2, 3])
case("PAD", [x], [np.array([[0, 0], [1, 2], [0, 1]], np.int32)], options("PadOptions"), [1, 5, 4])
case("PADV2", [x], [np.array([[0, 0], [1, 0], [2, 0]], np.int32), np.asarray(7, np.float32)], options("PadV2Options"), [1, 3, 5])
case("RESHAPE", [x], [i32(3, -1)], options("ReshapeOptions", NewShape=[3, -1]), [3, 2])
case("SLICE", [image], [i32(0, 1, 0, 1), i32(1, 3, 4, 1)], options("SliceOptions"), [1, 3, 4, 1])
case("SQUEEZE", [x], opts=options("SqueezeOptions", SqueezeDims=[0]), out=[2, 3])
case("STRIDED_SLICE", [image], [i32(0, 4, 0, 0), i32(1, 0, 4, 2), i32(1, -2, 2, 1)], options("StridedSliceOptions"), [1, 2, 2, 2])
case("TRANSPOSE", [image], [i32(0, 3, 1, 2)], options("TransposeOptions"), [1, 2, 5, 4])

# A small network with a free batch, and a weight kept as float16.
g = Graph()
a = g.input("pixels", [1, 4], signature=[-1, 4])
half = g.const("half", floats(3, 4).astype(np.float16), np.float16)
w = g.tensor("w", [3, 4])
bias = g.const("b", floats(3))
dense = g.tensor("dense", [1, 3], signature=[-1, 3])
g.outputs = [g.tensor("scores", [1, 3], signature=[-1, 3])]
g.op(tflite.BuiltinOperator.DEQUANTIZE, [half], [w], options("DequantizeOptions"))
g.op(tflite.BuiltinOperator.FULLY_CONNECTED, [a, w, bias], [dense], options("FullyConnectedOptions"))
g.op(tflite.BuiltinOperator.SOFTMAX, [dense], g.outputs, options("SoftmaxOptions", Beta=1.0))
for batch in [1, 3]:
    record("small", g, [floats(batch, 4)], resize=True)


# Quantised: int8 throughout, weights per channel.
def quantised(name, code, opts, x, w=None, bias=None, out=None, w_axis=0, out_scale=0.05, out_zero=3):
    g = Graph()
    sx, zx = 0.02, -5
    ids = [g.input("x", x.shape, np.int8, scale=sx, zero=zx)]
    if w is not None:
        sw = np.linspace(0.01, 0.02, w.shape[w_axis]).astype(np.float32)
        ids.append(g.const("w", w, np.int8, scale=sw, zero=np.zeros(len(sw)), axis=w_axis))
        ids.append(g.const("b", bias, np.int32, scale=sw * np.float32(sx), zero=np.zeros(len(sw)), axis=0))
    else:
        out_scale, out_zero = sx, zx
    if name == "q_reshape":
        ids.append(g.const("shape", i32(*out), np.int32))
    g.outputs = [g.tensor("y", out, np.int8, scale=out_scale, zero=out_zero)]
    g.op(getattr(tflite.BuiltinOperator, code), ids, g.outputs, opts)
    record(name, g, [x])


def bytes8(*shape):
    return rng.integers(-100, 100, shape, np.int8)


b32 = lambda n: rng.integers(-500, 500, n, np.int32)
quantised("q_conv_2d", "CONV_2D", options("Conv2DOptions", **conv), bytes8(1, 5, 4, 2), bytes8(3, 3, 3, 2), b32(3), [1, 3, 4, 3])
quantised("q_depthwise_conv_2d", "DEPTHWISE_CONV_2D",
          options("DepthwiseConv2DOptions", DepthMultiplier=1, Padding=tflite.Padding.SAME, StrideH=1, StrideW=1, DilationHFactor=1, DilationWFactor=1),
          bytes8(1, 5, 4, 2), bytes8(1, 3, 3, 2), b32(2), [1, 5, 4, 2], w_axis=3)
quantised("q_max_pool_2d", "MAX_POOL_2D", options("Pool2DOptions", **pool), bytes8(1, 5, 4, 2), out=[1, 3, 2, 2])
quantised("q_reshape", "RESHAPE", options("ReshapeOptions", NewShape=[8, 5]), bytes8(1, 5, 4, 2), out=[8, 5])


# Refused: one operator that tract has not, one of somebody's own.
g = Graph()
a = g.input("x", [1, 4])
b = g.tensor("between", [1, 4])
g.outputs = [g.tensor("y", [1, 4])]
g.op(tflite.BuiltinOperator.CUSTOM, [a], [b], custom="com.example.Frobnicate")
g.op(tflite.BuiltinOperator.CUMSUM, [b, g.const("axis", np.asarray(1, np.int32), np.int32)], g.outputs, options("CumsumOptions"))
g.write(HERE / "exotic.tflite")

# Refused: known operators, used as tract cannot.
g = Graph()
a = g.input("x", [1, 4])
g.outputs = [g.tensor("y", [1, 4])]
g.op(tflite.BuiltinOperator.SOFTMAX, [a], g.outputs, options("SoftmaxOptions", Beta=2.0))
g.write(HERE / "sharp.tflite")
g = Graph()
a = g.input("x", [1, 4], np.int8, scale=0.1, zero=0)
g.outputs = [g.tensor("y", [1, 4], np.int8, scale=0.1, zero=0)]
g.op(tflite.BuiltinOperator.ADD, [a, a], g.outputs, options("AddOptions"))
g.write(HERE / "q_add.tflite")
g = Graph()
a = g.input("x", [1, 2, 2, 1])
g.outputs = [g.tensor("y", [1, 1])]
g.op(tflite.BuiltinOperator.MEAN, [a, g.const("axes", i32(1, 2), np.int32)], g.outputs, options("ReducerOptions"))
g.write(HERE / "mean.tflite")

(HERE / "cases.json").write_text(json.dumps(cases, indent=None, separators=(",", ":")).replace('],"', '],\n"') + "\n")
