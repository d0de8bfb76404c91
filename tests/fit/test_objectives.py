import numpy as np
import pytest
import torch
from fit_subjects import plan, splits
from sklearn.metrics import adjusted_rand_score
from torch import nn
from torch.distributions import Normal, kl_divergence
from torch.nn import functional

from equipoise.core.preprocessing import ArrayNumbers
from equipoise.core.recipe import Recipe
from equipoise.core.signature import Task
from equipoise.fit.fit import fit
from equipoise.fit.objectives import build_objective
from equipoise.networks.build import build

DRAWS = torch.Generator()
BOTH = ArrayNumbers(mean=(0.0,) * 6, scale=(1.0,) * 6)


def unlabelled(kind, n=300, clusters=0):
    """Three clouds in six dimensions that vary along three directions."""
    generator = np.random.default_rng(0)
    centres = generator.normal(size=(3, 3)) * 3
    codes = centres[np.arange(n) % 3] + 0.3 * generator.normal(size=(n, 3))
    inputs = (codes @ generator.normal(size=(3, 6))).astype(np.float32)
    targets = np.arange(n) % 3 if kind == "clustering" else np.zeros((n, 0), np.float32)
    return splits(inputs, targets, Task(kind=kind, clusters=clusters), numbers=BOTH)


def network_for(kind, **options):
    family = "generative-pair" if kind == "generation" else "autoencoder"
    data = unlabelled(kind, clusters=3 if kind == "clustering" else 0)
    chosen = plan({"family": family, "hidden": [16], **options})
    return build(chosen.network, data.signature, data.preprocessing, 0), data


def test_the_bound_of_a_variational_autoencoder_is_its_formula():
    network, data = network_for("reconstruction", code=2, variational=True)
    features = network.preprocess(data.train.inputs)
    objective = build_objective(Recipe(), "reconstruction", network.body, None)
    network.train()
    torch.manual_seed(3)
    loss, _ = objective(features, features, DRAWS)
    torch.manual_seed(3)
    again, _ = network.body.scores_and_divergence(features)
    mean, log_variance = network.body.encoder(features).chunk(2, 1)
    divergence = kl_divergence(Normal(mean, (0.5 * log_variance).exp()), Normal(0.0, 1.0)).sum(1)
    # The negative bound with a unit-variance normal likelihood, times 2 / features, without its constant.
    bound = 0.5 * (again - features).square().sum(1) + divergence
    torch.testing.assert_close(loss, 2 * bound.mean() / 6)


def test_the_adversarial_sum_gives_each_player_its_own_gradient():
    network, data = network_for("generation", noise=4)
    body, features = network.body, network.preprocess(data.train.inputs)
    objective = build_objective(Recipe(), "generation", body, None)
    loss, _ = objective(features, features, DRAWS.manual_seed(1))
    loss.backward()
    found = {name: parameter.grad.clone() for name, parameter in body.named_parameters()}

    def loss_of(logits, real):
        return functional.binary_cross_entropy_with_logits(logits, torch.full_like(logits, float(real)))

    body.zero_grad()
    made = body.generate(len(features), DRAWS.manual_seed(1))
    (loss_of(body.discriminate(features), True) + loss_of(body.discriminate(made.detach()), False)).backward()
    expected = {name: p.grad.clone() for name, p in body.discriminator.named_parameters(prefix="discriminator")}
    body.zero_grad()
    loss_of(body.discriminate(body.generate(len(features), DRAWS.manual_seed(1))), True).backward()
    expected |= {name: p.grad.clone() for name, p in body.generator.named_parameters(prefix="generator")}
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient)


@pytest.mark.parametrize("kind", ["clustering", "generation"])
def test_a_body_that_cannot_is_refused_with_the_family_that_can(kind):
    with pytest.raises(ValueError, match="autoencoder" if kind == "clustering" else "generative-pair"):
        build_objective(Recipe(), kind, nn.Linear(3, 3), None)


@pytest.mark.parametrize("variational", [False, True])
def test_an_autoencoder_learns_to_restore(variational):
    data = unlabelled("reconstruction")
    network = {"family": "autoencoder", "hidden": [16], "code": 3, "variational": variational}
    fitted = fit(plan(network, epochs=60, learning_rate=0.01), 0, splits=data)
    scores = next(v for v in fitted.vitals if v.name == "score").values
    assert scores[0] < scores[-1]
    assert max(scores) > 0.9


def test_a_denoising_autoencoder_restores_the_clean_features():
    data = unlabelled("reconstruction")
    network = {"family": "autoencoder", "hidden": [16], "code": 3}
    fitted = fit(plan(network, epochs=60, learning_rate=0.01, augmentation=("noise",)), 0, splits=data)
    assert max(next(v for v in fitted.vitals if v.name == "score").values) > 0.9


def test_clusters_are_found_on_the_code():
    data = unlabelled("clustering", clusters=3)
    network = {"family": "autoencoder", "hidden": [16], "code": 3}
    fitted = fit(plan(network, epochs=40, learning_rate=0.01, finish=("clusters",)), 0, splits=data)
    found = fitted.predict(data.test.inputs.numpy())
    assert adjusted_rand_score(data.test.targets, found) > 0.85


def test_a_generative_pair_learns_the_scale_of_the_data():
    generator = np.random.default_rng(0)
    inputs = (generator.normal(size=(600, 2)) * [0.2, 1.0] + [3.0, -1.0]).astype(np.float32)
    numbers = ArrayNumbers(mean=(0.0, 0.0), scale=(1.0, 1.0))
    data = splits(inputs, np.zeros((600, 0), np.float32), Task(kind="generation"), numbers=numbers)
    network = {"family": "generative-pair", "hidden": [32], "noise": 4}
    fitted = fit(plan(network, epochs=60, learning_rate=0.003), 0, splits=data)
    made = fitted.network.body.generate(500, torch.Generator().manual_seed(0)).detach().numpy()
    start = build(fitted.plan.network, data.signature, data.preprocessing, 0)
    raw = start.body.generate(500, torch.Generator().manual_seed(0)).detach().numpy()

    def gap(samples):
        return np.abs(samples.mean(0) - inputs.mean(0)).max()

    assert gap(made) < 0.5 < gap(raw)
    scores = next(v for v in fitted.vitals if v.name == "score").values
    assert fitted.best_epoch == int(np.argmax(scores)) + 1
