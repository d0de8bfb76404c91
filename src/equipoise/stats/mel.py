"""Log-mel spectra on plain numbers: the definition that fitted numbers and the network's own module share."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view


def mel_filterbank(sample_rate: int, window: int, bands: int) -> np.ndarray:
    """Return triangular filters that are equally wide on the mel scale, from 0 Hz to half the sample rate.

    Mel is `2595 log10(1 + f / 700)` (the HTK form); each filter rises from 0 to 1 and falls to 0 between the centres of
    its neighbours, without normalisation by its area.

    Args:
        sample_rate: Samples a second, positive.
        window: Samples a spectrum, at least 2.
        bands: Number of filters, at least 1.

    Returns:
        Weights in 0..1, float64, shape (bands, window // 2 + 1).

    References:
        S. Young et al., The HTK Book, 2006, eq. 5.13.
    """
    if sample_rate < 1 or window < 2 or bands < 1:
        raise ValueError(
            f"got sample_rate {sample_rate}, window {window} and bands {bands}; expected a positive rate, a window of "
            "at least 2 samples and at least 1 band. Raise the one that is too small."
        )
    frequencies = np.linspace(0.0, sample_rate / 2, window // 2 + 1)
    if window % 2:
        frequencies = np.arange(window // 2 + 1) * sample_rate / window
    highest = 2595.0 * np.log10(1.0 + sample_rate / 2 / 700.0)
    corners = 700.0 * (10.0 ** (np.linspace(0.0, highest, bands + 2) / 2595.0) - 1.0)
    left, centre, right = corners[:-2, None], corners[1:-1, None], corners[2:, None]
    rising = (frequencies - left) / (centre - left)
    falling = (right - frequencies) / (right - centre)
    return np.clip(np.minimum(rising, falling), 0.0, None)


def hann_window(window: int) -> np.ndarray:
    """Return the periodic Hann window, `0.5 - 0.5 cos(2 pi k / window)`, float64, shape (window,)."""
    return 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(window) / window)


def log_mel(waves: np.ndarray, *, sample_rate: int, window: int, hop: int, bands: int, floor: float) -> np.ndarray:
    """Return log-mel spectra of waveforms, frame by frame and without padding.

    Args:
        waves: Waveforms, shape (n, samples), samples at least `window`.
        sample_rate: Samples a second.
        window: Samples a frame; weighted by a periodic Hann window.
        hop: Samples from one frame to the next.
        bands: Number of mel bands.
        floor: Added to the power before the logarithm, positive.

    Returns:
        log(power + floor), float64, shape (n, bands, frames) with frames = 1 + (samples - window) // hop.
    """
    if waves.ndim != 2 or waves.shape[1] < window:
        raise ValueError(
            f"got waveforms of shape {waves.shape}; expected (n, samples) with at least {window} samples. "
            "Shorten the window or lengthen the waveforms."
        )
    frames = sliding_window_view(waves.astype(np.float64), window, axis=1)[:, ::hop]
    power = np.abs(np.fft.rfft(frames * hann_window(window), axis=2)) ** 2
    mel: np.ndarray = np.log(power @ mel_filterbank(sample_rate, window, bands).T + floor).transpose(0, 2, 1)
    return mel
