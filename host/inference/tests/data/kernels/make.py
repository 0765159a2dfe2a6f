"""Records what other implementations compute for the kernels: python make.py writes kernels.json, and pictures.

Needs numpy, opencv-python-headless, pillow and onnxruntime with onnx (made with 2.4.6, 5.0.0, 13.0.0, 1.32.0, 1.23.2).
Each case has inputs, the expected result, and how far off a result may be, relative to numbers above 1. The operator's
attributes stand under the case's name in `inference/kernels.rs`, and here in the call of the other implementation. The
pictures are noise, smoothed.
"""

import io
import json
import pathlib

import cv2
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper
from PIL import Image, ImageOps

HERE = pathlib.Path(__file__).parent
DTYPES = {"bool": "boolean"}
rng = np.random.default_rng(7)
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


def bytes_(*shape):
    return rng.integers(0, 256, shape, dtype=np.uint8)


def onnx_run(op, inputs, opset=18, **attributes):
    names = [f"x{i}" for i in range(len(inputs))]
    infos = [
        helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(x.dtype), x.shape)
        for n, x in zip(names, inputs)
    ]
    out = helper.make_empty_tensor_value_info("y")
    node = helper.make_node(op, names, ["y"], **attributes)
    graph = helper.make_graph([node], op, infos, [out])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, dict(zip(names, inputs)))[0]


# Views and cast: NumPy.
x = reals(2, 3, 4)
case("reshape", [x], x.reshape(4, 6))
case("expand", [x[:, :1]], np.broadcast_to(x[:, :1], (5, 2, 3, 4)))
case("transpose", [x], x.transpose(2, 0, 1))
case("transpose_reversed", [x], x.T)
case("slice", [x], x[1:2, 0:3:2, 1:4:2])
case("slice_of_transpose", [x], x.transpose(2, 1, 0)[1:4:2, :, 1:2])
case("reshape_of_transpose", [x], x.transpose(1, 2, 0).reshape(6, 4))
wild = np.array([0, -0.0, 1.5, -1.5, 300.7, -300.7, 70000.0, 1e10, -1e10, np.nan, np.inf, -np.inf], np.float32)
for dtype in ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"]:
    info = np.iinfo(dtype)
    # Python's integers saturate exactly where NumPy's casts are undefined.
    exact = [0 if np.isnan(v) else max(info.min, min(info.max, int(np.clip(v, -2.0**70, 2.0**70)))) for v in wild]
    case(f"cast_float32_{dtype}", [wild], np.array(exact, dtype))
with np.errstate(all="ignore"):
    case("cast_float32_float16", [wild], wild.astype(np.float16))
case("cast_float32_boolean", [wild], wild.astype(bool))
wide = np.array([-(2**40), -129, -1, 0, 1, 127, 128, 255, 256, 2**40], np.int64)
for dtype in ["int8", "uint8", "int32", "uint64"]:
    info = np.iinfo(dtype)
    case(f"cast_int64_{dtype}", [wide], np.array([max(info.min, min(info.max, int(v))) for v in wide], dtype))
case("cast_int64_float32", [wide], wide.astype(np.float32))
case("cast_uint8_float32_transposed", [bytes_(4, 5, 3)], np.zeros(0, np.float32))
pixels = np.array(cases["cast_uint8_float32_transposed"]["inputs"][0]["data"], np.uint8).reshape(4, 5, 3)
cases["cast_uint8_float32_transposed"]["expected"] = plain(pixels.transpose(2, 0, 1).astype(np.float32))

