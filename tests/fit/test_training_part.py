"""What is done to the training part, by its mechanism, and what is refused before anything is trained."""

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from fit_subjects import DENSE, blobs, pictures, plan, regression
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from equipoise.core.data_plan import TrainingPart
from equipoise.core.preprocessing import Projection, Selection
from equipoise.core.signature import Task, TextInput
from equipoise.data.duplicates import without_duplicates
from equipoise.data.samples import TensorSamples
from equipoise.data.select import Selected, select, train_on, with_added
from equipoise.fit.fit import fit
from equipoise.fit.held_out import assign_folds, held_out
from equipoise.fit.pruning import without_wrong_labels
from equipoise.fit.reduction import discriminants, informative, principal_components
from equipoise.fit.sampling import class_chances
from equipoise.fit.synthetic import check_synthetic, with_synthetic
from equipoise.fit.training_part import prepare_training_part
from equipoise.networks.archive import load_network, read_header, save_network


def asking(network=None, **training):
    return plan(network or DENSE, epochs=5).replace(data__training=TrainingPart(**training))


def nobody(_):
    """Hear nothing."""


def test_the_held_out_parts_and_the_plan_without_wishes_are_untouched():
    data = blobs()
    assert prepare_training_part(plan(DENSE), 0, data) is data
    done = prepare_training_part(asking(remove_duplicates=True, prune_labels=True, reduction="pca"), 0, data)
    assert done.validation is data.validation
    assert done.test is data.test
    assert done.prepared
    assert done.digest != data.digest
    assert prepare_training_part(asking(synthetic="gan"), 0, done) is done


def test_rows_are_removed_that_repeat_or_are_held_out():
    data = blobs(n=100)
    inputs, targets = data.train.inputs.clone(), data.train.targets
    inputs[7], inputs[9], inputs[11] = inputs[3], data.test.inputs[0], data.validation.inputs[5]
    inputs[13, 0], inputs[14] = torch.nan, inputs[13]
    inputs[15], inputs[15, 0] = inputs[13], torch.nan
    done = without_duplicates(replace(data, train=TensorSamples(inputs, targets)))
    kept = [i for i in range(60) if i not in (7, 9, 11, 14, 15)]
    assert done.rows["train"].tolist() == [*kept[: -0 or None]]
    assert torch.equal(done.train.targets, targets[kept])
    assert "2 training rows that are in another part and 3 that repeat" in done.notes[-1]


def test_groups_rows_and_streamed_samples_follow_a_selection():
    data = blobs(n=50)
    data = replace(data, groups={"train": np.arange(30) % 4, "validation": np.zeros(10), "test": np.zeros(10)})
    index = torch.tensor([4, 4, 0, 29])
    chosen = train_on(data, index, "some")
    assert chosen.rows["train"].tolist() == [4, 4, 0, 29]
    assert chosen.groups["train"].tolist() == [0, 0, 0, 1]
    more = with_added(chosen, torch.ones(2, 4), torch.tensor([1, 2]), torch.tensor([3, 0]), "two")
    assert more.rows["train"].tolist() == [4, 4, 0, 29, -1, -1]
    assert more.groups["train"].tolist() == [0, 0, 0, 1, 1, 0]
    assert more.train.targets.tolist()[-2:] == [1, 2]

    class Streamed:
        resident = False

        def __init__(self):
            self.told, self.closed = None, False

        def __len__(self):
            return 30

        def batch(self, wanted):
            return data.train.batch(wanted)

        def announce(self, wanted):
            self.told = wanted.tolist()

        def close(self):
            self.closed = True

    source = Streamed()
    part = select(source, index)
    assert isinstance(part, Selected)
    assert len(part) == 4
    assert not part.resident
    assert torch.equal(part.batch(torch.tensor([3, 0]))[0], data.train.inputs[[29, 4]])
    part.announce(torch.tensor([2, 1]))
    part.close()
    assert source.told == [0, 4]
    assert source.closed


