"""Records what other implementations compute for indices, orders, activations and normalisations: python make_indices.py
writes indices.json.

Needs numpy and onnxruntime with onnx (made with 2.4.6, 1.32.0, 1.23.2). Cases are as make.py's, whose functions these
are; attributes stand under the case's name in `inference/indices.rs`, and here in the call of the other implementation.
ONNX Runtime computes whatever ONNX has; where it says nothing of a type, an index out of range or an order of axes, NumPy
does, in float64 where there is something to round.
"""

import json
import pathlib

import numpy as np
import onnxruntime
from onnx import helper

HERE = pathlib.Path(__file__).parent
DTYPES = {"bool": "boolean"}
rng = np.random.default_rng(11)
cases = {}


def plain(array):
    array = np.asarray(array)
    values = array.astype(np.float64) if array.dtype == np.float16 else array
    if array.dtype == np.float32:
        # The shortest decimals that read as the same number.
        values = np.array([float(str(x)) for x in array.ravel()])
    data = [
        str(x) if array.dtype.kind == "f" and not np.isfinite(x) else (int(x) if array.dtype.kind == "b" else x)
        for x in values.ravel().tolist()
    ]
    return {"dtype": DTYPES.get(str(array.dtype), str(array.dtype)), "shape": list(array.shape), "data": data}


def case(name, inputs, expected, tolerance=0.0):
    assert name not in cases, name
    cases[name] = {"inputs": [plain(x) for x in inputs], "expected": plain(expected), "tolerance": tolerance}


def reals(*shape, dtype=np.float32):
    return (rng.standard_normal(shape) * 2).astype(dtype)


def onnx_run(op, inputs, opset=18, **attributes):
    # An input that is None is one that ONNX's list leaves out.
    names = ["" if x is None else f"x{i}" for i, x in enumerate(inputs)]
    given = {n: np.asarray(x) for n, x in zip(names, inputs) if n}
    infos = [helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(x.dtype), x.shape) for n, x in given.items()]
    out = helper.make_empty_tensor_value_info("y")
    node = helper.make_node(op, names, ["y"], **attributes)
    graph = helper.make_graph([node], op, infos, [out])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, given)[0]


def ints(*values, dtype=np.int64):
    return np.array(values, dtype)


def held(indices, length):
    """Indices as they are meant: from the end where negative, and held to the range."""
    return np.clip(np.where(indices < 0, indices + length, indices), 0, length - 1)


# The operators of one input that make.py has not.
x = np.concatenate([reals(30), np.array([0, -0.0, 3, -3, 2.5, 100, -100, 1e-6], np.float32)])
odd = np.concatenate([x[:4], np.array([np.nan, np.inf, -np.inf], np.float32)])
double, half = x.astype(np.float64), x.astype(np.float16)
for name, op, f in [
    ("hard_swish", "HardSwish", lambda v: v * np.clip(v + 3, 0, 6) / 6),
    ("softplus", "Softplus", lambda v: np.logaddexp(0, v)),
    ("softsign", "Softsign", lambda v: v / (1 + np.abs(v))),
]:
    case(f"{name}_float32", [x], onnx_run(op, [x]), 2e-6)
    case(f"{name}_float64", [double], f(double), 1e-13)
    case(f"{name}_float16", [half], f(half.astype(np.float64)).astype(np.float16), 1e-3)
    with np.errstate(all="ignore"):
        case(f"{name}_odd", [odd], f(odd.astype(np.float64)).astype(np.float32), 2e-6)
case("is_nan_float32", [odd], onnx_run("IsNaN", [odd], 20))
case("is_infinite_float32", [odd], onnx_run("IsInf", [odd], 20))
for dtype in [np.float64, np.float16]:
    case(f"is_nan_{dtype.__name__}", [odd.astype(dtype)], np.isnan(odd))
    case(f"is_infinite_{dtype.__name__}", [odd.astype(dtype)], np.isinf(odd))
case("identity", [x.reshape(2, 19)], x.reshape(2, 19))