# Elementwise: NumPy, and ONNX Runtime for erf and gelu.
x = np.concatenate([reals(40), np.array([0, -0.0, 0.5, 1.5, 2.5, -0.5, -2.5, np.nan, np.inf, -np.inf], np.float32)])
with np.errstate(all="ignore"):
    for name, f in {
        "abs": np.abs, "ceil": np.ceil, "cos": np.cos, "exp": np.exp, "floor": np.floor, "log": np.log,
        "neg": np.negative, "reciprocal": np.reciprocal, "round_even": np.rint, "sign": np.sign, "sin": np.sin,
        "sqrt": np.sqrt, "tan": np.tan, "tanh": np.tanh, "relu": lambda v: np.where(v < 0, 0, v).astype(v.dtype),
        "sigmoid": lambda v: (1 / (1 + np.exp(-v))).astype(v.dtype),
    }.items():
        case(f"{name}_float32", [x], f(x), 2e-6)
        case(f"{name}_float64", [x.astype(np.float64)], f(x.astype(np.float64)), 1e-13)
        half = x.astype(np.float16)
        case(f"{name}_float16", [half], f(half.astype(np.float32)).astype(np.float16), 1e-3)
finite = x[np.isfinite(x)]
case("erf_float32", [finite], onnx_run("Erf", [finite]), 1e-6)
case("gelu_float32", [finite], onnx_run("Gelu", [finite], opset=20), 1e-6)
small = np.array([-128, -5, 0, 7, 127], np.int8)
case("abs_int8", [small], np.abs(small))
case("neg_int8", [small], np.negative(small))
case("sign_int64", [wide], np.sign(wide))
case("relu_int32", [small.astype(np.int32)], np.maximum(small.astype(np.int32), 0))
case("logical_not_uint8", [np.array([0, 1, 7], np.uint8)], np.array([True, False, False]))
case("logical_not_boolean", [np.array([True, False])], np.array([False, True]))
x = reals(3, 4)
case("linear_float32", [x], x * np.float32(0.25) + np.float32(-1.5), 1e-6)
case("linear_float64", [x.astype(np.float64)], x.astype(np.float64) * 0.25 - 1.5, 1e-12)
case("linear_float16_of_transpose", [x.astype(np.float16)], (x.astype(np.float16) * np.float16(0.25) - np.float16(1.5)).T, 2e-3)
case("clamp_float32", [x], np.clip(x, -0.5, 1.25))
case("clamp_int8", [small], np.clip(small, 1, 100))
case("clamp_below_only", [x], np.maximum(x, 0.5))

# Binary, with broadcasting.
a, b = reals(2, 3, 4), reals(3, 1)
b[0, 0] = np.nan
with np.errstate(all="ignore"):
    for name, f in {
        "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide, "max": np.maximum, "min": np.minimum,
        "pow": np.power, "equal": np.equal, "not_equal": np.not_equal, "greater": np.greater,
        "greater_or_equal": np.greater_equal, "lesser": np.less, "lesser_or_equal": np.less_equal,
    }.items():
        case(f"{name}_float32", [a, b], f(a, b), 1e-6)
        case(f"{name}_scalar_float64", [np.array(1.5), a.astype(np.float64)], f(np.array(1.5), a.astype(np.float64)), 1e-13)
        case(f"{name}_same_float16", [a.astype(np.float16), a.astype(np.float16)[::-1].copy()],
             f(a.astype(np.float16), a.astype(np.float16)[::-1]), 1e-3)
        i, j = np.array([[-128, -7, 0, 5, 127]], np.int8), np.array([[1], [2], [3]], np.int8)
        # ONNX and WebNN divide integers towards 0, NumPy's quotient is a float.
        expected = np.trunc(np.divide(i, j)).astype(np.int8) if name == "div" else f(i, j)
        case(f"{name}_int8", [i, j], expected)
case("add_wraps_uint8", [np.array([250], np.uint8), np.array([10], np.uint8)], np.array([4], np.uint8))
t, u = np.array([[True], [False]]), np.array([True, False])
case("logical_and", [t, u], t & u)
case("logical_or", [t, u], t | u)
case("logical_xor", [t, u], t ^ u)
case("logical_and_uint8", [np.array([2, 0, 4], np.uint8), np.array([1, 1, 0], np.uint8)], np.array([True, False, False]))
case("add_of_views", [a, b], a.transpose(2, 1, 0) + b)
case("add_empty", [np.zeros((0, 3), np.float32), np.ones(3, np.float32)], np.zeros((0, 3), np.float32))

