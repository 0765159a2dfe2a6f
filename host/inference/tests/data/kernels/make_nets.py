"""Records what other implementations compute for products, convolutions and poolings: python make_nets.py writes nets.json.

Needs numpy and onnxruntime with onnx (made with the versions that `make.py` names). ONNX Runtime computes all but what it
has not: `float16` and other orders of axes are the same numbers turned around, and pools that leave out padding are NumPy's.
Each case has the operator with its options, as `inference/nets.rs` reads them, inputs, the expected result, and how far off
a result may be, relative to numbers above 1.
"""

import itertools
import json
import pathlib

import numpy as np
import onnxruntime
from onnx import helper

HERE = pathlib.Path(__file__).parent
rng = np.random.default_rng(11)
cases = {}


def plain(array):
    array = np.asarray(array)
    values = [float(str(x)) for x in array.ravel()] if array.dtype.kind == "f" else array.ravel().tolist()
    data = [str(x) if not np.isfinite(x) else int(x) if x == int(x) else x for x in values]
    return {"dtype": str(array.dtype), "shape": list(array.shape), "data": data}


def case(name, operator, options, inputs, expected, tolerance):
    assert name not in cases, name
    cases[name] = {"operator": operator, "options": options, "inputs": [plain(x) for x in inputs],
                   "expected": plain(expected), "tolerance": tolerance}


def reals(*shape):
    # Whole numbers, which every type holds, so that conversions lose nothing and the text stays short.
    return np.asarray(rng.integers(-9, 10, shape), np.float32)