# Where: all three broadcast.
condition = rng.integers(0, 2, (4, 1), dtype=np.uint8) > 0
a, b = reals(3, 4, 5), reals(5)
case("where_float32", [condition, a, b], onnx_run("Where", [condition, a, b]))
case("where_condition_broadens", [condition, b, a[0, 0, :1]], onnx_run("Where", [condition, b, a[0, 0, :1]]))
case("where_one_shape", [a > 0, a, -a], onnx_run("Where", [a > 0, a, -a]))
case("where_scalars", [np.array(True), np.array(2.5), np.array(-1.0)], np.array(2.5))
case("where_uint8", [ints(0, 1, 2, 255, dtype=np.uint8), ints(1, 2, 3, 4), ints(-9)], ints(-9, 2, 3, 4))
case("where_boolean", [condition, condition, ~condition], np.where(condition, condition, ~condition))
case("where_float16", [condition, a.astype(np.float16), b.astype(np.float16)],
     np.where(condition, a.astype(np.float16), b.astype(np.float16)))
case("where_empty", [condition[:0], a[:, :1], b], np.zeros((3, 0, 5), np.float32))

# Gather.
data = reals(3, 4, 5)
index = ints(2, 0, 1, 1, 0, 2).reshape(2, 3)
for axis in range(3):
    case(f"gather_{axis}", [data, index], onnx_run("Gather", [data, index], axis=axis))
case("gather_negative", [data, ints(-1, -4, 0, dtype=np.int32)], onnx_run("Gather", [data, ints(-1, -4, 0)], axis=1))
case("gather_scalar", [data, np.array(2, np.int32)], onnx_run("Gather", [data, np.array(2, np.int32)], axis=1))
wild = ints(-(2**63), -6, -5, 4, 5, 2**63 - 1)
case("gather_held", [data, wild], np.take(data, held(wild.astype(object), 5).astype(int), 2))
case("gather_uint32", [data, ints(0, 3, 2**32 - 1, dtype=np.uint32)], data[:, [0, 3, 3]])
letters = rng.integers(0, 2, (6, 3)) > 0
case("gather_boolean", [letters, ints(5, 0)], letters[[5, 0]])
case("gather_float16", [data.astype(np.float16), index], np.take(data.astype(np.float16), index, 1))
case("gather_no_indices", [data, np.zeros((0, 2), np.int64)], np.zeros((3, 0, 2, 5), np.float32))
case("gather_of_nothing", [np.zeros((3, 0), np.float32), ints(1, 2)], np.zeros((2, 0), np.float32))
case("gather_nothing_of_nothing", [np.zeros((0, 3), np.uint8), ints()], np.zeros((0, 3), np.uint8))

# GatherElements.
for axis, shape in [(0, (6, 4, 5)), (1, (3, 2, 5)), (2, (3, 4, 7))]:
    length = data.shape[axis]
    index = rng.integers(-length, length, shape)
    case(f"gather_elements_{axis}", [data, index], onnx_run("GatherElements", [data, index], axis=axis))
index = rng.integers(-4, 4, (2, 3, 4))
case("gather_elements_shorter", [data, index], onnx_run("GatherElements", [data, index], axis=1))
index = ints(-9, 0, 9, -1, dtype=np.int32).reshape(2, 2)
table = ints(1, 2, 3, 4, 5, 6, dtype=np.uint16).reshape(2, 3)
case("gather_elements_held", [table, index], np.take_along_axis(table, held(index, 3), 1))
case("gather_elements_uint32", [table, index[:, :1].astype(np.uint32)], np.take_along_axis(table, np.array([[2], [2]]), 1))
case("gather_elements_empty", [table, np.zeros((0, 3), np.int64)], np.zeros((0, 3), np.uint16))

# GatherND.
for depth in [1, 2, 3]:
    index = np.stack([rng.integers(-length, length, (2, 3)) for length in data.shape[:depth]], -1)
    case(f"gather_nd_{depth}", [data, index], onnx_run("GatherND", [data, index]))
