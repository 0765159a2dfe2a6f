#!/usr/bin/env python3
"""Writes src/vocabulary.bin, what the tokeniser can write, from the tokeniser of all-MiniLM-L6-v2.

    cargo xtask setup
    python vocabulary.py

Tokens that begin a word come first, then those that go on with one, without their `##`. Of each kind those of 1, 2, …, 18
bytes stand together: their number, the tokens in order, and their ids, numbers as `u16` in little-endian order. So the
function finds a token by halving, and has nothing to load. Tokens in brackets are left out: no word is one of them.
"""

import json
import struct
from pathlib import Path

LONGEST = 18

folder = Path(__file__).parent
file = folder / "../../../target/models/minilm/tokenizer.json"
vocabulary = json.loads(file.read_text(encoding="utf-8"))["model"]["vocab"]
words = {token: id for token, id in vocabulary.items() if not (token.startswith("[") and len(token) > 1)}

with open(folder / "src/vocabulary.bin", "wb") as out:
    for goes_on in (False, True):
        kind = {
            (token[2:] if goes_on else token).encode(): id
            for token, id in words.items()
            if (token.startswith("##") and len(token) > 2) == goes_on
        }
        assert max(map(len, kind)) <= LONGEST
        for length in range(1, LONGEST + 1):
            tokens = sorted(token for token in kind if len(token) == length)
            ids = [kind[token] for token in tokens]
            out.write(struct.pack("<H", len(tokens)) + b"".join(tokens) + struct.pack(f"<{len(ids)}H", *ids))
