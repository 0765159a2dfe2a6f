"""The pictures as pixels, for reference.py and steadiness.py."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

HERE = Path(__file__).parent
PICTURES = sorted((HERE / "pictures").iterdir())


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