case("gather_nd_one", [data, ints(2, 1)], onnx_run("GatherND", [data, ints(2, 1)]))
index = ints(-7, 7, 1, 9, 0, -1, dtype=np.int32).reshape(3, 2)
small = data.astype(np.int8)
case("gather_nd_held", [small, index], small[held(index[:, 0], 3), held(index[:, 1], 4)])
case("gather_nd_uint32", [small, ints(1, 3, 2, dtype=np.uint32)], small[1, 3, 2])
case("gather_nd_whole", [small, np.zeros((2, 0), np.int64)], np.stack([small, small]))
case("gather_nd_empty", [small, np.zeros((0, 2), np.int64)], np.zeros((0, 5), np.int8))

# ScatterElements.
for axis, shape in [(0, (2, 4, 5)), (1, (3, 3, 5)), (2, (2, 4, 2))]:
    length = data.shape[axis]
    # Each place is written once: of several, ONNX says nothing.
    index = np.argsort(rng.random([length if a == axis else n for a, n in enumerate(shape)]), axis)
    index = np.take(index, range(shape[axis]), axis) - length * rng.integers(0, 2, shape)
    updates = reals(*shape)
    case(f"scatter_elements_{axis}", [data, index, updates],
         onnx_run("ScatterElements", [data, index, updates], axis=axis))
case("scatter_elements_held", [table, ints(-9, 9, 0, 1, dtype=np.int32).reshape(2, 2), table[:, :2] * 10],
     ints(10, 2, 20, 40, 50, 6, dtype=np.uint16).reshape(2, 3))
case("scatter_elements_last_stays", [ints(1, 2, 3), ints(1, 1, -2), ints(7, 8, 9)], ints(1, 9, 3))
case("scatter_elements_boolean", [letters, ints(0, 0, 0, dtype=np.uint32).reshape(1, 3), ~letters[:1]],
     np.concatenate([~letters[:1], letters[1:]]))
case("scatter_elements_no_indices", [table, np.zeros((2, 0), np.int64), np.zeros((2, 0), np.uint16)], table)

# ScatterND.
index = ints(2, 0).reshape(2, 1)
updates = reals(2, 4, 5)
case("scatter_nd_1", [data, index, updates], onnx_run("ScatterND", [data, index, updates]))
index = ints(0, 1, 2, -1, -2, 0, 0, 2).reshape(2, 2, 2)
updates = reals(2, 2, 5)
case("scatter_nd_2", [data, index, updates], onnx_run("ScatterND", [data, index, updates]))
index = ints(0, 1, 2, -1, -1, -1).reshape(2, 3)
case("scatter_nd_3", [data, index, updates[0, 0, :2]], onnx_run("ScatterND", [data, index, updates[0, 0, :2]]))
expected = small.copy()
expected[2, 0] = small[0, 0]
case("scatter_nd_held", [small, ints(5, -9, dtype=np.int32), small[0, 0]], expected)
case("scatter_nd_last_stays", [ints(1, 2, 3), ints(1, 1, dtype=np.uint32).reshape(2, 1), ints(7, 8)], ints(1, 8, 3))
case("scatter_nd_whole", [ints(1, 2), np.zeros((1, 0), np.int64), ints(3, 4).reshape(1, 2)], ints(3, 4))
case("scatter_nd_no_indices", [small, np.zeros((0, 1), np.int64), np.zeros((0, 4, 5), np.int8)], small)

# Triangular.
matrix = reals(2, 4, 5)
for diagonal in [-9, -3, -1, 0, 1, 2, 9]:
    for upper in [True, False]:
        case(f"triangular_{'upper' if upper else 'lower'}_{diagonal}", [matrix],
             onnx_run("Trilu", [matrix, np.array(diagonal, np.int64)], upper=int(upper)))
