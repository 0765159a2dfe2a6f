#!/usr/bin/env python3
"""Prints how the package's own answers move when each level of a picture moves by at most one, at random.

Needs what reference.py needs.

    python steadiness.py
"""

import json

import numpy as np
from rapidocr_onnxruntime import RapidOCR

from pixels import PICTURES, pixels

ocr, random = RapidOCR(), np.random.default_rng(0)
other_text, furthest = [], 0.0
for path in PICTURES:
    levels = pixels(path).astype(int)
    (lines, _), (noisy_lines, _) = (
        ocr((levels + random.integers(-step, step + 1, levels.shape)).clip(0, 255).astype(np.uint8)) for step in (0, 1)
    )
    lines, noisy_lines = lines or [], noisy_lines or []
    if [line[1] for line in lines] != [line[1] for line in noisy_lines]:
        other_text.append(path.name)
        continue
    furthest = max([furthest, *(abs(line[2] - noisy[2]) for line, noisy in zip(lines, noisy_lines))])
print(json.dumps({"pictures": len(PICTURES), "other_text": other_text, "furthest_score": round(float(furthest), 3)}))
