import numpy as np
import pytest
import torch
from scipy.ndimage import zoom
from sklearn import datasets
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import cross_val_score

from equipoise.core.data_plan import BundledData, GeneratedData, GivenData
from equipoise.core.signature import ArrayInput, ImageInput
from equipoise.data.decode import decode
from equipoise.data.generated import linear, noise, sequences
from equipoise.data.load import load


def test_digits_are_scikit_learns():
    splits = load(BundledData(name="digits"), 0)
    bunch = datasets.load_digits()
    assert splits.signature.inputs == ImageInput(channels=1, height=8, width=8, low=0, high=16)
    assert splits.signature.task.classes == tuple("0123456789")
    for part, rows in splits.rows.items():
        np.testing.assert_array_equal(splits.part(part).inputs[:, 0], bunch.images[rows])
        np.testing.assert_array_equal(splits.part(part).targets, bunch.target[rows])
    assert sorted(np.concatenate(list(splits.rows.values()))) == list(range(1797))
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (1168, 270, 359)


def test_enlarged_digits_agree_with_scipy():
    splits = load(BundledData(name="digits", side=28), 0)
    assert splits.signature.inputs == ImageInput(channels=1, height=28, width=28, low=0, high=16)
    small = datasets.load_digits().images[splits.rows["test"][:20]]
    expected = np.stack([zoom(one, 3.5, order=1, mode="nearest", grid_mode=True) for one in small])
    np.testing.assert_allclose(splits.test.inputs[:20, 0], expected, atol=1e-4)


def test_digits_as_sequences_and_for_other_tasks():
    splits = load(BundledData(name="digits", layout="sequence"), 0)
    assert splits.signature.inputs == ArrayInput(shape=(8, 8), axes="steps,features")
    assert load(BundledData(name="digits", task="reconstruction"), 0).train.targets.shape[1] == 0
    clustered = load(BundledData(name="digits", task="clustering"), 0)
    assert clustered.signature.task.clusters == 10
    assert set(clustered.train.targets.tolist()) == set(range(10))


@pytest.mark.parametrize(
    ("name", "kind", "columns", "n"),
    [
        ("breast-cancer", "binary", 30, 569),
        ("wine", "multiclass", 13, 178),
        ("iris", "multiclass", 4, 150),
        ("diabetes", "regression", 10, 442),
    ],
)
def test_tables_are_scikit_learns_with_real_names(name, kind, columns, n):
    splits = load(BundledData(name=name), 0)
    reader = getattr(datasets, f"load_{name.replace('-', '_')}")
    bunch = reader(scaled=False) if name == "diabetes" else reader()
    assert splits.signature.task.kind == kind
    assert [column.name for column in splits.signature.inputs.columns] == list(bunch.feature_names)
    assert len(splits.signature.inputs.columns) == columns
    assert sum(len(splits.part(part)) for part in splits.rows) == n
    np.testing.assert_allclose(splits.test.inputs, bunch.data[splits.rows["test"]], rtol=1e-6)
    targets = splits.test.targets.numpy()
    np.testing.assert_array_equal(targets[:, 0] if kind == "regression" else targets, bunch.target[splits.rows["test"]])
    if kind != "regression":
        assert splits.signature.task.classes == tuple(bunch.target_names)


def test_linear_is_learnable_up_to_its_noise_and_noise_is_not():
    inputs, targets = linear(4000, 0)
    residual = targets - LinearRegression().fit(inputs, targets).predict(inputs)
    assert residual.std() == pytest.approx(0.1, rel=0.05)
    assert targets.std() == pytest.approx(1, rel=0.05)
    inputs, targets = noise(4000, 0)
    assert LinearRegression().fit(inputs, targets).score(inputs, targets) < 0.01
    assert np.abs(np.corrcoef(inputs.T, targets)[-1, :-1]).max() < 5 / np.sqrt(4000)


