#!/usr/bin/env python3
"""Records what the Python package says of each file in files/, into references.json.

    pip install magika==1.0.3
    python reference.py
"""

import json
from pathlib import Path

from magika import Magika

here = Path(__file__).parent
magika = Magika()
references = {}
for path in sorted((here / "files").iterdir()):
    prediction = magika.identify_bytes(path.read_bytes()).prediction
    references[path.name] = {
        "label": str(prediction.output.label),
        "score": round(prediction.score, 6),
        "mime": prediction.output.mime_type,
    }
lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(reference)}" for name, reference in references.items())
(here / "references.json").write_text(f"{{\n{lines}\n}}\n")
labels = {reference["label"] for reference in references.values()}
size = sum(path.stat().st_size for path in (here / "files").iterdir())
print(f"{len(references)} files, {len(labels)} labels, {size} bytes")
