"""Pre-processing modules against scikit-learn, scipy and torch's own spectrogram."""

import numpy as np
import pandas as pd
import pytest
import torch
from network_cases import SPECS, TABLE, TABLE_NUMBERS, TASKS, case, raw
from scipy.signal import spectrogram
from sklearn.compose import ColumnTransformer
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from equipoise.core.preprocessing import NoNumbers, Preprocessing, SoundNumbers, TableNumbers
from equipoise.core.signature import Column, Signature, SoundInput, TableInput
from equipoise.networks.features import features_of, frames
from equipoise.networks.preprocess import inverse_module, preprocess_module
from equipoise.stats.mel import log_mel, mel_filterbank


def test_table_features_equal_a_scikit_learn_pipeline():
    generator = np.random.default_rng(0)
    n = 200
    table = pd.DataFrame(
        {
            "age": generator.normal(40, 10, n),
            "pay": generator.lognormal(8, 1, n),
            "town": generator.choice([0.0, 1.0, 2.0], n),
        }
    )
    table.loc[generator.random(n) < 0.2, "age"] = np.nan
    table.loc[generator.random(n) < 0.1, "town"] = np.nan
    numeric = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    one_hot = OneHotEncoder(categories=[[0.0, 1.0, 2.0]], handle_unknown="ignore", sparse_output=False)
    pipeline = ColumnTransformer(
        [
            ("numeric", numeric, ["age", "pay"]),
            ("one-hot", one_hot, ["town"]),
            ("missing", MissingIndicator(features="all"), ["age", "town"]),
        ]
    ).fit(table)
    imputer, scaler = pipeline.named_transformers_["numeric"]
    numbers = TableNumbers(
        fill=(*imputer.statistics_, 0.0),
        mean=(*scaler.mean_, 0.0),
        scale=(*scaler.scale_, 1.0),
        missing=(True, False, True),
        widths=(1, 1, 3),
    )
    spec = TableInput(
        columns=(
            Column(name="age", kind="numeric"),
            Column(name="pay", kind="numeric"),
            Column(name="town", kind="category", categories=("x", "y", "z")),
        )
    )
    signature = Signature(inputs=spec, task=TASKS["binary"])
    module = preprocess_module(signature, Preprocessing(inputs=numbers))
    features = module(torch.tensor(table.to_numpy(), dtype=torch.float32))
    assert features_of(spec, numbers).shape == (7,)
    assert np.allclose(features.numpy(), pipeline.transform(table), atol=1e-4)


def test_raw_units_still_impute_and_encode():
    signature, preprocessing = case("table", "binary")
    features = preprocess_module(signature, preprocessing, standardise=False)(raw("table"))
    rows = raw("table")
    assert features[0, 0] == 40.0
    assert torch.equal(features[1:, 0], rows[1:, 0])
    assert features[1, 1:4].eq(0).all()
    assert torch.equal(features[:, 4], rows[:, 2])
    assert features[:, 5].tolist() == [1.0, 0.0, 0.0, 0.0]


def test_a_missing_cell_spoils_no_gradient():
    signature, preprocessing = case("table", "binary")
    rows = raw("table").requires_grad_()
    preprocess_module(signature, preprocessing)(rows).sum().backward()
    assert rows.grad.isfinite().all()
    assert rows.grad[0, 0] == 0
    assert rows.grad[1, 0] == pytest.approx(0.1)


@pytest.mark.parametrize("kind", ["image", "sequence", "vector", "any"])
def test_standardising_is_undone_by_the_inverse(kind):
    signature, preprocessing = case(kind, "reconstruction")
    module = preprocess_module(signature, preprocessing)
    inputs = raw(kind)
    assert torch.allclose(inverse_module(module, signature, preprocessing)(module(inputs)), inputs, atol=1e-4)
    assert torch.equal(preprocess_module(signature, preprocessing, standardise=False)(inputs), inputs)


def test_a_table_comes_back_with_its_categories_and_its_imputed_cells():
    signature, preprocessing = case("table", "reconstruction")
    module = preprocess_module(signature, preprocessing)
    rows = raw("table", n=20)
    back = inverse_module(module, signature, preprocessing)(module(rows))
    expected = rows.clone()
    expected[0, 0], expected[1, 1] = 40.0, 0.0
    assert torch.allclose(back, expected, atol=1e-2)


