"""Records what the Python package silero-vad 6.2.3 finds in the recordings: python reference.py (needs silero-vad==6.2.3,
torch==2.8.0, torchaudio==2.8.0, onnxruntime and soundfile).

Uses the package's ONNX model, as it loads it, and its own reader, which resamples through torchaudio.
"""

import json
import pathlib
import urllib.parse

import torch
import torchaudio
from silero_vad import get_speech_timestamps, load_silero_vad, read_audio

HERE = pathlib.Path(__file__).parent
QUERIES = [
    "",
    "threshold=0.3",
    "threshold=0.6&neg_threshold=0.55",
    "min_silence_duration_ms=300",
    "min_speech_duration_ms=0&min_silence_duration_ms=0&speech_pad_ms=0",
    "max_speech_duration_s=1",
    "max_speech_duration_s=0.7&min_silence_duration_ms=500&speech_pad_ms=100",
    "max_speech_duration_s=inf&min_speech_duration_ms=900",
    "speech_pad_ms=200.5",
]


def probabilities(model, audio):
    model.reset_states()
    frames = [torch.nn.functional.pad(frame, (0, 512 - len(frame))) for frame in audio.split(512)]
    return [model(frame, 16000).item() for frame in frames]


def main():
    model = load_silero_vad(onnx=True)
    references = {}
    for path in sorted(HERE.glob("*.wav")):
        audio = read_audio(str(path))
        # Where torchaudio has SoX, the reader resamples by SoX; the reference is for where it does not.
        wave, rate = torchaudio.load(str(path))
        again = torchaudio.transforms.Resample(rate, 16000)(wave.mean(dim=0))
        assert torch.equal(audio, again), path
        # Engines differ by about 1e-6 here; a frame this near to a threshold would make the expectation a matter of luck.
        for level in [0.5, 0.35, 0.3, 0.15, 0.6, 0.55]:
            nearest = min((abs(p - level) for p in probabilities(model, audio)), default=1)
            assert nearest > 1e-4, (path, level, nearest)
        cases = {}
        for query in QUERIES:
            options = {key: float(value) for key, value in urllib.parse.parse_qsl(query)}
            found = get_speech_timestamps(audio, model, **options)
            cases[query] = [[segment["start"], segment["end"]] for segment in found]
        references[path.stem] = {"rate": rate, "frames": wave.shape[1], "samples": len(audio), "cases": cases}
    (HERE / "references.json").write_text(json.dumps(references, indent=1) + "\n")


if __name__ == "__main__":
    main()
