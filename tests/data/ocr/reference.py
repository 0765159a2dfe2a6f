#!/usr/bin/env python3
"""Writes references.json: what the Python package rapidocr-onnxruntime reads in the pictures.

    pip install rapidocr-onnxruntime==1.4.4 && pip uninstall --yes opencv-python
    pip install opencv-python-headless==4.11.0.86 onnxruntime==1.32.0 pyclipper==1.4.0 shapely==2.2.0 pillow==13.0.0
    python reference.py

The package runs with its own configuration. Only how a file becomes pixels is ours: see `pixels.py`.
"""

import json

from rapidocr_onnxruntime import RapidOCR

from pixels import HERE, PICTURES, pixels

ocr = RapidOCR()
references = {}
for path in PICTURES:
    lines, _ = ocr(pixels(path))
    references[path.name] = [
        {"text": text, "score": round(float(score), 4), "box": [[round(value, 2) for value in point] for point in box]}
        for box, text, score in lines or []
    ]
    print(path.name, [(line["text"], line["score"]) for line in references[path.name]])

rows = [
    f"  {json.dumps(name)}: [" + ",".join(f"\n    {json.dumps(line, ensure_ascii=False)}" for line in lines) + "]"
    for name, lines in references.items()
]
(HERE / "references.json").write_text("{\n" + ",\n".join(rows) + "\n}\n")
