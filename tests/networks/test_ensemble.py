"""Networks that answer as one: the mean of their answers, saved, loaded and exported as a whole."""

import pytest
import torch
from network_cases import DOES, PLANS, TAKES, case, raw
from torch import nn

from equipoise.core.preprocessing import Projection, Selection
from equipoise.networks.adopt import adopt
from equipoise.networks.archive import foreign_plan_of, load_network, save_network
from equipoise.networks.build import build
from equipoise.networks.ensemble import STACKED, Members, join, mean_scores, member_plan
from equipoise.networks.features import Features
from equipoise.networks.front import Denoised, denoiser_plan, reduced_features
from equipoise.ship.export import export

FAMILIES = [name for name in PLANS if name not in ("autoencoder", "generative-pair")]


def several(family="dense", task=None, count=3, ensemble="deep", weights=None, **options):
    kind, does = TAKES[family][0], task or DOES[family][0]
    signature, preprocessing = case(kind, does)
    plan = PLANS[family].replace(**options)
    networks = [build(member_plan(plan, ensemble, i), signature, preprocessing, i).eval() for i in range(count)]
    return plan, preprocessing, networks, join(networks, ensemble, weights).eval(), raw(kind)


@pytest.mark.parametrize("task", ["binary", "multiclass", "multilabel", "regression"])
@pytest.mark.parametrize("weights", [None, (0.2, 0.8, 0.0)])
def test_the_answer_is_the_weighted_mean_of_the_answers(task, weights):
    _, _, networks, joined, inputs = several(task=task, weights=weights)
    shares = weights or (1 / 3,) * 3
    expected = sum(share * one.answer(inputs) for share, one in zip(shares, networks, strict=True))
    torch.testing.assert_close(joined.answer(inputs), expected, rtol=1e-4, atol=1e-6)


def test_sure_members_give_finite_scores_and_gradients():
    scores = torch.tensor([[[90.0]], [[-90.0]]], requires_grad=True)
    mean = mean_scores(scores, torch.tensor([0.5, 0.5]), "binary")
    assert float(mean.detach()) == pytest.approx(0.0, abs=1e-5)
    mean.sum().backward()
    assert scores.grad.isfinite().all()


@pytest.mark.parametrize("family", FAMILIES)
def test_an_ensemble_comes_back_bit_for_bit(family, tmp_path):
    plan, preprocessing, _, joined, inputs = several(family, ensemble="stacked", weights=(0.5, 0.3, 0.2))
    save_network(joined, plan, preprocessing, tmp_path / "n.safetensors")
    again = load_network(tmp_path / "n.safetensors")
    assert isinstance(again.body, Members)
    assert again.body.ensemble == "stacked"
    assert torch.equal(again.answer(inputs), joined.answer(inputs))


def test_the_members_of_a_stack_have_different_activations():
    plan = PLANS["dense"].replace(activation="tanh")
    found = [member_plan(plan, "stacked", i).activation for i in range(5)]
    assert found == ["tanh", *[one for one in STACKED if one != "tanh"]]
    assert {member_plan(plan, "deep", i).activation for i in range(5)} == {"tanh"}


def test_members_keep_their_denoisers(tmp_path):
    plan, preprocessing, networks, joined, inputs = several(denoise=True)
    assert all(isinstance(one.preprocess, Denoised) for one in networks)
    assert not any(p.requires_grad for one in networks for p in one.preprocess.parameters())
    expected = torch.stack([one.answer(inputs) for one in networks]).mean(0)
    torch.testing.assert_close(joined.answer(inputs), expected, rtol=1e-4, atol=1e-6)
    save_network(joined, plan, preprocessing, tmp_path / "n.safetensors")
    assert torch.equal(load_network(tmp_path / "n.safetensors").answer(inputs), joined.answer(inputs))


@pytest.mark.parametrize("to", ["pt2", "safetensors"])
def test_an_ensemble_with_denoisers_is_exported(to, tmp_path):
    plan, preprocessing, _, joined, inputs = several(denoise=True, count=2)
    parity = export(joined, to, tmp_path / f"n.{to}", inputs, run="r", plan=plan, preprocessing=preprocessing)
    assert parity.passed


def test_an_ensemble_of_networks_made_elsewhere_comes_back(tmp_path):
    signature, preprocessing = case("vector", "multiclass")
    inputs = raw("vector")
    width = inputs.shape[1]

    def module(seed):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(width, 8), nn.ReLU(), nn.Linear(8, len(signature.task.classes)))

    with torch.random.fork_rng(devices=[]):
        networks = [adopt(module(seed), signature, preprocessing=preprocessing).eval() for seed in range(2)]
        joined = join(networks, "deep").eval()
        save_network(joined, foreign_plan_of(networks[0]), preprocessing, tmp_path / "n.safetensors")
        again = load_network(tmp_path / "n.safetensors", module=module(9))
    assert torch.equal(again.answer(inputs), joined.answer(inputs))
    expected = (networks[0].answer(inputs) + networks[1].answer(inputs)) / 2
    torch.testing.assert_close(joined.answer(inputs), expected, rtol=1e-4, atol=1e-6)


def test_a_reduction_changes_what_the_body_takes_and_must_fit():
    features = Features("image", (1, 2, 2))
    projection = Projection(origin="pca", mean=(0.0,) * 4, rows=((1.0,) * 4,) * 3)
    assert reduced_features(features, projection) == Features("vector", (3,))
    assert reduced_features(features, Selection(chosen=(1, 2), size=4)) == Features("vector", (2,))
    with pytest.raises(ValueError, match="fitted on 5 numbers"):
        reduced_features(features, Selection(chosen=(1, 2), size=5))
    with pytest.raises(ValueError, match="token ids"):
        denoiser_plan(Features("tokens", (5,), 10))
