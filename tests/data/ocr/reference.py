#!/usr/bin/env python3
"""Writes references.json: what the Python package rapidocr-onnxruntime reads in the pictures.

    pip install rapidocr-onnxruntime==1.4.4 && pip uninstall --yes opencv-python
    pip install opencv-python-headless==4.11.0.86 onnxruntime==1.32.0 pyclipper==1.4.0 shapely==2.2.0 pillow==13.0.0
    python reference.py

The package runs with its own configuration. Only how a file becomes pixels is ours: see `pixels`.
"""

import json
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from rapidocr_onnxruntime import RapidOCR

HERE = Path(__file__).parent


def pixels(path: Path) -> np.ndarray:
    """The picture as the package takes it from OpenCV: upright, BGR, on white paper.

    Left to itself the package ignores the EXIF orientation, reads a palette's indices as shades of gray, and turns
    the colours of most pictures with an opacity channel into their opposites.
    """
    image = ImageOps.exif_transpose(Image.open(path))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, (255, 255, 255, 255)), image)
    return np.ascontiguousarray(np.asarray(image.convert("RGB"))[:, :, ::-1])


ocr = RapidOCR()
references = {}
for path in sorted((HERE / "pictures").iterdir()):
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