# Concat and pad: NumPy.
p, q, r = bytes_(2, 3, 2), bytes_(2, 1, 2), bytes_(2, 0, 2)
case("concat_1", [p, q, r], np.concatenate([p, q, r], 1))
case("concat_0", [p, p], np.concatenate([p, p], 0))
case("concat_of_transposes", [p, q], np.concatenate([p.T, q.T], 1))
x = reals(3, 4, 2)
width = [(1, 2), (0, 3), (1, 0)]
case("pad_constant", [x], np.pad(x, width, constant_values=7.5))
case("pad_edge", [x], np.pad(x, width, mode="edge"))
case("pad_reflection", [x], np.pad(x, width, mode="reflect"))
case("pad_constant_uint8", [p], np.pad(p, [(0, 1), (2, 0), (0, 0)], constant_values=255))
case("pad_empty", [r], np.pad(r, [(0, 0), (1, 1), (0, 0)], constant_values=9))


# Resample2d: ONNX Runtime's Resize by half pixels on floats; OpenCV on images of bytes.
def resize(x, sizes, mode):
    model_mode = {"nearest": "nearest", "linear": "linear", "cubic": "cubic"}[mode]
    nodes = [helper.make_node("Resize", ["x", "", "", "s"], ["y"], mode=model_mode,
                              coordinate_transformation_mode="half_pixel", nearest_mode="round_prefer_floor", cubic_coeff_a=-0.75)]
    graph = helper.make_graph(nodes, "r", [helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)],
                              [helper.make_empty_tensor_value_info("y")],
                              [helper.make_tensor("s", TensorProto.INT64, [4], list(sizes))])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]


x = reals(1, 2, 5, 7)
for mode in ["nearest", "linear", "cubic"]:
    case(f"resample2d_{mode}_up", [x], resize(x, (1, 2, 8, 13), mode), 2e-5)
    case(f"resample2d_{mode}_down", [x], resize(x, (1, 2, 3, 4), mode), 2e-5)
# Halfway cases: halves go down, as in WebNN.
case("resample2d_nearest_half", [x[:, :, :4, :6]], resize(x[:, :, :4, :6].copy(), (1, 2, 2, 3), "nearest"))
image = bytes_(9, 11, 3)
gray = bytes_(9, 11)
four = bytes_(9, 11, 4)
five = bytes_(6, 7, 5)
for mode, flag in [("linear", cv2.INTER_LINEAR), ("cubic", cv2.INTER_CUBIC)]:
    for size in [(5, 6), (20, 17), (9, 23)]:
        case(f"resample2d_{mode}_uint8_{size[0]}_{size[1]}", [image], cv2.resize(image, size[::-1], interpolation=flag), 1)
    case(f"resample2d_{mode}_gray", [gray], cv2.resize(gray, (17, 20), interpolation=flag), 1)
    case(f"resample2d_{mode}_rgba", [four], cv2.resize(four, (17, 20), interpolation=flag), 1)
    channels = [cv2.resize(np.ascontiguousarray(five[..., c]), (9, 4), interpolation=flag) for c in range(5)]
    case(f"resample2d_{mode}_five", [five], np.stack(channels, -1), 1)
case("resample2d_of_slice", [image], cv2.resize(np.ascontiguousarray(image[2:8, 3:10]), (12, 5), interpolation=cv2.INTER_LINEAR), 1)

# Warp: OpenCV, whose coordinates are fractions of 32, so the maps here are too, but for the last.
image = cv2.GaussianBlur(bytes_(24, 30, 3), (0, 0), 1.5)
plane = reals(12, 14)
BORDERS = {"constant": cv2.BORDER_CONSTANT, "edge": cv2.BORDER_REPLICATE, "reflection": cv2.BORDER_REFLECT_101}
MODES = {"nearest": cv2.INTER_NEAREST, "linear": cv2.INTER_LINEAR, "cubic": cv2.INTER_CUBIC}
turn = np.array([[0.5, 0.25, 2.25], [-0.25, 0.75, 4.5], [0, 0, 1]])
for mode, flag in MODES.items():
    for border, kind in BORDERS.items():
        if mode == "nearest":
            shift = np.array([[1, 0, -3.0], [0, -1, 20.0], [0, 0, 1]])
        else:
            shift = turn * 1.0
            shift[:2, 2] -= 4
        for name, source in [("float32", plane), ("uint8", image)]:
            out = cv2.warpPerspective(source, shift, (21, 16), flags=flag | cv2.WARP_INVERSE_MAP, borderMode=kind,
                                      borderValue=(9, 9, 9))
            case(f"warp_{mode}_{border}_{name}", [source], out, 1 if name == "uint8" else 1e-4)
