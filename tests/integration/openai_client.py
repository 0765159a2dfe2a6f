"""Calls the function `embed` with OpenAI's client: python openai_client.py BASE_URL REFERENCES."""

import base64
import json
import math
import struct
import sys

import openai

base_url, references = sys.argv[1:]
with open(references, encoding="utf-8") as file:
    references = json.load(file)[:20]
client = openai.OpenAI(base_url=base_url, api_key="none", max_retries=0)
checks = 0


def cosine(a, b):
    def dot(a, b):
        return sum(x * y for x, y in zip(a, b))

    return dot(a, b) / math.sqrt(dot(a, a) * dot(b, b))


def check(holds, what):
    global checks
    assert holds, what
    checks += 1


def right(reference):
    data = base64.b64decode(reference["vector"])
    return struct.unpack(f"<{len(data) // 4}f", data)


texts = [reference["text"] for reference in references]
# The client asks for base 64 of its own accord, and for numbers where it is told to.
for format in [{}, {"encoding_format": "float"}]:
    answer = client.embeddings.create(model="all-MiniLM-L6-v2", input=texts, **format)
    vectors = [one.embedding for one in sorted(answer.data, key=lambda one: one.index)]
    near = [cosine(vector, right(reference)) for vector, reference in zip(vectors, references)]
    check(len(near) == len(texts) and min(near) >= 0.9999, near)
check(answer.usage.total_tokens == sum(len(reference["ids"]) for reference in references), answer.usage)
check([model.id for model in client.models.list()] == ["all-MiniLM-L6-v2"], "the list of models")
try:
    client.embeddings.create(model="text-embedding-ada-002", input="a")
except openai.NotFoundError as error:
    check("all-MiniLM-L6-v2" in error.message, error.message)
try:
    client.embeddings.create(model="all-MiniLM-L6-v2", input=[])
except openai.BadRequestError as error:
    check(error.param == "input", error)
print(checks, "checks")
