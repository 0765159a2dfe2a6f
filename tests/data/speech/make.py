"""Makes the recordings in this folder: python make.py (needs espeak-ng 1.51, apt-get, dpkg, and the packages numpy and
G722).

Recorded voices come from Debian's packages of Asterisk's sounds; README.md says whose they are.
"""

import pathlib
import subprocess
import tempfile
import wave

import numpy as np
from G722 import G722

HERE = pathlib.Path(__file__).parent
SOUNDS = "usr/share/asterisk/sounds"
RATE = 16000


def write(name, samples, rate=RATE, bits=8):
    """Writes samples from -1 to 1, `[frames]` or `[frames, channels]`, as PCM."""
    samples = np.asarray(samples)
    if bits == 8:
        data = np.clip(np.round(samples * 127 + 128), 0, 255).astype("u1")
    else:
        data = np.clip(np.round(samples * 32767), -32768, 32767).astype("<i2")
    with wave.open(str(HERE / f"{name}.wav"), "wb") as file:
        file.setparams((1 if samples.ndim == 1 else samples.shape[1], bits // 8, rate, 0, "NONE", None))
        file.writeframes(data.tobytes())


def at_rate(samples, rate, new_rate):
    """Straight lines between samples: what it does to the sound is the same for all who read the file."""
    times = np.arange(0, len(samples) / rate, 1 / new_rate)
    return np.interp(times, np.arange(len(samples)) / rate, samples)


def say(voice, text, speed=160, pitch=50):
    """Speech of espeak-ng, at its own 22,050 samples per second."""
    with tempfile.NamedTemporaryFile(suffix=".wav") as out:
        command = ["espeak-ng", "-v", voice, "-s", str(speed), "-p", str(pitch), "-w", out.name, text]
        subprocess.run(command, check=True)
        with wave.open(out.name) as file:
            return np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32768


def said(voice, text, **how):
    return at_rate(say(voice, text, **how), 22050, RATE)


def trimmed(samples):
    loud = np.flatnonzero(abs(samples) > 0.01)
    return samples[loud[0] : loud[-1]]


def silence(seconds):
    return np.zeros(round(seconds * RATE))


def noise(seconds, level, rng):
    return rng.normal(size=round(seconds * RATE)) * level


def asterisk(package, path, folder):
    """A file of a Debian package of Asterisk's sounds."""
    subprocess.run(["apt-get", "download", f"{package}=1.6.1-1"], check=True, cwd=folder)
    (deb,) = folder.glob(f"{package}_*.deb")
    subprocess.run(["dpkg", "-x", deb, folder], check=True)
    return (folder / SOUNDS / path).read_bytes()


def recorded():
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for name, package, path, begin, end, bits in [
            ("recorded-en", "asterisk-core-sounds-en-g722", "en_US_f_Allison/vm-opts.g722", 0, 2.5, 16),
            ("recorded-fr", "asterisk-core-sounds-fr-g722", "fr_CA_f_June/dir-intro.g722", 1.4, 3.4, 8),
        ]:
            samples = G722(RATE, 64000).decode(asterisk(package, path, folder))
            write(name, np.asarray(samples)[round(begin * RATE) : round(end * RATE)] / 32768, bits=bits)
        # As it is: 16 bits at 8 kHz.
        file = asterisk("asterisk-core-sounds-es-wav", "es_MX_f_Allison/vm-isonphone.wav", folder)
        (HERE / "recorded-es-8k.wav").write_bytes(file)


def made():
    rng = np.random.default_rng(20)
    parts = [
        silence(0.25),
        trimmed(said("en", "The kettle is on.")),
        silence(0.13),
        trimmed(said("en-us", "Sit down, please.", pitch=65)),
        silence(0.9),
        trimmed(said("de", "Guten Morgen.", pitch=35)),
        silence(0.3),
    ]
    write("made-pauses", np.concatenate(parts))
    speech = trimmed(said("es", "Buenos días a todos.", speed=175))
    speech = np.concatenate([silence(0.4), speech, silence(0.3)])
    write("made-in-noise", speech + noise(len(speech) / RATE, 0.03, rng)[: len(speech)])
    write("made-short", np.concatenate([silence(0.1), trimmed(said("en", "No."))[:2600], silence(0.1)]))
    write("silence", silence(0.5))
    write("noise", noise(1, 0.1, rng))
    clicks = silence(0.7)
    clicks[::1700] = 0.9
    write("clicks", clicks)
    t = np.arange(round(1.2 * RATE)) / RATE
    chords = [(261.6, 329.6, 392.0), (293.7, 349.2, 440.0), (246.9, 293.7, 392.0)]
    notes = [sum(np.sin(2 * np.pi * f * t) / 4 for f in chord) for chord in chords]
    write("tones", np.select([t < 0.4, t < 0.8], notes[:2], notes[2]) * np.exp(-3 * (t % 0.4)))
    write("made-22k", say("it", "Buona sera.", speed=150), rate=22050)
    voice = trimmed(say("fr", "Bonjour à vous."))[:12000]
    left, right = at_rate(voice, 22050, 44100), at_rate(voice[::-1] * 0.3, 22050, 44100)
    write("made-stereo-44k", np.stack([left, right], axis=1), rate=44100)
    write("made-48k", at_rate(trimmed(say("en-gb-scotland", "One, two."))[:11000], 22050, 48000), rate=48000)


if __name__ == "__main__":
    recorded()
    made()