quad = cv2.getPerspectiveTransform(np.float32([[0, 0], [31, 0], [31, 11], [0, 11]]),
                                   np.float32([[4.3, 6.1], [26.2, 3.4], [27.9, 15.2], [3.1, 19.8]]))
out = cv2.warpPerspective(image, quad, (32, 12), flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE)
case("warp_crop", [image, quad], out, 5)

# Extremes and reductions: NumPy.
x = reals(3, 5, 4)
case("arg_max_last", [x], x.argmax(2).astype(np.int64))
case("arg_max_middle", [x], x.argmax(1).astype(np.int32))
case("arg_min_kept", [x], x.argmin(1, keepdims=True).astype(np.int64))
same = np.array([[1, 3, 3], [2, 2, 1]], np.uint8)
case("arg_max_ties", [same], same.argmax(1).astype(np.int64))
case("arg_min_ties", [same], same.argmin(1).astype(np.int64))
gaps = np.array([[1, np.nan, 9], [np.nan, 2, 3], [5, 6, 7]], np.float32)
case("arg_max_nan", [gaps], gaps.argmax(1).astype(np.int64))
case("arg_max_nan_columns", [gaps], gaps.argmax(0).astype(np.int64))
positive = np.abs(x) + np.float32(0.1)
for name, f in {
    "l1": lambda v, **k: np.abs(v).sum(**k), "l2": lambda v, **k: np.sqrt((v * v).sum(**k)),
    "log_sum": lambda v, **k: np.log(v.sum(**k)), "log_sum_exp": lambda v, **k: np.log(np.exp(v).sum(**k)),
    "max": np.max, "mean": np.mean, "min": np.min, "product": np.prod, "sum": np.sum,
    "sum_square": lambda v, **k: (v * v).sum(**k),
}.items():
    case(f"reduce_{name}_all", [positive], np.asarray(f(positive.astype(np.float64))).astype(np.float32), 1e-6)
    case(f"reduce_{name}_last", [positive], f(positive.astype(np.float64), axis=2).astype(np.float32), 1e-6)
    case(f"reduce_{name}_outer_kept", [positive], f(positive.astype(np.float64), axis=(0, 2), keepdims=True).astype(np.float32), 1e-6)
    case(f"reduce_{name}_float16", [positive.astype(np.float16)],
         f(positive.astype(np.float16).astype(np.float64), axis=1).astype(np.float16), 1e-3)
case("reduce_max_nan", [gaps], gaps.max(1))
case("reduce_log_sum_exp_large", [np.array([1000, 1000], np.float32)], np.float32(1000 + np.log(2)), 1e-6)
with np.errstate(all="ignore"):
    numbers = np.array([[2**31 - 1, 1, -4], [3, -5, 6]], np.int32)
    case("reduce_sum_int32_wraps", [numbers], numbers.sum(1, dtype=np.int32))
    case("reduce_l1_int32", [numbers[1:]], np.abs(numbers[1:]).sum(1, dtype=np.int32))
    case("reduce_max_int8", [small], small.max())
case("reduce_sum_empty", [np.zeros((2, 0), np.float32)], np.zeros(2, np.float32))
case("reduce_product_empty", [np.zeros((2, 0), np.float32)], np.ones(2, np.float32))
case("reduce_no_axes", [x], x)

# Softmax and matmul: ONNX Runtime and NumPy.
x = reals(2, 3, 5)
for axis in range(3):
    case(f"softmax_{axis}", [x], onnx_run("Softmax", [x], axis=axis), 1e-6)
