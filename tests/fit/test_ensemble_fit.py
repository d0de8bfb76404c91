"""Several networks trained for one plan; and what a network learns before its own training."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from fit_subjects import DENSE, blobs, plan, regression
from scipy.optimize import nnls

from equipoise.core.plan import plan_text, read_plan
from equipoise.core.signature import Task
from equipoise.fit.effort import trainings
from equipoise.fit.ensemble import fit_ensemble, stack_weights
from equipoise.fit.fit import fit
from equipoise.networks.archive import save_network
from equipoise.networks.ensemble import Members
from equipoise.stats.metrics import score


def nobody(_):
    """Hear nothing."""


def together(network=None, ensemble="deep", members=3, **rest):
    return plan(network or DENSE, **{"epochs": 3, **rest}).replace(members=members, ensemble=ensemble)


def test_the_first_member_is_the_network_of_the_seed_and_the_answer_the_mean():
    data = blobs()
    done = fit(together(), 4, splits=data)
    again = fit(together(), 4, splits=data)
    alone = fit(plan(DENSE, epochs=3), 4, splits=data)
    assert isinstance(done.network.body, Members)
    inputs = data.test.inputs
    assert torch.equal(done.network.answer(inputs), again.network.answer(inputs))
    first = done.network.body.bodies[0].state_dict()
    assert all(torch.allclose(first[name], value) for name, value in alone.network.body.state_dict().items())
    assert done.steps == 3 * alone.steps
    assert done.epochs == alone.epochs
    answer = done.network.answer(data.validation.inputs).detach().numpy()
    assert done.score == score(data.signature.task, data.validation.targets.numpy(), answer)


def test_bagged_members_see_bootstrap_samples(monkeypatch):
    import equipoise.fit.cohort as cohort

    seen, real = [], cohort.fit_members
    monkeypatch.setattr(cohort, "fit_members", lambda members, **rest: seen.extend(members) or real(members, **rest))
    fit(together(ensemble="bagged"), 0, splits=blobs())
    rows = [one.splits.rows["train"] for one in seen]
    assert all(len(one) == 120 for one in rows)
    assert all(0.5 < len(np.unique(one)) / 120 < 0.75 for one in rows)  # 1 - 1/e on average
    assert not np.array_equal(rows[0], rows[1])


def test_shares_of_a_stack_are_those_of_least_squares_without_negative_ones():
    draw = np.random.default_rng(0)
    truth = draw.normal(size=500)
    members = np.stack([truth + 0.5 * draw.normal(size=500), truth + draw.normal(size=500), draw.normal(size=500)])
    found = stack_weights(torch.tensor(members)[:, :, None], torch.tensor(truth)[:, None], "regression")
    heavy = 1e4  # a row that makes the shares sum to 1
    matrix = np.concatenate([members.T, heavy * np.ones((1, 3))])
    expected, _ = nnls(matrix, np.append(truth, heavy))
    np.testing.assert_allclose(found, expected, atol=2e-3)
    assert found[0] > found[1] > found[2]


def test_temperature_comes_after_the_mean():
    done = fit(together(finish=("temperature",)), 0, splits=blobs(spread=3.0))
    assert float(done.network.head.temperature) != 1.0


@pytest.mark.parametrize(
    ("ensemble", "kind", "message"),
    [("deep", "clustering", "whose answers have no mean"), ("stacked", "reconstruction", "'deep' or 'bagged'")],
)
def test_what_has_no_mean_is_refused(ensemble, kind, message):
    data = blobs()
    task = Task(kind=kind, clusters=3 if kind == "clustering" else 0)
    data = replace(data, signature=data.signature.replace(task=task))
    asked = together({"family": "autoencoder"}, ensemble)
    with pytest.raises(ValueError, match=message):
        fit_ensemble(asked, 0, data, trust=False, on_progress=nobody)


def test_quantities_have_a_mean_too():
    assert fit(together(epochs=30, learning_rate=1e-2), 0, splits=regression()).score > 0.8


def test_trainings_are_counted():
    one = plan(DENSE)
    assert trainings(one) == 1
    assert trainings(one.replace(members=5)) == 5
    assert trainings(one.replace(members=5, ensemble="stacked")) == 15
    assert trainings(one.replace(data__training__prune_labels=True)) == 4
    assert trainings(one.replace(network__denoise=True, members=2)) == 4
    assert trainings(one.replace(network__pretraining="related", network__related="a.safetensors")) == 1


def test_a_denoiser_takes_noise_off_and_its_weights_stay():
    data = blobs(features=12, spread=0.1)
    asked = plan({**DENSE, "denoise": True}, epochs=3)
    done = fit(asked, 0, splits=data)
    front = done.network.preprocess
    with torch.no_grad():
        clean = front.base(data.test.inputs)
        noisy = clean + 0.5 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
        assert float((front.denoiser(noisy) - clean).square().mean()) < float((noisy - clean).square().mean())
    assert not any(parameter.requires_grad for parameter in front.denoiser.parameters())


def test_pretrained_layers_are_those_of_an_autoencoder():
    data = blobs()
    asked = plan({**DENSE, "pretraining": "reconstruction"}, epochs=1, learning_rate=1e-12)
    begun, plain = fit(asked, 0, splits=data).network.body, fit(plan(DENSE, epochs=1), 0, splits=data).network.body
    assert not torch.allclose(begun[0].weight, plain[0].weight, atol=0.05)
    with torch.no_grad():
        hidden = begun[:-1](data.train.inputs)
        design = torch.cat([hidden, torch.ones(len(hidden), 1)], 1)
        left = data.train.inputs - design @ torch.linalg.lstsq(design, data.train.inputs).solution
    assert float(left.square().mean()) < 0.35 * float(data.train.inputs.var(0).mean())


@pytest.mark.parametrize(
    ("network", "message"),
    [
        ({**DENSE, "pretraining": "related"}, "without a related problem"),
        ({"family": "residual", "pretraining": "reconstruction"}, "expected dense hidden layers"),
    ],
)
def test_what_cannot_be_learned_beforehand_is_refused(network, message):
    with pytest.raises(ValueError, match=message):
        fit(plan(network, epochs=1), 0, splits=blobs())


def test_a_related_network_gives_its_layers_but_the_last(tmp_path):
    related = fit(plan(DENSE, epochs=20), 5, splits=blobs())
    path = tmp_path / "related.safetensors"
    save_network(related.network, related.plan.network, related.splits.preprocessing, path)
    asked = plan({**DENSE, "pretraining": "related", "related": str(path)}, epochs=1, learning_rate=1e-12)
    begun = fit(asked, 0, splits=blobs()).network.body
    assert torch.allclose(begun[0].weight, related.network.body[0].weight, atol=1e-6)
    assert not torch.allclose(begun[2].weight, related.network.body[2].weight, atol=1e-2)
    wide = plan({"family": "dense", "hidden": [9], "pretraining": "related", "related": str(path)}, epochs=1)
    with pytest.raises(ValueError, match=r"first layer is of shape \(8, 4\); expected \(9, 4\)"):
        fit(wide, 0, splits=blobs())


def test_a_related_plan_is_trained_first(tmp_path):
    path = tmp_path / "related.toml"
    path.write_text(
        'name = "xor"\n[data]\nsource = "generated"\nname = "xor"\n[network]\nfamily = "dense"\nhidden = [8]\n'
        "[recipe]\nepochs = 1\n"
    )
    mine = tmp_path / "mine.toml"
    asked = plan(DENSE, epochs=1, learning_rate=1e-12)
    asked = asked.replace(
        data={"source": "generated", "name": "xor", "task": "binary"}, network__related="related.toml"
    )
    asked = asked.replace(network__pretraining="related", recipe__keep="last")
    mine.write_text(plan_text(asked))
    read = read_plan(mine)
    assert read.network.related == str(path)
    begun = fit(read, 0).network.body
    other = fit(read.replace(network__pretraining="none"), 0).network.body
    assert not torch.allclose(begun[0].weight, other[0].weight)


def test_a_stack_of_two_seeds_of_the_same_kind_costs_what_it_says():
    done = fit(together(ensemble="stacked", members=2), 0, splits=blobs())
    assert done.steps == 2 * 3 * math.ceil(120 / 32) + 2 * 3 * 3 * math.ceil(80 / 32)
    assert float(done.network.body.weights.sum()) == pytest.approx(1.0)