def onnx_run(op, inputs, opset=22, **attributes):
    names = [f"x{i}" for i in range(len(inputs))]
    infos = [helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(x.dtype), x.shape)
             for n, x in zip(names, inputs)]
    node = helper.make_node(op, names, ["y"], **attributes)
    graph = helper.make_graph([node], op, infos, [helper.make_empty_tensor_value_info("y")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, dict(zip(names, inputs)))[0]


def nhwc(x):
    return np.ascontiguousarray(x.transpose(0, 2, 3, 1))


# gemm
for m, k, n in [(3, 4, 5), (1, 7, 9), (6, 19, 1), (18, 33, 17)]:
    for ta, tb in itertools.product([False, True], repeat=2):
        a, b = reals(*((k, m) if ta else (m, k))), reals(*((n, k) if tb else (k, n)))
        for c in [None, (m, n), (n,), (m, 1), ()] if m == 3 else [(1, n)]:
            inputs = [a, b] + ([] if c is None else [reals(*c)])
            alpha, beta = (1.0, 1.0) if m == 18 else (0.5, -1.5)
            expected = onnx_run("Gemm", inputs, opset=13, alpha=alpha, beta=beta, transA=int(ta), transB=int(tb))
            options = {"alpha": alpha, "beta": beta, "a_transpose": ta, "b_transpose": tb}
            name = f"gemm_{m}_{k}_{n}_{int(ta)}{int(tb)}_{'none' if c is None else 'x'.join(map(str, c)) or 'scalar'}"
            case(name, "gemm", options, inputs, expected, 1e-6)
            if m == 3 and c == (n,):
                half = [x.astype(np.float16) for x in inputs]
                case(name + "_float16", "gemm", options, half, expected.astype(np.float16), 1e-3)
                double = [x.astype(np.float64) for x in inputs]
                case(name + "_float64", "gemm", options, double, expected.astype(np.float64), 1e-6)

# conv2d: padding is top, bottom, left, right here, and top, left, bottom, right in ONNX.
ORDERS = {"oihw": (0, 1, 2, 3), "hwio": (2, 3, 1, 0), "ohwi": (0, 2, 3, 1), "ihwo": (1, 2, 3, 0)}
CONVS = {
    # name: batch, channels, outputs, groups, size, filter, padding, strides, dilations
    "plain": (2, 3, 4, 1, (5, 6), (3, 3), (0, 0, 0, 0), (1, 1), (1, 1)),
    "padded": (1, 2, 3, 1, (6, 5), (3, 2), (1, 2, 0, 1), (2, 1), (1, 2)),
    "pointwise": (2, 5, 7, 1, (3, 4), (1, 1), (0, 0, 0, 0), (1, 1), (1, 1)),
    "pointwise_strided": (1, 4, 3, 1, (5, 5), (1, 1), (0, 0, 0, 0), (2, 2), (1, 1)),
    "groups": (2, 4, 6, 2, (5, 4), (2, 3), (1, 0, 1, 1), (1, 2), (2, 1)),
    "depthwise": (2, 3, 3, 3, (7, 6), (3, 3), (1, 1, 1, 1), (1, 1), (1, 1)),
    "depthwise_strided": (1, 4, 4, 4, (9, 11), (5, 5), (2, 2, 2, 2), (2, 2), (1, 1)),
    "depthwise_multiplied": (1, 3, 6, 3, (6, 6), (3, 3), (2, 1, 1, 2), (2, 1), (1, 2)),
    "one_output": (1, 8, 1, 1, (6, 7), (3, 3), (1, 1, 1, 1), (1, 1), (1, 1)),
    "all_padding": (1, 1, 2, 1, (2, 1), (2, 2), (3, 3, 2, 2), (1, 1), (1, 1)),
    "deep": (1, 58, 2, 1, (4, 3), (3, 3), (1, 1, 1, 1), (1, 1), (1, 1)),
}
for name, (n, c, o, g, size, taps, padding, strides, dilations) in CONVS.items():
    image, weights, bias = reals(n, c, *size), reals(o, c // g, *taps), reals(o)
    t, b, l, r = padding
    for with_bias in [False, True]:
        inputs = [image, weights] + ([bias] if with_bias else [])
        expected = onnx_run("Conv", inputs, pads=[t, l, b, r], strides=strides, dilations=dilations, group=g)
        options = {"padding": padding, "strides": strides, "dilations": dilations, "groups": g}
        orders = ["oihw"] if name == "deep" else list(ORDERS) if name in ("plain", "groups") else ["oihw", "hwio"]
        for layout, order in itertools.product(["nchw", "nhwc"], orders):
            if with_bias != (order in ("oihw", "ohwi")) and name not in ("plain", "depthwise"):
                continue
            turned = [image if layout == "nchw" else nhwc(image), weights.transpose(ORDERS[order])] + inputs[2:]
            out = expected if layout == "nchw" else nhwc(expected)
            full = f"conv_{name}_{layout}_{order}_{'bias' if with_bias else 'no_bias'}"
            where = {"input_layout": layout, "filter_layout": order}
            case(full, "conv2d", options | where, turned, out, 1e-6)
            if name == "groups" and order == "oihw":
                half = [x.astype(np.float16) for x in turned]
                case(full + "_float16", "conv2d", options | where, half, out.astype(np.float16), 1e-3)
                double = [x.astype(np.float64) for x in turned]
                case(full + "_float64", "conv2d", options | where, double, out.astype(np.float64), 1e-6)

# convTranspose2d
TRANSPOSED_ORDERS = {"iohw": (0, 1, 2, 3), "hwoi": (2, 3, 1, 0), "ohwi": (1, 2, 3, 0)}
TRANSPOSED = {
    # name: batch, channels, outputs of a group, groups, size, filter, padding, strides, dilations, output padding
    "plain": (2, 3, 4, 1, (3, 4), (3, 3), (0, 0, 0, 0), (1, 1), (1, 1), (0, 0)),
    "strided": (1, 4, 2, 1, (3, 5), (3, 2), (1, 0, 1, 1), (2, 3), (1, 1), (1, 2)),
    "doubling": (1, 3, 5, 1, (4, 3), (2, 2), (0, 0, 0, 0), (2, 2), (1, 1), (0, 0)),
    "groups": (2, 4, 3, 2, (4, 3), (2, 3), (1, 1, 0, 1), (2, 1), (2, 1), (1, 0)),
    "depthwise": (1, 4, 1, 4, (5, 4), (3, 3), (1, 1, 1, 1), (2, 2), (1, 1), (1, 1)),
    "sparse": (1, 2, 2, 1, (2, 2), (1, 1), (0, 0, 0, 0), (3, 3), (1, 1), (2, 1)),
}
for name, (n, c, o, g, size, taps, padding, strides, dilations, added) in TRANSPOSED.items():
    image, weights, bias = reals(n, c, *size), reals(c, o, *taps), reals(o * g)
    t, b, l, r = padding
    for with_bias in [False, True]:
        inputs = [image, weights] + ([bias] if with_bias else [])
        expected = onnx_run("ConvTranspose", inputs, pads=[t, l, b, r], strides=strides, dilations=dilations, group=g,
                            output_padding=added)
        options = {"padding": padding, "strides": strides, "dilations": dilations, "groups": g}
        for layout, order in itertools.product(["nchw", "nhwc"], TRANSPOSED_ORDERS):
            if with_bias != (order == "iohw") and name != "groups":
                continue
            turned = [image if layout == "nchw" else nhwc(image), weights.transpose(TRANSPOSED_ORDERS[order])] + inputs[2:]
            out = expected if layout == "nchw" else nhwc(expected)
            full = f"conv_transpose_{name}_{layout}_{order}_{'bias' if with_bias else 'no_bias'}"
            where = {"input_layout": layout, "filter_layout": order}
            sizes = {"output_sizes": expected.shape[2:], "output_padding": (0, 0)}
            how = sizes if order == "hwoi" else {"output_padding": added}
            case(full, "convTranspose2d", options | where | how, turned, out, 1e-6)
            if name == "groups" and order == "iohw" and with_bias:
                half = [x.astype(np.float16) for x in turned]
                case(full + "_float16", "convTranspose2d", options | where | how, half, out.astype(np.float16), 1e-3)
                double = [x.astype(np.float64) for x in turned]
                case(full + "_float64", "convTranspose2d", options | where | how, double, out.astype(np.float64), 1e-6)

# Pools. ONNX Runtime, where all windows begin within the image or its padding before it.
POOLS = {
    # name: size, window, padding, strides, dilations, ceil
    "plain": ((6, 7), (3, 2), (0, 0, 0, 0), (1, 1), (1, 1), False),
    "padded": ((6, 7), (3, 3), (1, 1, 1, 1), (2, 2), (1, 1), False),
    "padded_unevenly": ((5, 8), (3, 2), (2, 0, 0, 1), (1, 2), (1, 1), False),
    "ceil": ((6, 8), (3, 3), (0, 0, 0, 0), (2, 2), (1, 1), True),
    "dilated": ((7, 13), (3, 2), (1, 1, 1, 1), (1, 1), (2, 3), False),
    "wide": ((4, 11), (3, 3), (1, 1, 1, 1), (1, 1), (1, 1), False),
    "wide_strided": ((4, 18), (3, 3), (1, 0, 1, 0), (2, 2), (1, 1), True),
    "global": ((5, 4), None, (0, 0, 0, 0), (1, 1), (1, 1), False),
}
OPERATORS = {"average": ("AveragePool", {"count_include_pad": 0}), "max": ("MaxPool", {}), "l2": ("LpPool", {"p": 2})}
for (name, (size, window, padding, strides, dilations, ceil)), (pooling, (op, extra)) in itertools.product(
        POOLS.items(), OPERATORS.items()):
    image = reals(1, 3, *size) if name != "padded" else reals(2, 2, *size)
    t, b, l, r = padding
    expected = onnx_run(op, [image], kernel_shape=window or size, pads=[t, l, b, r], strides=strides,
                        dilations=dilations, ceil_mode=int(ceil), **extra)
    options = {"pooling": pooling, "padding": padding, "strides": strides, "dilations": dilations, "window": window}
    for layout in ["nchw", "nhwc"]:
        x, out = (image, expected) if layout == "nchw" else (nhwc(image), nhwc(expected))
        rounding = {"rounding": "ceil"} if ceil and layout == "nchw" else {"output_sizes": expected.shape[2:]} if ceil else {}
        full = f"pool_{name}_{pooling}_{layout}"
        case(full, "pool2d", options | rounding | {"layout": layout}, [x], out, 1e-6)
        if name == "padded":
            half = x.astype(np.float16)
            case(full + "_float16", "pool2d", options | rounding | {"layout": layout}, [half], out.astype(np.float16), 1e-3)
            double = x.astype(np.float64)
            case(full + "_float64", "pool2d", options | rounding | {"layout": layout}, [double], out.astype(np.float64), 1e-6)
            if pooling == "max":
                for dtype in ["int8", "uint8", "int64"]:
                    integers = rng.integers(0 if dtype == "uint8" else -100, 100, x.shape).astype(dtype)
                    turned = integers if layout == "nchw" else integers.transpose(0, 3, 1, 2)
                    exact = onnx_run(op, [turned.astype(np.float64)], opset=12, kernel_shape=window, pads=[t, l, b, r], strides=strides)
                    exact = exact.astype(dtype)
                    case(f"{full}_{dtype}", "pool2d", options | {"layout": layout}, [integers],
                         exact if layout == "nchw" else nhwc(exact), 0)

(HERE / "nets.json").write_text(
    "{\n" + ",\n".join(f"{json.dumps(name)}: {json.dumps(value, separators=(',', ':'))}" for name, value in cases.items()) + "\n}\n"
)
print(len(cases), "cases", (HERE / "nets.json").stat().st_size, "bytes")
