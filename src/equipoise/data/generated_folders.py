"""Folders of real photographs and of generated sounds, to try a data set of files without fetching one."""

from pathlib import Path

import numpy as np
import soundfile
from PIL import Image
from sklearn.datasets import load_sample_image

CROP_SIDE = 32
SAMPLE_RATE = 8000
TONES = ("chirp-down", "chirp-up", "noise-burst", "sine", "square")


def write_photographs(folder: Path, n: int = 400, seed: int = 0) -> int:
    """Write crops of scikit-learn's two photographs as PNG files, into the sub-folders `china` and `flower`.

    Crops are 32x32 pixels and never overlap, so at most 520 fit. Those of one photograph resemble each other more than
    two photographs of one class would: a high score on them says little about photographs in general.

    Args:
        folder: Made when it does not exist.
        n: Number of crops wanted, half of each photograph.
        seed: Chooses the places.

    Returns:
        Number of files written, smaller than `n` when no more fit.

    Raises:
        ValueError: `n` below 2.
    """
    if n < 2:
        raise ValueError(f"got n {n}; expected at least 2, one a photograph. Ask for more.")
    generator = np.random.default_rng(seed)
    written = 0
    for wanted, name in zip((n - n // 2, n // 2), ("china", "flower"), strict=True):
        photograph = load_sample_image(f"{name}.jpg")
        rows, columns = (side // CROP_SIDE for side in photograph.shape[:2])
        place = folder / name
        place.mkdir(parents=True, exist_ok=True)
        for count, spot in enumerate(generator.permutation(rows * columns)[:wanted]):
            top, left = CROP_SIDE * (spot // columns), CROP_SIDE * (spot % columns)
            crop = photograph[top : top + CROP_SIDE, left : left + CROP_SIDE]
            Image.fromarray(np.ascontiguousarray(crop)).save(place / f"{count:04d}.png")
            written += 1
    return written


def write_tones(folder: Path, n: int = 300, seed: int = 0) -> int:
    """Write short sounds as WAV files (8 kHz, 16 bits, 0.5 to 1 s), one sub-folder a class.

    Classes: `sine`, `square`, `chirp-up`, `chirp-down` and `noise-burst`; pitch, phase, loudness, length and the level
    of background noise are random.

    Args:
        folder: Made when it does not exist.
        n: Number of files, shared equally among the classes.
        seed: Of everything random.

    Returns:
        Number of files written.

    Raises:
        ValueError: `n` below 5.
    """
    if n < len(TONES):
        raise ValueError(f"got n {n}; expected at least {len(TONES)}, one a class. Ask for more.")
    generator = np.random.default_rng(seed)
    for name in TONES:
        (folder / name).mkdir(parents=True, exist_ok=True)
    for count in range(n):
        name = TONES[count % len(TONES)]
        path = folder / name / f"{count // len(TONES):04d}.wav"
        soundfile.write(path, tone(name, generator), SAMPLE_RATE, subtype="PCM_16")
    return n


def tone(name: str, generator: np.random.Generator) -> np.ndarray:
    """Return one sound of a class of `TONES`, float64 (samples,) in -1..1, at 8 kHz."""
    samples = int(generator.integers(SAMPLE_RATE // 2, SAMPLE_RATE + 1))
    time = np.arange(samples) / SAMPLE_RATE
    length = samples / SAMPLE_RATE
    pitch, phase = generator.uniform(200.0, 600.0), generator.uniform(0.0, 2.0 * np.pi)
    rise = generator.uniform(1.8, 2.5)
    sweep = (rise - 1.0) * time**2 / (2.0 * length)
    if name == "noise-burst":
        start, width = generator.uniform(0.0, 0.5) * length, generator.uniform(0.2, 0.5) * length
        wave = generator.normal(0.0, 0.4, samples) * ((time >= start) & (time < start + width))
    elif name == "square":
        wave = np.sign(np.sin(2.0 * np.pi * pitch * time + phase))
    elif name == "sine":
        wave = np.sin(2.0 * np.pi * pitch * time + phase)
    elif name == "chirp-up":
        wave = np.sin(2.0 * np.pi * pitch * (time + sweep) + phase)
    elif name == "chirp-down":
        wave = np.sin(2.0 * np.pi * pitch * (rise * time - sweep) + phase)
    else:
        raise ValueError(f"got the tone {name!r}; expected one of {', '.join(TONES)}. Choose one of these.")
    noisy = wave * generator.uniform(0.2, 0.7) + generator.normal(0.0, 1.0, samples) * generator.uniform(0.005, 0.05)
    return np.clip(noisy, -1.0, 1.0)