def test_folds_divide_each_class_evenly_and_nobody_judges_a_row_it_saw(monkeypatch):
    labels = np.array([0] * 40 + [1] * 8)
    fold_of = assign_folds(labels, 48, 4, seed=3)
    assert np.bincount(fold_of, minlength=4).tolist() == [12] * 4
    assert np.bincount(fold_of[labels == 1], minlength=4).tolist() == [2] * 4
    assert not np.array_equal(fold_of, assign_folds(labels, 48, 4, seed=4))
    data, seen = blobs(n=80), []
    import equipoise.fit.cohort as cohort

    real = cohort.fit_members
    monkeypatch.setattr(cohort, "fit_members", lambda members, **rest: seen.extend(members) or real(members, **rest))
    found = held_out([plan(DENSE, epochs=2)], 0, data, 3, trust=False, on_progress=nobody)
    held = [set(range(48)) - set(one.splits.rows["train"].tolist()) for one in seen]
    assert sorted(i for one in held for i in one) == list(range(48))
    assert found.scores.shape == (1, 48, 3)
    alone = fit(seen[0].plan, seen[0].seed, splits=seen[0].splits).network
    where = torch.tensor(sorted(held[0]))
    with torch.no_grad():
        assert torch.allclose(found.scores[0, where], alone.scores(data.train.inputs[where]), atol=1e-6)


def test_most_flipped_labels_are_pruned_and_few_others():
    data = blobs(n=500, spread=0.7)
    draw = np.random.default_rng(0)
    wrong = draw.uniform(size=300) < 0.15
    targets = data.train.targets.clone()
    targets[wrong] = (targets[wrong] + 1) % 3
    sick = replace(data, train=TensorSamples(data.train.inputs, targets))
    asked = plan(DENSE, epochs=20, learning_rate=1e-2)
    done = without_wrong_labels(asked, 0, sick, trust=False, on_progress=nobody)
    left = np.isin(np.arange(300), done.rows["train"])
    assert (~left[wrong]).mean() > 0.7
    assert (~left[~wrong]).mean() < 0.08


def test_reductions_are_those_of_the_reference_library():
    draw = np.random.default_rng(0)
    labels = draw.integers(3, size=400)
    features = draw.normal(size=(400, 6)) @ draw.normal(size=(6, 6)) + draw.normal(size=(3, 6))[labels]
    found = principal_components(features, 4)
    ours = (features - found.mean) @ np.array(found.rows).T
    np.testing.assert_allclose(ours, PCA(4, whiten=True, svd_solver="full").fit_transform(features), atol=1e-8)
    assert np.allclose(np.cov(ours.T), np.eye(4))
    share = PCA(0.95, svd_solver="full").fit(features).n_components_
    assert len(principal_components(features, None).rows) == share
    flat = np.column_stack([features, np.zeros(400), features[:, 0]])
    assert len(principal_components(flat, 8).rows) == 6, "directions without variance are not whitened"
    found = discriminants(features, labels, None)
    ours = (features - found.mean) @ np.array(found.rows).T
    theirs = LinearDiscriminantAnalysis(solver="eigen", shrinkage="auto").fit_transform(features, labels)
    np.testing.assert_allclose(ours, theirs - theirs.mean(0), atol=1e-6)
    noise = np.concatenate([labels[:, None] + 0.1 * draw.normal(size=(400, 1)), draw.normal(size=(400, 9))], 1)
    assert informative(noise, labels, 1, 0, discrete=True).chosen == (0,)
    assert 0 in informative(noise, labels, None, 0, discrete=True).chosen
    assert len(informative(noise, labels, None, 0, discrete=True).chosen) <= 2


@pytest.mark.parametrize("reduction", ["pca", "lda", "information"])
def test_a_reduction_is_part_of_the_network_and_of_its_file(reduction, tmp_path):
    asked = asking(reduction=reduction)
    done = fit(asked, 0, splits=blobs())
    numbers = done.splits.preprocessing
    assert isinstance(numbers.reduction, Selection if reduction == "information" else Projection)
    save_network(done.network, asked.network, numbers, tmp_path / "n.safetensors")
    again = load_network(tmp_path / "n.safetensors")
    assert read_header(tmp_path / "n.safetensors").preprocessing == numbers
    inputs = done.splits.test.inputs
    assert torch.equal(again.answer(inputs), done.network.answer(inputs))


def test_balanced_chances_make_every_class_as_likely():
    targets = torch.tensor([0] * 90 + [1] * 10)
    chances = class_chances(targets)
    assert float(chances[:90].sum()) == pytest.approx(float(chances[90:].sum()))


def simulate(n: int, seed: int):
    """Return samples of the clouds' shape."""
    draw = np.random.default_rng(seed)
    return draw.normal(size=(n, 4)), [f"class {i}" for i in draw.integers(3, size=n)]


def unknown(n: int, seed: int):
    """Return a class that nobody knows."""
    return np.zeros((n, 4)), ["horse"] * n


