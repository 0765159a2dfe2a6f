#!/usr/bin/env python3
"""Writes references.json: what OpenCV, Clipper and rapidocr-onnxruntime make of random shapes.

    pip install rapidocr-onnxruntime==1.4.4 && pip uninstall --yes opencv-python
    pip install opencv-python-headless==4.11.0.86 pyclipper==1.4.0 shapely==2.2.0 numpy==2.4.6
    python reference.py
"""

import json
from pathlib import Path

import cv2
import numpy as np
import pyclipper
from rapidocr_onnxruntime.ch_ppocr_det.utils import DBPostProcess

random = np.random.default_rng(7)
package = DBPostProcess(thresh=0.3, box_thresh=0.5, max_candidates=1000, unclip_ratio=1.6, use_dilation=True)


def numbers(array, digits=4):
    return np.round(np.asarray(array, dtype=np.float64), digits).tolist()


def rectangles():
    for count in [1, 2, 6, 8, 12, 20, 40] * 3:
        points = random.integers(-20, 80, (count, 2)).astype(np.int32)
        # Around a triangle, and many a quadrilateral, several rectangles are least; rounding says which is taken.
        if len(cv2.convexHull(points)) in (3, 4):
            continue
        quad, shorter_side = package.get_mini_boxes(points.reshape(-1, 1, 2))
        (_, (width, height), _) = cv2.minAreaRect(points)
        yield {
            "points": points.tolist(),
            "area": float(width) * float(height),
            "shorter_side": float(shorter_side),
            "quad": numbers(quad),
        }


def offsets():
    for _ in range(16):
        box = cv2.boxPoints(((60.0, 50.0), tuple(random.uniform(4, 90, 2)), random.uniform(0, 90)))
        distance = float(random.uniform(1, 30))
        offset = pyclipper.PyclipperOffset()
        offset.AddPath(box, pyclipper.JT_ROUND, pyclipper.ET_CLOSEDPOLYGON)
        (grown,) = offset.Execute(distance)
        quad, _ = package.get_mini_boxes(np.array(grown).reshape(-1, 1, 2))
        yield {"polygon": numbers(box, 9), "distance": distance, "grown": grown, "quad": numbers(quad)}


def homographies():
    for _ in range(8):
        source = np.array([[0, 0], [120, 0], [120, 40], [0, 40]], np.float32)
        target = (source + random.uniform(-15, 15, (4, 2)) + 30).astype(np.float32)
        matrix = cv2.getPerspectiveTransform(source, target)
        yield {"from": source.tolist(), "to": target.astype(np.float64).tolist(), "matrix": matrix.ravel().tolist()}


def contours(bitmap):
    found, _ = cv2.findContours(bitmap * 255, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
    return [contour.reshape(-1, 2).tolist() for contour in found]


def outlines():
    for share in [0.05, 0.2, 0.4, 0.6, 0.8, 1.0]:
        for dilated in [False, True]:
            bitmap = (random.random((14, 22)) < share).astype(np.uint8)
            drawn = cv2.dilate(bitmap, np.ones((2, 2))) if dilated else bitmap
            rows = ["".join(".#"[pixel] for pixel in row) for row in bitmap]
            yield {"rows": rows, "dilated": dilated, "hulls": contours(drawn)}


def text_boxes():
    """Maps as a detector makes them: soft bars at several angles and levels, some that touch, on faint noise."""
    for _ in range(14):
        width, height = (int(side) for side in random.integers(64, 96, 2))
        canvas = np.zeros((height, width), np.float32)
        for _ in range(4):
            middle = tuple(random.uniform(0, side) for side in (width, height))
            sides = (random.uniform(10, 60), random.uniform(6, 14))
            bar = cv2.boxPoints((middle, sides, random.uniform(-40, 40))).astype(np.int32)
            cv2.fillPoly(canvas, [bar], float(random.uniform(0.55, 1)))
        canvas = cv2.GaussianBlur(canvas, (3, 3), 0) + random.uniform(0, 0.1, canvas.shape)
        levels = (canvas.clip(0, 1) * 255).round().astype(np.uint8)
        picture = [int(width * 1.7), int(height * 1.3)]
        boxes, scores = package(levels[None, None].astype(np.float32) / 255, (picture[1], picture[0]))
        boxes = [{"quad": quad, "score": round(score, 4)} for quad, score in zip(boxes.tolist(), scores)]
        yield {"width": width, "levels": levels.tobytes().hex(), "picture": picture, "boxes": boxes}


cases = [rectangles, offsets, homographies, outlines, text_boxes]
document = ",\n".join(
    f'"{case.__name__}": [\n' + ",\n".join(json.dumps(example, separators=(",", ":")) for example in case()) + "\n]"
    for case in cases
)
(Path(__file__).parent / "references.json").write_text("{\n" + document + "\n}\n")
