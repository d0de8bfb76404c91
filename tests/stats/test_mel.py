import numpy as np
import pytest
import torch

from equipoise.stats.mel import hann_window, log_mel, mel_filterbank


def mel(frequency):
    return 2595 * np.log10(1 + frequency / 700)


@pytest.mark.parametrize(("sample_rate", "window", "bands"), [(8000, 256, 40), (16000, 512, 64), (8000, 255, 20)])
def test_filters_are_triangles_evenly_spaced_in_mel(sample_rate, window, bands):
    filters = mel_filterbank(sample_rate, window, bands)
    frequencies = np.fft.rfftfreq(window, 1 / sample_rate)
    corners = np.interp(
        np.linspace(0, mel(sample_rate / 2), bands + 2),
        mel(np.linspace(0, sample_rate / 2, 200_001)),
        np.linspace(0, sample_rate / 2, 200_001),
    )
    for i, weights in enumerate(filters):
        expected = np.interp(frequencies, corners[i : i + 3], [0, 1, 0], left=0, right=0)
        np.testing.assert_allclose(weights, expected, atol=2e-4)


def test_neighbouring_filters_add_up_to_one_between_the_first_and_last_centre():
    total = mel_filterbank(16000, 512, 40).sum(0)
    assert np.allclose(total[4:-20], 1)


def test_log_mel_agrees_with_torch_stft():
    generator = np.random.default_rng(0)
    waves = generator.uniform(-1, 1, (3, 2000)).astype(np.float32)
    spectra = log_mel(waves, sample_rate=8000, window=256, hop=100, bands=20, floor=1e-6)
    spectrum = (
        torch.stft(
            torch.from_numpy(waves).double(),
            n_fft=256,
            hop_length=100,
            center=False,
            return_complex=True,
            window=torch.hann_window(256, dtype=torch.float64),
        ).abs()
        ** 2
    )
    expected = np.log(np.einsum("bf,nft->nbt", mel_filterbank(8000, 256, 20), spectrum.numpy()) + 1e-6)
    assert spectra.shape == (3, 20, 1 + (2000 - 256) // 100)
    np.testing.assert_allclose(spectra, expected, rtol=1e-9)


def test_a_tone_is_loudest_in_the_band_around_its_frequency():
    time = np.arange(4000) / 8000
    for frequency in (300, 1000, 2500):
        spectra = log_mel(
            np.sin(2 * np.pi * frequency * time)[None], sample_rate=8000, window=256, hop=128, bands=30, floor=1e-6
        )
        centres = np.linspace(0, mel(4000), 32)[1:-1]
        assert abs(spectra[0].mean(1).argmax() - np.abs(centres - mel(frequency)).argmin()) <= 1


def test_silence_is_the_floor():
    spectra = log_mel(np.zeros((1, 600)), sample_rate=8000, window=256, hop=128, bands=10, floor=1e-6)
    assert np.allclose(spectra, np.log(1e-6))


def test_hann_window_is_periodic():
    np.testing.assert_allclose(hann_window(8), torch.hann_window(8, dtype=torch.float64).numpy())


@pytest.mark.parametrize("bad", [(0, 256, 10), (8000, 1, 10), (8000, 256, 0)])
def test_impossible_settings_are_refused(bad):
    with pytest.raises(ValueError, match="got sample_rate .* expected a positive rate"):
        mel_filterbank(*bad)


def test_a_wave_shorter_than_a_frame_is_refused():
    with pytest.raises(ValueError, match="got waveforms of shape .* expected .* at least 256 samples"):
        log_mel(np.zeros((1, 200)), sample_rate=8000, window=256, hop=128, bands=10, floor=1e-6)