def lopsided(n: int, seed: int):
    """Return fewer targets than inputs."""
    return np.zeros((n, 4)), ["class 0"]


def one_thing(n: int, seed: int):
    """Return no pair."""
    return np.zeros((n, 4))


def test_a_simulator_is_called_with_a_number_and_a_seed(monkeypatch):
    monkeypatch.setitem(sys.modules, "my_simulator", sys.modules[__name__])
    wish = {"synthetic": "simulation", "synthetic_share": 0.25}
    data = blobs(n=100)
    done = prepare_training_part(asking(simulator="my_simulator:simulate", **wish), 0, data)
    again = prepare_training_part(asking(simulator="my_simulator:simulate", **wish), 0, data)
    assert len(done.train) == 75
    assert torch.equal(done.train.inputs, again.train.inputs)
    assert torch.equal(done.train.inputs[:60], data.train.inputs)
    for name, message in (
        ("unknown", "got the class 'horse'"),
        ("lopsided", "got 15 inputs and 1 targets"),
        ("one_thing", r"expected \(inputs, targets\)"),
    ):
        with pytest.raises(ValueError, match=message):
            with_synthetic(asking(simulator=f"my_simulator:{name}", **wish), 0, data, on_progress=nobody)


@pytest.mark.parametrize(
    ("wish", "make", "message"),
    [
        ({"prune_labels": True}, regression, "expected one class a sample"),
        ({"reduction": "lda"}, regression, "Use 'pca' or 'information'"),
        ({"synthetic": "simulation"}, blobs, "without a simulator"),
        ({"synthetic": "gan"}, lambda: as_text(blobs()), "Use 'simulation', or leave it out"),
        ({"reduction": "pca"}, lambda: as_text(blobs()), "for token ids"),
        ({"reduction": "pca"}, lambda: kind(blobs(), "reconstruction"), "expected a task with one target a sample"),
        ({"synthetic": "gan"}, lambda: kind(blobs(), "clustering"), "expected a task with one target a sample"),
    ],
)
def test_nonsense_is_refused_with_a_cure(wish, make, message):
    with pytest.raises(ValueError, match=message):
        prepare_training_part(asking(**wish), 0, make())


def as_text(data):
    spec = TextInput(length=4, vocabulary=20, tokenizer="")
    return replace(data, signature=data.signature.replace(inputs=spec))


def kind(data, name):
    task = Task(kind=name, clusters=3 if name == "clustering" else 0)
    return replace(data, signature=data.signature.replace(task=task))


def test_a_network_made_elsewhere_takes_its_inputs_as_they_are():
    asked = asking({"family": "foreign", "factory": "a:b"}, reduction="pca")
    with pytest.raises(ValueError, match="for a network made elsewhere"):
        prepare_training_part(asked, 0, blobs())


def test_samples_in_files_are_not_added_to():
    data = blobs()
    streamed = replace(data, train=replace(data.train, resident=False))
    with pytest.raises(ValueError, match=r"Set data\.streamed to false"):
        check_synthetic(asking(synthetic="gan"), streamed)


@pytest.mark.parametrize("kind_of", ["gan", "autoencoder"])
@pytest.mark.parametrize("make", [regression, pictures], ids=["numbers", "images"])
def test_made_samples_lie_where_the_data_lie(kind_of, make, monkeypatch):
    monkeypatch.setattr("equipoise.fit.synthetic.STEPS", {"gan": 30, "autoencoder": 30})
    data = make()
    done = prepare_training_part(asking(synthetic=kind_of), 0, data)
    n = len(data.train)
    assert len(done.train) == round(1.5 * n)
    assert done.train.inputs.dtype == data.train.inputs.dtype
    made = done.train.targets[n:]
    assert made.dtype == data.train.targets.dtype
    assert done.train.inputs.isfinite().all()
    if make is pictures:
        assert float(done.train.inputs.min()) >= 0
        assert float(done.train.inputs.max()) <= 255
    elif kind_of == "autoencoder":
        assert torch.isin(made, data.train.targets).all()


@pytest.mark.parametrize(
    ("recipe", "make", "message"),
    [
        ({"class_sampling": "balanced"}, regression, "its samples have no one class"),
        ({"class_sampling": "balanced", "optimizer": "gradient-descent"}, blobs, "Use class_weights"),
    ],
)
def test_balanced_batches_need_classes_and_batches(recipe, make, message):
    with pytest.raises(ValueError, match=message):
        fit(plan(DENSE, **recipe), 0, splits=make())