def test_sequences_are_decided_by_order_alone():
    inputs, targets = sequences(1500, 0)
    assert inputs.shape == (1500, 16, 3)
    assert (targets == "rising").mean() == 0.5
    # Brute force: match both patterns everywhere; the one that fits best earlier came first.
    template = np.eye(3)
    scores = np.stack(
        [[(inputs[:, s : s + 3] * shape).sum((1, 2)) for s in range(14)] for shape in (template, template[::-1])]
    )
    rising, falling = scores.argmax(1)
    assert ((rising < falling) == (targets == "rising")).mean() > 0.99
    # Sums over steps, which is all that a network without order sees, tell nothing.
    pooled = np.concatenate([inputs.sum(1), inputs.max(1)], axis=1)
    assert cross_val_score(LogisticRegression(), pooled, targets).mean() == pytest.approx(0.5, abs=0.05)


def test_xor_has_the_same_four_points_in_every_part_by_design():
    splits = load(GeneratedData(name="xor"), 0)
    expected = {(0.0, 0.0): 0, (0.0, 1.0): 1, (1.0, 0.0): 1, (1.0, 1.0): 0}
    for part in ("train", "validation", "test"):
        points = splits.part(part)
        assert {tuple(x): y for x, y in zip(points.inputs.tolist(), points.targets.tolist(), strict=True)} == expected
    assert "by design" in splits.notes[0]
    assert len(load(GeneratedData(name="xor", n=40), 0).train) == 40


@pytest.mark.parametrize("name", ["linear", "noise", "sequences", "reviews"])
def test_generated_data_depend_on_their_own_seed_and_on_the_splits(name):
    first = load(GeneratedData(name=name, n=80), 0)
    assert load(GeneratedData(name=name, n=80), 0).digest == first.digest
    assert load(GeneratedData(name=name, n=80, seed=1), 0).digest != first.digest
    other = load(GeneratedData(name=name, n=80), 1)
    assert other.rows["test"].tolist() != first.rows["test"].tolist()
    if name != "reviews":
        assert sorted(map(str, _all(other).tolist())) == sorted(map(str, _all(first).tolist()))


def _all(splits):
    return torch.cat([splits.part(part).inputs for part in splits.rows])


@pytest.mark.parametrize(("name", "n"), [("photographs", 24), ("tones", 30), ("reviews", 30)])
def test_generated_folders_are_loaded_with_and_without_a_workspace(name, n, tmp_path):
    kept = load(GeneratedData(name=name, n=n), 0, workspace=tmp_path)
    assert any(path.is_file() for path in (tmp_path / name).rglob("*"))
    temporary = load(GeneratedData(name=name, n=n), 0)
    assert kept.digest == temporary.digest
    assert sum(len(temporary.part(part)) for part in temporary.rows) == n
    assert temporary.train.resident
    assert decode(temporary.signature, temporary.test.inputs).shape == temporary.test.inputs.shape


def test_progress_ends_with_the_sizes():
    heard = []
    load(BundledData(name="iris"), 0, on_progress=heard.append)
    assert heard[-1].finished
    assert heard[-1].note == "iris: 98 train, 22 validation, 30 test"


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (BundledData(name="iris", side=16), "got side 16 .* with 'iris'; expected them only with 'digits'"),
        (BundledData(name="wine", layout="sequence"), "got .* layout 'sequence' with 'wine'; expected"),
        (BundledData(name="iris", task="binary"), "got 3 classes .* binary task; expected 2"),
        (GeneratedData(name="xor", n=6), "got n = 6 for xor; expected a multiple of 4"),
        (GeneratedData(name="linear", n=3), "got 3 samples; expected at least 8"),
        (GeneratedData(name="reviews", n=3), "got n = 3 reviews; expected at least 8"),
        (GivenData(), "got a plan for data that were handed over in Python; expected data that can be read again"),
    ],
)
def test_what_cannot_be_made_says_why(plan, message):
    with pytest.raises(ValueError, match=message):
        load(plan, 0)