case("softmax_large", [np.array([[1000, 1001, -1000]], np.float32)], onnx_run("Softmax", [np.array([[1000, 1001, -1000]], np.float32)], axis=1), 1e-6)
h = x.astype(np.float16)
e = np.exp(h.astype(np.float64) - h.max(2, keepdims=True))
case("softmax_float16", [h], (e / e.sum(2, keepdims=True)).astype(np.float16), 1e-3)
a, b = reals(2, 1, 3, 4), reals(5, 4, 6)
case("matmul_batches", [a, b], a @ b, 1e-5)
case("matmul_float64", [a.astype(np.float64), b.astype(np.float64)], a.astype(np.float64) @ b.astype(np.float64), 1e-12)
case("matmul_float16", [a.astype(np.float16), b.astype(np.float16)],
     (a.astype(np.float16).astype(np.float32) @ b.astype(np.float16).astype(np.float32)).astype(np.float16), 2e-3)
c = reals(6, 4)
case("matmul_of_transpose", [a, c], a @ c.T, 1e-5)
case("matmul_of_repeated_row", [a, c[:1, :]], a @ np.broadcast_to(c[:1].T, (4, 6)), 1e-5)
case("matmul_empty", [np.zeros((2, 0), np.float32), np.zeros((0, 3), np.float32)], np.zeros((2, 3), np.float32))

# Pictures: Pillow decodes, and what it decoded is the expectation.
picture = cv2.GaussianBlur(bytes_(19, 26, 4), (0, 0), 2)
picture = cv2.normalize(picture, None, 0, 255, cv2.NORM_MINMAX)
rgb = Image.fromarray(np.ascontiguousarray(picture[..., :3]))
files = {}


def save(name, image, **options):
    buffer = io.BytesIO()
    image.save(buffer, **options)
    files[name] = buffer.getvalue()


exif = Image.Exif()
for turned in range(1, 9):
    exif[0x0112] = turned
    save(f"orientation{turned}.jpg", rgb, format="JPEG", quality=95, subsampling=0, exif=exif.tobytes())
save("oriented.png", rgb, format="PNG", exif=exif.tobytes())
save("subsampled.jpg", rgb, format="JPEG", quality=90)
save("progressive.jpg", rgb, format="JPEG", quality=90, progressive=True)
save("gray.jpg", rgb.convert("L"), format="JPEG", quality=90)
save("cmyk.jpg", rgb.convert("CMYK"), format="JPEG", quality=95)
save("rgb.png", rgb, format="PNG")
save("rgba.png", Image.fromarray(picture), format="PNG")
save("gray.png", rgb.convert("L"), format="PNG")
save("gray_alpha.png", Image.fromarray(picture).convert("LA"), format="PNG")
save("palette.png", rgb.quantize(16), format="PNG")
save("one_bit.png", rgb.convert("1"), format="PNG")
ok, encoded = cv2.imencode(".png", picture[..., :3].astype(np.uint16) * 257)
files["sixteen_bit.png"] = encoded.tobytes()
for name, data in files.items():
    (HERE / name).write_bytes(data)
    decoded = Image.open(io.BytesIO(data))
    upright = ImageOps.exif_transpose(decoded)
    case(f"decode_rgb_{name}", [], np.asarray(upright.convert("RGB")), 0)
for mode, name in [("L", "rgb.png"), ("L", "gray.png"), ("RGBA", "rgba.png"), ("RGBA", "gray_alpha.png"), ("RGBA", "rgb.png")]:
    decoded = Image.open(io.BytesIO(files[name]))
    case(f"decode_{mode}_{name}", [], np.atleast_3d(np.asarray(decoded.convert(mode))), 0)
decoded = np.asarray(Image.open(io.BytesIO(files["rgb.png"])))
case("decode_bgr", [], decoded[..., ::-1])
case("decode_not_oriented", [], np.asarray(Image.open(io.BytesIO(files["orientation6.jpg"])).convert("RGB")), 0)

(HERE / "kernels.json").write_text(
    "{\n" + ",\n".join(f"{json.dumps(name)}: {json.dumps(value)}" for name, value in cases.items()) + "\n}\n"
)
print(len(cases), "cases")