case("triangular_tall_int64", [ints(*range(1, 11)).reshape(5, 2)], np.triu(ints(*range(1, 11)).reshape(5, 2), -1))
case("triangular_boolean", [np.ones((3, 3), bool)], np.tril(np.ones((3, 3), bool), -1))
case("triangular_float16", [matrix.astype(np.float16)], np.tril(matrix.astype(np.float16)))
case("triangular_least", [matrix], matrix)
case("triangular_greatest", [matrix], np.zeros_like(matrix))
case("triangular_empty", [matrix[:, :0]], matrix[:, :0])

# CumulativeSum.
for axis in range(3):
    for exclusive in [0, 1]:
        for reverse in [0, 1]:
            expected = onnx_run("CumSum", [data, np.array(axis, np.int64)], exclusive=exclusive, reverse=reverse)
            case(f"cumulative_sum_{axis}_{exclusive}_{reverse}", [data], expected, 1e-6)
for dtype in ["int32", "uint32", "int64", "uint64"]:
    info = np.iinfo(dtype)
    numbers = np.array([[info.max, 3, info.max], [5, info.min, 7]], dtype)
    case(f"cumulative_sum_{dtype}", [numbers], numbers.cumsum(1, dtype))
double, half = data.astype(np.float64), data.astype(np.float16)
case("cumulative_sum_float64", [double], double.cumsum(1), 1e-14)
case("cumulative_sum_float16", [half], half.astype(np.float64).cumsum(1).astype(np.float16), 1e-3)
case("cumulative_sum_empty", [data[:0]], data[:0])

# Reverse and tile.
whole = np.arange(120, dtype=np.int16).reshape(2, 3, 4, 5)
for axes in ["0", "1", "2", "3", "01", "12", "23", "02", "13", "03", "013", "0123"]:
    case(f"reverse_{axes}", [whole], np.flip(whole, [int(axis) for axis in axes]))
case("reverse_all", [whole], np.flip(whole))
case("reverse_none", [whole], whole)
case("reverse_boolean", [letters], letters[:, ::-1])
case("reverse_ones", [whole.reshape(2, 1, 12, 1, 5)], whole.reshape(2, 1, 12, 1, 5)[::-1, :, ::-1])
case("reverse_empty", [whole[:, :0]], whole[:, :0])
case("reverse_scalar", [np.array(7, np.uint64)], np.array(7, np.uint64))
tiny = reals(2, 1, 3)
for name, times in [("2_3_2", [2, 3, 2]), ("1_1_4", [1, 1, 4]), ("3_1_1", [3, 1, 1]), ("1_5_1", [1, 5, 1])]:
    case(f"tile_{name}", [tiny], onnx_run("Tile", [tiny, ints(*times)]))
case("tile_once", [tiny], tiny)
case("tile_boolean", [letters], np.tile(letters, (1, 2)))
case("tile_never", [tiny], np.zeros((2, 0, 3), np.float32))
case("tile_empty", [tiny[:0]], np.zeros((0, 2, 9), np.float32))
case("tile_scalar", [np.array(7, np.uint64)], np.array(7, np.uint64))

# Activations.
double, half = x.astype(np.float64), x.astype(np.float16)
for name, op, attributes, f in [
    ("elu", "Elu", {"alpha": 1.5}, lambda v: np.where(v > 0, v, 1.5 * np.expm1(np.minimum(v, 0)))),
    ("hard_sigmoid", "HardSigmoid", {"alpha": 0.3, "beta": 0.4}, lambda v: np.clip(0.3 * v + 0.4, 0, 1)),
    ("leaky_relu", "LeakyRelu", {"alpha": 0.1}, lambda v: np.where(v > 0, v, 0.1 * v)),
]:
    case(f"{name}_float32", [x], onnx_run(op, [x], **attributes), 2e-6)
    case(f"{name}_float64", [double], f(double), 1e-14)
    case(f"{name}_float16", [half], f(half.astype(np.float64)).astype(np.float16), 1e-3)
    with np.errstate(all="ignore"):
        case(f"{name}_odd", [odd], f(odd.astype(np.float64)).astype(np.float32), 2e-6)
