"""One sound file: what it is, and its samples in one rate and length."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from scipy.signal import resample_poly

SUFFIXES = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff")


@dataclass(frozen=True, slots=True)
class Header:
    """What the header of a sound file says."""

    sample_rate: int
    frames: int
    channels: int

    @property
    def seconds(self) -> float:
        """Length in seconds."""
        return self.frames / self.sample_rate


def header(path: Path) -> Header:
    """Read the header of a sound file.

    Raises:
        soundfile.LibsndfileError: No sound file.
        ValueError: There is no such file, or it holds no samples.
    """
    if not path.is_file():
        raise ValueError("got no such file; expected a recording. Check the path.")
    known = soundfile.info(str(path))
    if known.frames == 0:
        raise ValueError("got no samples; expected a recording. Record it anew.")
    return Header(sample_rate=known.samplerate, frames=known.frames, channels=known.channels)


def read_waveform(path: Path, sample_rate: int, samples: int) -> np.ndarray:
    """Return the beginning of a recording: float32 (samples,) in -1..1, mono, in one rate, padded with zeros.

    Only what is needed is read, with a tenth of a second more, so that resampling has no edge where the recording goes
    on.

    Raises:
        soundfile.LibsndfileError: The file is damaged.
        ValueError: NaN or infinite samples, or fewer than the header promises.
    """
    with soundfile.SoundFile(str(path)) as file:
        needed = math.ceil(samples * file.samplerate / sample_rate) + file.samplerate // 10
        promised = min(needed, file.frames)
        wave = file.read(frames=promised, dtype="float32", always_2d=True)
        if len(wave) < promised:
            raise ValueError(f"got {len(wave)} samples; expected {promised} as the header says. Copy the file anew.")
        return fitted(wave, file.samplerate, sample_rate, samples)


def fitted(wave: np.ndarray, rate: int, sample_rate: int, samples: int) -> np.ndarray:
    """Return a waveform (time,) or (time, channels) as mono, resampled, cut or padded: float32 (samples,) in -1..1.

    Channels are averaged; the rate is changed by polyphase filtering, which lets nothing through above half of the
    lower rate; samples beyond -1..1 are clipped.

    Raises:
        ValueError: NaN or infinite samples.
    """
    if not np.isfinite(wave).all():
        count = int((~np.isfinite(wave)).sum())
        raise ValueError(f"got {count} samples that are NaN or infinite; expected finite ones. Record it anew.")
    mono = wave.mean(axis=1, dtype=np.float64) if wave.ndim == 2 else wave.astype(np.float64)
    if rate != sample_rate:
        divisor = math.gcd(rate, sample_rate)
        mono = resample_poly(mono, sample_rate // divisor, rate // divisor)
    cut = np.clip(mono[:samples], -1.0, 1.0)
    return np.pad(cut, (0, samples - len(cut))).astype(np.float32)
