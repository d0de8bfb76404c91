"""The log-mel spectrogram as a module of ordinary operations, so that it exports with the network."""

import math

import numpy as np
import torch
from torch import Tensor, nn

from equipoise.core.preprocessing import SoundNumbers
from equipoise.stats.mel import mel_filterbank


class LogMel(nn.Module):
    """Log-mel spectrogram of a waveform: log(mel bands of the power spectrum + floor).

    The short-time Fourier transform (periodic Hann window, no centre padding) is written as a strided convolution with
    windowed cosines and sines, since complex tensors do not export to ONNX.
    """

    basis: Tensor
    filters: Tensor

    def __init__(self, numbers: SoundNumbers) -> None:
        super().__init__()
        self.hop = numbers.hop
        self.floor = numbers.floor
        self.bins = numbers.window // 2 + 1
        self.register_buffer("basis", _fourier_basis(numbers.window))
        filters = np.asarray(mel_filterbank(numbers.sample_rate, numbers.window, numbers.bands))
        self.register_buffer("filters", torch.from_numpy(filters.astype(np.float32)))

    def forward(self, inputs: Tensor) -> Tensor:
        """Return (n, frames, bands) in log power of waveforms (n, samples)."""
        spectrum = nn.functional.conv1d(inputs.unsqueeze(1), self.basis, stride=self.hop)
        real, imaginary = spectrum.split(self.bins, dim=1)
        power = real.square() + imaginary.square()
        bands = torch.matmul(self.filters, power)
        return (bands + self.floor).log().transpose(1, 2)


def _fourier_basis(window: int) -> Tensor:
    """Return (2 * bins, 1, window): windowed cosines, then windowed sines; computed in float64."""
    time = torch.arange(window, dtype=torch.float64)
    # The phase is reduced to one turn in integers: 2 pi k t of a long window would lose digits in the cosine.
    turns = torch.outer(torch.arange(window // 2 + 1), torch.arange(window)) % window
    phase = turns.to(torch.float64) * (2.0 * math.pi / window)
    hann = 0.5 - 0.5 * torch.cos(time * (2.0 * math.pi / window))
    return torch.cat([phase.cos() * hann, phase.sin() * hann]).unsqueeze(1).to(torch.float32)
