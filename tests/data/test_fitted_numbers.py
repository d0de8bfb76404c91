import numpy as np
import torch
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import StandardScaler

from equipoise.core.signature import ArrayInput, Column, ImageInput, Signature, SoundInput, TableInput, Task, TextInput
from equipoise.data.numbers import FLOOR, fit_numbers, spectrum_settings
from equipoise.data.samples import TensorSamples
from equipoise.stats.mel import log_mel, mel_filterbank

CLASSES = Task(kind="binary", classes=("a", "b"))


def samples(inputs, targets=None):
    tensor = torch.from_numpy(np.ascontiguousarray(inputs))
    answers = torch.zeros(len(tensor), dtype=torch.int64) if targets is None else torch.from_numpy(targets)
    return TensorSamples(tensor, answers)


def fitted(inputs, spec, task=CLASSES, targets=None):
    return fit_numbers(samples(inputs, targets), Signature(inputs=spec, task=task))


def test_table_numbers_agree_with_scikit_learn():
    generator = np.random.default_rng(0)
    cells = (generator.standard_normal((1500, 4)) * [1, 100, 1e-3, 5] + [0, 1e6, 3, -7]).astype(np.float32)
    cells[generator.random(cells.shape) < 0.2] = np.nan
    cells[:, 3] = np.where(np.isnan(cells[:, 3]), 1, cells[:, 3])
    columns = tuple(Column(name=name, kind="numeric") for name in "abcd")
    numbers = fitted(cells, TableInput(columns=columns)).inputs
    scaler = StandardScaler().fit(cells.astype(np.float64))
    np.testing.assert_allclose(numbers.mean, scaler.mean_, rtol=1e-9)
    np.testing.assert_allclose(numbers.scale, scaler.scale_, rtol=1e-6)
    median = SimpleImputer(strategy="median").fit(cells.astype(np.float64)).statistics_
    np.testing.assert_allclose(numbers.fill, median)
    assert numbers.missing == (True, True, True, False)
    assert numbers.widths == (1, 1, 1, 1)


def test_categories_dates_constants_and_empty_columns():
    cells = np.array([[0, 19000.0, 7, np.nan], [1, 19010, 7, np.nan], [np.nan, 19020, 7, np.nan]], dtype=np.float32)
    columns = (
        Column(name="colour", kind="category", categories=("blue", "red")),
        Column(name="day", kind="date"),
        Column(name="constant", kind="numeric"),
        Column(name="gone", kind="numeric"),
    )
    numbers = fitted(cells, TableInput(columns=columns)).inputs
    assert numbers.widths == (2, 1, 1, 1)
    assert numbers.missing == (True, False, False, True)
    assert numbers.fill == (0, 19010, 7, 0)
    assert numbers.mean == (0, 19010, 7, 0)
    np.testing.assert_allclose(numbers.scale, [1, np.std([0, 10, 20]), 1, 1])


def test_image_numbers_are_per_channel_over_more_than_one_batch():
    generator = np.random.default_rng(1)
    images = (generator.random((1100, 3, 5, 4)) * np.array([255, 10, 1])[:, None, None] + 3).astype(np.float32)
    images[:, 2] = 9
    numbers = fitted(images, ImageInput(channels=3, height=5, width=4)).inputs
    np.testing.assert_allclose(numbers.mean, images.astype(np.float64).mean((0, 2, 3)))
    deviation = images.astype(np.float64).std((0, 2, 3))
    np.testing.assert_allclose(numbers.scale, [*deviation[:2], 1.0])


def test_array_numbers_by_axes():
    generator = np.random.default_rng(2)
    rows = generator.standard_normal((700, 6)).astype(np.float32) * 3 + 1e4
    numbers = fitted(rows, ArrayInput(shape=(6,))).inputs
    scaler = StandardScaler().fit(rows.astype(np.float64))
    np.testing.assert_allclose(numbers.mean, scaler.mean_)
    np.testing.assert_allclose(numbers.scale, scaler.scale_, rtol=1e-6)
    steps = generator.standard_normal((50, 7, 2)).astype(np.float32)
    numbers = fitted(steps, ArrayInput(shape=(7, 2), axes="steps,features")).inputs
    np.testing.assert_allclose(numbers.mean, steps.astype(np.float64).mean((0, 1)))
    numbers = fitted(steps, ArrayInput(shape=(7, 2), axes="any")).inputs
    np.testing.assert_allclose(numbers.scale, [steps.astype(np.float64).std()])


def test_sound_numbers_are_the_moments_of_the_log_mel_spectrum():
    waves = np.random.default_rng(3).uniform(-1, 1, (600, 2000)).astype(np.float32)
    numbers = fitted(waves, SoundInput(sample_rate=8000, samples=2000)).inputs
    spectra = log_mel(waves, sample_rate=8000, window=numbers.window, hop=numbers.hop, bands=numbers.bands, floor=FLOOR)
    np.testing.assert_allclose(numbers.mean, spectra.mean((0, 2)))
    np.testing.assert_allclose(numbers.scale, spectra.std((0, 2)))
    assert (numbers.window, numbers.hop, numbers.floor) == (256, 128, FLOOR)


def test_spectrum_settings_fit_any_rate_and_length():
    for rate in (4000, 8000, 11025, 16000, 22050, 44100, 48000):
        for length in (20, 300, rate):
            window, hop, bands = spectrum_settings(SoundInput(sample_rate=rate, samples=length))
            assert 4 <= window <= max(4, length)
            assert 1 <= hop <= window
            assert (mel_filterbank(rate, window, bands).max(1) > 0).all()
    assert spectrum_settings(SoundInput(sample_rate=16000, samples=16000)) == (512, 256, 40)


def test_regression_targets_are_scaled_and_others_are_not():
    targets = np.random.default_rng(4).standard_normal((90, 2)).astype(np.float32) * [5, 1] + [100, 0]
    targets = targets.astype(np.float32)
    task = Task(kind="regression", targets=("price", "area"))
    preprocessing = fitted(np.zeros((90, 2), np.float32), ArrayInput(shape=(2,)), task, targets)
    scaler = StandardScaler().fit(targets.astype(np.float64))
    np.testing.assert_allclose(preprocessing.target_mean, scaler.mean_)
    np.testing.assert_allclose(preprocessing.target_scale, scaler.scale_, rtol=1e-6)
    assert fitted(np.zeros((9, 2), np.float32), ArrayInput(shape=(2,))).target_mean == ()


def test_token_ids_need_no_numbers():
    assert fitted(np.zeros((4, 3), np.int64), TextInput(length=3, vocabulary=9, tokenizer="")).inputs.kind == "none"


class Streamed:
    """Samples that count how many were read."""

    resident = False

    def __init__(self, values):
        self.values, self.read = values, 0

    def __len__(self):
        return len(self.values)

    def batch(self, index):
        self.read += len(index)
        return self.values[index], torch.zeros(len(index), dtype=torch.int64)


def test_streamed_samples_are_not_all_read():
    streamed = Streamed(torch.randn(5000, 2, generator=torch.Generator().manual_seed(0)) + 4)
    preprocessing = fit_numbers(streamed, Signature(inputs=ArrayInput(shape=(2,)), task=CLASSES))
    assert streamed.read == 2000
    np.testing.assert_allclose(preprocessing.inputs.mean, [4, 4], atol=0.1)
