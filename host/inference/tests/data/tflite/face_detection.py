"""What LiteRT computes for the face detector that `cargo xtask setup` fetches: python face_detection.py MODEL

Needs ai-edge-litert 2.3.0 and numpy. Writes face_detection.json beside this script: shapes, and every 97th value of each
output, for an input that the test makes in the same way.
"""

import json
import pathlib
import sys

import numpy as np
from ai_edge_litert.interpreter import Interpreter

interpreter = Interpreter(sys.argv[1])
interpreter.allocate_tensors()
# From -1 to 1, as the model wants pixels; exact in float32, whoever computes it.
count = 128 * 128 * 3
pixels = ((np.arange(count) * 7919 % 257) / np.float32(128) - 1).astype(np.float32)
interpreter.set_tensor(interpreter.get_input_details()[0]["index"], pixels.reshape(1, 128, 128, 3))
interpreter.invoke()
outputs = {}
for detail in interpreter.get_output_details():
    value = interpreter.get_tensor(detail["index"])
    outputs[detail["name"]] = {"shape": list(value.shape), "every_97th": value.ravel()[::97].tolist()}
(pathlib.Path(__file__).parent / "face_detection.json").write_text(json.dumps(outputs) + "\n")