slope = reals(4, 1)
case("prelu_float32", [data, slope], onnx_run("PRelu", [data, slope]))
case("prelu_scalar", [data, slope[:1, 0]], onnx_run("PRelu", [data, slope[:1, 0]]))
case("prelu_same_float64", [double := data.astype(np.float64), double], np.where(double > 0, double, double * double), 1e-15)
half, slim = data.astype(np.float16), slope.astype(np.float16)
case("prelu_float16", [half, slim], np.where(half > 0, half, half.astype(np.float32) * slim).astype(np.float16))
for dtype in [np.int8, np.int32, np.int64]:
    numbers = np.array([[-128, -7, 0], [5, 127, -1]], dtype)
    with np.errstate(all="ignore"):
        case(f"prelu_{dtype.__name__}", [numbers, ints(3, -2, 1, dtype=dtype)],
             np.where(numbers > 0, numbers, numbers * ints(3, -2, 1, dtype=dtype)))
case("prelu_empty", [data[:, :, :0], slope], data[:, :, :0])


# Normalisations.
def normalised(v, axes, epsilon, scale=1.0, bias=0.0):
    v = v.astype(np.float64)
    mean, variance = v.mean(axes, keepdims=True), v.var(axes, keepdims=True)
    return (v - mean) / np.sqrt(variance + epsilon) * scale + bias


image = reals(2, 3, 4, 5)
mean, variance, scale, bias = reals(3), np.abs(reals(3)) + np.float32(0.1), reals(3), reals(3)
expected = onnx_run("BatchNormalization", [image, scale, bias, mean, variance], epsilon=1e-3)
case("batch_normalization", [image, mean, variance, scale, bias], expected, 2e-6)
last = np.ascontiguousarray(image.transpose(0, 2, 3, 1))
case("batch_normalization_last", [last, mean, variance, scale, bias], expected.transpose(0, 2, 3, 1), 2e-6)


def batch(v, axis, epsilon, mean, variance, scale=1.0, bias=0.0):
    shape = [-1 if a == axis else 1 for a in range(v.ndim)]
    wide = [np.reshape(p, shape).astype(np.float64) if np.ndim(p) else p for p in (mean, variance, scale, bias)]
    mean, variance, scale, bias = wide
    return (v.astype(np.float64) - mean) / np.sqrt(variance + epsilon) * scale + bias


case("batch_normalization_plain", [image, mean, variance], batch(image, 1, 1e-5, mean, variance).astype(np.float32), 2e-6)
case("batch_normalization_scale", [image, mean, variance, scale],
     batch(image, 1, 1e-5, mean, variance, scale).astype(np.float32), 2e-6)
case("batch_normalization_bias", [image, mean, variance, bias],
     batch(image, 1, 1e-5, mean, variance, bias=bias).astype(np.float32), 2e-6)
for dtype, tolerance in [(np.float64, 1e-13), (np.float16, 2e-3)]:
    given = [v.astype(dtype) for v in (image, mean, variance, scale, bias)]
    case(f"batch_normalization_{dtype.__name__}", given, batch(given[0], 1, 1e-5, *given[1:]).astype(dtype), tolerance)
case("batch_normalization_line", [mean, mean * 0, variance], batch(mean, 0, 0.5, mean * 0, variance).astype(np.float32), 2e-6)
case("batch_normalization_empty", [image[:0], mean, variance], image[:0])

