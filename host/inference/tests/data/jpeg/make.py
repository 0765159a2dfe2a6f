"""Writes JPEG files of each kind that a decoder treats on its own, and in pixels.json the SHA-256 of their pixels as
libjpeg-turbo decodes them: RGB, row by row.

    pip install pillow==13.0.0 numpy==2.4.6 opencv-python-headless==4.11.0.86    # Pillow brings libjpeg-turbo 3.2.0
    python make.py

The pictures are waves, grain and a sharp edge, of odd sizes, so that blocks stick out at the right and below.
"""

import hashlib
import json
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, features

HERE = Path(__file__).parent
rng = np.random.default_rng(11)


def picture(width, height):
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / 7 + y / 11), np.cos(x / 13 - y / 5), np.sin(x * y / 90)]
    levels = 128 + 100 * np.stack(waves, axis=-1) + rng.normal(0, 12, (height, width, 3))
    levels[height // 4 : height // 2, width // 4 : width // 2] = [250, 10, 20]
    return Image.fromarray(levels.clip(0, 255).astype(np.uint8))


def files():
    image = picture(83, 61)
    for name, subsampling in ("444", 0), ("422", 1), ("420", 2):
        for progressive in False, True:
            kind = "progressive" if progressive else "baseline"
            yield f"{name}_{kind}", image, {"subsampling": subsampling, "progressive": progressive, "quality": 75}
    yield "gray_baseline", image.convert("L"), {"quality": 75}
    yield "gray_progressive", image.convert("L"), {"quality": 75, "progressive": True}
    yield "cmyk", image.convert("CMYK"), {"quality": 75}
    yield "rgb", image, {"quality": 75, "keep_rgb": True}
    yield "restarts", image, {"quality": 75, "restart_marker_rows": 1}
    for width, height in (1, 1), (2, 3), (16, 16), (17, 9), (3, 40):
        for name, subsampling in ("422", 1), ("420", 2):
            yield f"{name}_{width}x{height}", picture(width, height), {"subsampling": subsampling, "quality": 60}


pixels = {}


def record(path):
    pixels[path.name] = hashlib.sha256(np.asarray(Image.open(path).convert("RGB")).tobytes()).hexdigest()


for name, image, options in files():
    path = HERE / f"{name}.jpg"
    image.save(path, **options)
    record(path)
# Pillow does not write these two: a quarter of the columns of colour, and half of the rows.
for name in "411", "440":
    path = HERE / f"{name}_baseline.jpg"
    factor = getattr(cv2, f"IMWRITE_JPEG_SAMPLING_FACTOR_{name}")
    cv2.imwrite(str(path), np.asarray(picture(83, 61)), [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, factor])
    record(path)
(HERE / "pixels.json").write_text(json.dumps(pixels, indent=0) + "\n")
print(len(pixels), "files, by libjpeg-turbo", features.version("libjpeg_turbo"))