def test_a_column_without_categories_and_one_with_a_single_one():
    spec = TableInput(
        columns=(Column(name="a", kind="category"), Column(name="b", kind="category", categories=("only",)))
    )
    numbers = TableNumbers(fill=(0.0,) * 2, mean=(0.0,) * 2, scale=(1.0,) * 2, missing=(True, False), widths=(0, 1))
    signature, preprocessing = Signature(inputs=spec, task=TASKS["reconstruction"]), Preprocessing(inputs=numbers)
    module = preprocess_module(signature, preprocessing)
    features = module(torch.tensor([[torch.nan, 0.0], [torch.nan, torch.nan]]))
    assert features.tolist() == [[1.0, 1.0], [0.0, 1.0]]
    back = inverse_module(module, signature, preprocessing)(features)
    assert back[:, 0].isnan().all()
    assert back[0, 1] == 0


@pytest.mark.parametrize(("window", "hop"), [(64, 32), (100, 37), (255, 80), (1024, 512)])
def test_log_mel_equals_scipys_and_torchs_spectrograms_through_the_filterbank(window, hop):
    numbers = SoundNumbers(
        sample_rate=8000, window=window, hop=hop, bands=8, floor=1e-6, mean=(0.0,) * 8, scale=(1.0,) * 8
    )
    spec = SoundInput(sample_rate=8000, samples=3000)
    signature = Signature(inputs=spec, task=TASKS["binary"])
    waves = torch.rand(3, 3000, generator=torch.Generator().manual_seed(0)) * 2 - 1
    ours = preprocess_module(signature, Preprocessing(inputs=numbers), standardise=False)(waves)
    assert tuple(ours.shape[1:]) == features_of(spec, numbers).shape
    hann = torch.hann_window(window, dtype=torch.float64)
    power = torch.stft(waves.double(), window, hop, window=hann, center=False, return_complex=True).abs() ** 2
    bank = mel_filterbank(8000, window, 8)
    by_torch = np.log(np.einsum("kb,nbt->ntk", bank, power.numpy()) + 1e-6)
    assert np.allclose(ours, by_torch, atol=2e-4)
    _, _, magnitude = spectrogram(
        waves.double().numpy(),
        window=hann.numpy(),
        noverlap=window - hop,
        detrend=False,
        scaling="spectrum",
        mode="magnitude",
    )
    by_scipy = np.log(np.einsum("kb,nbt->ntk", bank, (magnitude * hann.sum().item()) ** 2) + 1e-6)
    assert np.allclose(ours, by_scipy, atol=2e-4)
    shared = log_mel(waves.numpy(), sample_rate=8000, window=window, hop=hop, bands=8, floor=1e-6)
    assert np.allclose(ours, shared.transpose(0, 2, 1), atol=2e-4)


def test_a_pure_tone_lights_the_band_that_holds_it():
    numbers = SoundNumbers(
        sample_rate=8000, window=256, hop=128, bands=20, floor=1e-9, mean=(0.0,) * 20, scale=(1.0,) * 20
    )
    signature = Signature(inputs=SoundInput(sample_rate=8000, samples=2048), task=TASKS["binary"])
    module = preprocess_module(signature, Preprocessing(inputs=numbers), standardise=False)
    time = torch.arange(2048) / 8000
    bands = module(torch.sin(2 * torch.pi * 1000 * time)[None]).mean((0, 1))
    assert int(bands.argmax()) == int(mel_filterbank(8000, 256, 20)[:, 32].argmax())


def test_sounds_shorter_than_the_window_are_refused():
    with pytest.raises(ValueError, match="got sounds of 10 samples; expected at least 64"):
        frames(10, SPECS["sound"][1])


@pytest.mark.parametrize("kind", ["table", "image", "sound", "sequence"])
def test_numbers_fitted_on_other_data_are_refused(kind):
    signature, _ = case(kind, "binary")
    other = case("vector" if kind == "image" else "image", "binary")[1]
    with pytest.raises(ValueError, match="got numbers fitted on .* expected the same kind"):
        preprocess_module(signature, other)
    short = case(kind, "binary")[1].replace(inputs__mean=[0.0] * 9)
    with pytest.raises(ValueError, match="got 9 means"):
        preprocess_module(signature, short)


def test_without_numbers_raw_inputs_pass():
    signature = Signature(inputs=TABLE, task=TASKS["binary"])
    rows = raw("table")[2:]
    assert torch.equal(preprocess_module(signature, Preprocessing(inputs=NoNumbers()))(rows), rows)
    assert features_of(TABLE, TABLE_NUMBERS).shape == (6,)
