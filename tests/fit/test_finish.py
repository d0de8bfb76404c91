import numpy as np
import pytest
import torch
from fit_subjects import DENSE, blobs, plan, regression, splits
from scipy.optimize import brute
from scipy.special import log_softmax
from sklearn.cluster import KMeans

from equipoise.core.signature import Task
from equipoise.fit.clusters import place_clusters
from equipoise.fit.fit import fit
from equipoise.fit.temperature import negative_log_likelihood, scale_temperature
from equipoise.networks.build import build


def untrained(data, network=DENSE):
    return build(plan(network).network, data.signature, data.preprocessing, 0)


@pytest.mark.parametrize("true", [0.3, 1.0, 4.0])
def test_the_temperature_of_planted_scores_is_found(true):
    generator = np.random.default_rng(0)
    scores = torch.tensor(generator.normal(size=(4000, 3)) * 2)
    chances = torch.softmax(scores, 1)
    targets = torch.multinomial(chances, 1, generator=torch.Generator().manual_seed(0))[:, 0]
    network = untrained(blobs())
    found = scale_temperature(network, scores * true, targets)
    assert found == pytest.approx(true, rel=0.06)
    assert float(network.head.temperature) == pytest.approx(found)

    def likelihood(temperature):
        return -log_softmax(scores.numpy() * true / temperature, axis=1)[np.arange(4000), targets].mean()

    grid = brute(lambda t: likelihood(t[0]), ((true * 0.7, true * 1.4),), Ns=300, finish=None)
    assert found == pytest.approx(float(grid), rel=0.01)


@pytest.mark.parametrize(("kind", "count"), [("binary", 2), ("multilabel", 3)])
def test_scaling_never_makes_the_likelihood_worse(kind, count):
    generator = np.random.default_rng(0)
    width = 1 if kind == "binary" else count
    scores = torch.tensor(generator.normal(size=(200, width)) * 5)
    targets = torch.tensor(generator.integers(2, size=200 if kind == "binary" else (200, width)))
    task = Task(kind=kind, classes=tuple("abc"[:count]))
    inputs = generator.normal(size=(50, 4)).astype(np.float32)
    labels = np.zeros(50, np.int64) if kind == "binary" else np.zeros((50, width), np.float32)
    network = untrained(splits(inputs, labels, task))
    before = negative_log_likelihood(scores, targets, kind)
    temperature = scale_temperature(network, scores, targets)
    assert negative_log_likelihood(scores / temperature, targets, kind) < before
    assert temperature > 5  # the scores know nothing


def test_a_fit_with_temperature_has_the_same_classes_and_a_better_likelihood():
    recipe = {"epochs": 60, "learning_rate": 0.03}
    data = blobs(spread=2.5)
    plain, scaled = (fit(plan(DENSE, finish=f, **recipe), 0, splits=data) for f in ((), ("temperature",)))
    inputs, targets = data.validation.inputs, data.validation.targets
    with torch.no_grad():
        answers = [fitted.network.answer(inputs) for fitted in (plain, scaled)]
    assert torch.equal(answers[0].argmax(1), answers[1].argmax(1))
    losses = [float(-answer[torch.arange(len(targets)), targets].log().mean()) for answer in answers]
    assert losses[1] < losses[0]


def test_centroids_are_those_of_k_means_by_size():
    generator = np.random.default_rng(0)
    codes = np.concatenate([generator.normal(size=(n, 2)) * 0.1 + c for n, c in ((5, 0), (50, 4), (20, 9))])
    data = splits(
        generator.normal(size=(40, 6)).astype(np.float32), np.zeros(40, np.int64), Task(kind="clustering", clusters=3)
    )
    network = untrained(data, {"family": "autoencoder", "hidden": [4], "code": 2})
    place_clusters(network, torch.tensor(codes, dtype=torch.float32), 7)
    expected = KMeans(3, n_init=10, random_state=0).fit(codes).cluster_centers_
    found = network.head.centroids.numpy()
    np.testing.assert_allclose(found[found[:, 0].argsort()], expected[expected[:, 0].argsort()], atol=1e-5)
    np.testing.assert_allclose(found.mean(1), [4, 9, 0], atol=0.2)
    with pytest.raises(ValueError, match="fewer or bring more"):
        place_clusters(network, torch.zeros(2, 2), 0)


@pytest.mark.parametrize(("step", "message"), [("temperature", "Leave it out"), ("clusters", "data.task")])
def test_steps_that_do_not_suit_the_task_are_refused_before_training(step, message):
    with pytest.raises(ValueError, match=message):
        fit(plan(DENSE, finish=(step,)), 0, splits=regression())
