#!/usr/bin/env python3
"""Writes src/characters.txt, what the recogniser can read, from the metadata of its file.

    pip install onnxruntime==1.32.0
    python characters.py > src/characters.txt
"""

from pathlib import Path

import onnxruntime

model = Path(__file__).parent / "../../target/models/ppocr/recognizer.onnx"
session = onnxruntime.InferenceSession(model)
characters = session.get_modelmeta().custom_metadata_map["character"].splitlines()
# One label for each, one before them for the blank, and one after them for the space.
assert session.get_outputs()[0].shape[2] == len(characters) + 2
print("\n".join(characters))
