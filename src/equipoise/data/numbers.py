"""Fits what pre-processing needs on the training part: what to impute, and means and scales."""

from collections.abc import Iterator

import numpy as np
import torch

from equipoise.core.preprocessing import (
    ArrayNumbers,
    ImageNumbers,
    InputNumbers,
    NoNumbers,
    Preprocessing,
    SoundNumbers,
    TableNumbers,
)
from equipoise.core.signature import ArrayInput, ImageInput, InputSpec, Signature, SoundInput, TableInput
from equipoise.data.samples import Samples
from equipoise.stats.mel import log_mel, mel_filterbank

STREAMED_LIMIT = 2000
"""Of samples that are read from files, at most so many (evenly spaced) are looked at."""

FLOOR = 1e-6
"""Added to the power of a mel band before the logarithm; far below the power of the faintest 16-bit sound."""


def fit_numbers(train: Samples, signature: Signature) -> Preprocessing:
    """Return the numbers fitted on the training part.

    Tables: the median of each numeric or date column fills its gaps; mean and scale are those of the cells present.
    Images: mean and standard deviation a channel. Sound: the same a mel band. Arrays: a feature along the last axis
    (axes `any`: one pair). Standard deviations divide by n; what is constant has scale 1. Streamed samples are fitted
    on at most 2,000, evenly spaced.

    Args:
        train: The training part.
        signature: What goes in and comes out.
    """
    mean, scale = _target_scale(train, signature)
    return Preprocessing(inputs=_inputs(train, signature.inputs), target_mean=mean, target_scale=scale)


def _inputs(train: Samples, spec: InputSpec) -> InputNumbers:
    if isinstance(spec, TableInput):
        return _table(train, spec)
    if isinstance(spec, ImageInput):
        pixels = (np.moveaxis(batch, 1, -1).reshape(-1, spec.channels) for batch in _batches(train))
        mean, scale = _moments(pixels, spec.channels)
        return ImageNumbers(mean=mean, scale=scale)
    if isinstance(spec, SoundInput):
        return _sound(train, spec)
    if isinstance(spec, ArrayInput):
        features = 1 if spec.axes == "any" else spec.shape[-1]
        mean, scale = _moments((batch.reshape(-1, features) for batch in _batches(train)), features)
        return ArrayNumbers(mean=mean, scale=scale)
    return NoNumbers()


def _target_scale(train: Samples, signature: Signature) -> tuple[tuple[float, ...], tuple[float, ...]]:
    if signature.task.kind != "regression":
        return (), ()
    index = _chosen(train)
    targets = torch.cat([train.batch(chunk)[1] for chunk in index.split(512)]).double().cpu().numpy()
    return _moments(iter([targets]), targets.shape[1])


def _chosen(train: Samples) -> torch.Tensor:
    """Return the positions that are looked at: all of them in memory, else evenly spaced ones."""
    n = len(train)
    if train.resident or n <= STREAMED_LIMIT:
        return torch.arange(n)
    return torch.linspace(0, n - 1, STREAMED_LIMIT, dtype=torch.float64).round().long()


def _batches(train: Samples) -> Iterator[np.ndarray]:
    """Yield raw inputs in float64, 512 samples at a time."""
    for chunk in _chosen(train).split(512):
        yield train.batch(chunk)[0].double().cpu().numpy()


def _moments(batches: Iterator[np.ndarray], features: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and scale a feature over batches of rows (rows, features).

    Partial moments are merged pairwise, which loses no digits however large the mean.

    References:
        T. F. Chan, G. H. Golub and R. J. LeVeque, Algorithms for Computing the Sample Variance, The American
        Statistician 37(3), 1983, eq. 2.1.
    """
    n, mean, squares = 0, np.zeros(features), np.zeros(features)
    for batch in batches:
        rows = len(batch)
        batch_mean = batch.mean(0)
        shift = batch_mean - mean
        squares += ((batch - batch_mean) ** 2).sum(0) + shift**2 * (n * rows / (n + rows))
        mean = mean + shift * (rows / (n + rows))
        n += rows
    return _plain(mean), _scale(np.sqrt(squares / n), mean)


def _plain(values: np.ndarray) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


def _scale(deviation: np.ndarray, mean: np.ndarray) -> tuple[float, ...]:
    """Return standard deviations, with 1 where they are nothing but rounding."""
    rounding = 10 * np.finfo(np.float64).eps * np.maximum(np.abs(mean), np.finfo(np.float64).tiny)
    return _plain(np.where(deviation <= rounding, 1.0, deviation))


def _table(train: Samples, spec: TableInput) -> TableNumbers:
    cells = np.concatenate(list(_batches(train)))
    columns = []
    for values, column in zip(cells.T, spec.columns, strict=True):
        present = values[~np.isnan(values)]
        gaps = len(present) < len(values)
        if column.kind == "category":
            columns.append((0.0, 0.0, 1.0, gaps, len(column.categories)))
        elif len(present) == 0:
            columns.append((0.0, 0.0, 1.0, gaps, 1))
        else:
            (mean,), (scale,) = _moments(iter([present[:, None]]), 1)
            columns.append((float(np.median(present)), mean, scale, gaps, 1))
    fill, mean_of, scale_of, missing, widths = zip(*columns, strict=True)
    return TableNumbers(fill=fill, mean=mean_of, scale=scale_of, missing=missing, widths=widths)


def _sound(train: Samples, spec: SoundInput) -> SoundNumbers:
    window, hop, bands = spectrum_settings(spec)
    spectra = (
        log_mel(batch, sample_rate=spec.sample_rate, window=window, hop=hop, bands=bands, floor=FLOOR)
        for batch in _batches(train)
    )
    mean, scale = _moments((batch.transpose(0, 2, 1).reshape(-1, bands) for batch in spectra), bands)
    return SoundNumbers(
        sample_rate=spec.sample_rate, window=window, hop=hop, bands=bands, floor=FLOOR, mean=mean, scale=scale
    )


def spectrum_settings(spec: SoundInput) -> tuple[int, int, int]:
    """Return window, hop (both in samples) and number of mel bands for a sound of this rate and length.

    Frames of about 32 ms (a power of two), half overlapping, and 40 bands, or as many as the frequency resolution can
    tell apart (each filter covers at least one frequency).
    """
    window = 2 ** max(4, round(np.log2(0.032 * spec.sample_rate)))
    while window > spec.samples and window > 4:
        window //= 2
    bands = 40
    while bands > 1 and (mel_filterbank(spec.sample_rate, window, bands).max(1) < 0.1).any():
        bands -= 1
    return window, max(1, window // 2), bands
