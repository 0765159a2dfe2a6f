"""Makes `gradient.png`: python make.py (needs Pillow and NumPy), and prints the means that the test expects."""

import pathlib

import numpy as np
from PIL import Image

y, x = np.mgrid[0:16, 0:24]
pixels = np.stack([y * 16, np.where(x % 2 == 0, 0, 255), np.full_like(x, 64)], axis=-1).astype(np.uint8)
Image.fromarray(pixels).save(pathlib.Path(__file__).parent / "gradient.png", optimize=True)
print(pixels.shape, pixels.mean(axis=(0, 1)).tolist())