expected = onnx_run("InstanceNormalization", [image, scale, bias], epsilon=1e-3)
case("instance_normalization", [image, scale, bias], expected, 2e-6)
case("instance_normalization_last", [last, scale, bias], expected.transpose(0, 2, 3, 1), 2e-6)
case("instance_normalization_plain", [image], normalised(image, (2, 3), 1e-5).astype(np.float32), 2e-6)
case("instance_normalization_scale", [last, scale], normalised(last, (1, 2), 1e-5, scale).astype(np.float32), 2e-6)
case("instance_normalization_bias", [last, bias], normalised(last, (1, 2), 1e-5, bias=bias).astype(np.float32), 2e-6)
for dtype, tolerance in [(np.float64, 1e-13), (np.float16, 2e-3)]:
    given = [v.astype(dtype) for v in (image, scale, bias)]
    wide = [v.astype(np.float64).reshape(3, 1, 1) for v in given[1:]]
    case(f"instance_normalization_{dtype.__name__}", given, normalised(given[0], (2, 3), 1e-5, *wide).astype(dtype), tolerance)
case("instance_normalization_empty", [image[:, :, :0]], image[:, :, :0])

for axis in [1, 2, 3]:
    scale, bias = reals(*image.shape[axis:]), reals(*image.shape[axis:])
    case(f"layer_normalization_from_{axis}", [image, scale, bias],
         onnx_run("LayerNormalization", [image, scale, bias], axis=axis, epsilon=1e-3), 4e-6)
scale, bias = reals(3), reals(3)
shaped = [v.reshape(3, 1, 1) for v in (scale, bias)]
case("layer_normalization_channels", [image, scale, bias], normalised(image, (1,), 1e-5, *shaped).astype(np.float32), 4e-6)
scale, bias = reals(5, 2, 3), reals(5, 2, 3)
turned = [v.transpose(1, 2, 0).reshape(2, 3, 1, 5) for v in (scale, bias)]
case("layer_normalization_any_order", [image, scale, bias],
     normalised(image, (0, 1, 3), 1e-5, *turned).astype(np.float32), 4e-6)
scale = reals(5, 4)
case("layer_normalization_scale", [image, scale], normalised(image, (2, 3), 1e-5, scale.T).astype(np.float32), 4e-6)
case("layer_normalization_bias", [image, scale], normalised(image, (2, 3), 1e-5, bias=scale.T).astype(np.float32), 4e-6)
case("layer_normalization_plain", [image], normalised(image, (1, 2, 3), 1e-5).astype(np.float32), 4e-6)
# Longer than what is summed at once, in whole numbers, which take less room.
long, scale, bias = np.rint(reals(1, 1030) * 8), np.rint(reals(1030)), np.rint(reals(1030))
case("layer_normalization_long", [long, scale, bias], onnx_run("LayerNormalization", [long, scale, bias], epsilon=1e-5), 4e-6)
far = np.rint(rng.standard_normal((1, 1030)) * 4 + 4096).astype(np.float32)
case("layer_normalization_far_from_0", [far], normalised(far, (1,), 1e-5).astype(np.float32), 1e-5)
for dtype, tolerance in [(np.float64, 1e-13), (np.float16, 2e-3)]:
    given = [v.astype(dtype) for v in (image, reals(4, 5), reals(4, 5))]
    case(f"layer_normalization_{dtype.__name__}", given,
         normalised(given[0], (2, 3), 1e-5, *[v.astype(np.float64) for v in given[1:]]).astype(dtype), tolerance)
case("layer_normalization_no_axes", [mean, np.array(3, np.float32), np.array(0.25, np.float32)], np.full(3, 0.25, np.float32))
case("layer_normalization_line", [mean], np.zeros(3, np.float32))
case("layer_normalization_scalar", [mean[0]], np.array(0, np.float32))
case("layer_normalization_equal", [np.full((2, 37), 0.1, np.float32)], np.zeros((2, 37), np.float32))
case("layer_normalization_nan", [np.array([[1, np.inf, 2], [np.nan, 1, 2], [7, 7, 7]], np.float32)],
     np.array([[np.nan] * 3, [np.nan] * 3, [0] * 3], np.float32))
case("layer_normalization_empty", [image[:, :, :0]], image[:, :, :0])

(HERE / "indices.json").write_text(
    "{\n" + ",\n".join(f"{json.dumps(name)}: {json.dumps(value)}" for name, value in cases.items()) + "\n}\n"
)
print(len(cases), "cases")
