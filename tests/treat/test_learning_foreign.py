"""The same treatments on networks made elsewhere, by surgery; and what surgery leaves behind in plans and files."""

import functools

import pytest
import torch
from sick_subjects import alone, assert_cured, calm, clouds, memories, rings, sick, waves
from test_learning_cures import treatment

from equipoise.core.network_plan import ForeignNetwork
from equipoise.core.plan import read_plan, write_plan
from equipoise.fit.fit import fit
from equipoise.networks.archive import foreign_plan_of, load_network, save_network
from equipoise.networks.build import build
from equipoise.ship.export import export
from equipoise.treat.changing import with_surgery


def foreign(name, *, standardise=True, **recipe):
    network = {"family": "foreign", "factory": f"sick_networks:{name}", "standardise": standardise}
    return sick(network, learning_rate=1e-2, **recipe)


RINGS = functools.cache(rings)
WAVES = functools.cache(functools.partial(waves, noise=0.1))
FLIPPED = functools.cache(functools.partial(clouds, n=300, flipped=0.3))
MEMORIES = functools.cache(functools.partial(memories, n=240, steps=14))
DEEP = foreign("deep", epochs=8).replace(recipe__learning_rate=3e-3)
DEEP_TANH = foreign("deep_tanh", epochs=10).replace(recipe__learning_rate=1e-3)

CASES = {
    "output-activation": (foreign("bounded", standardise=False), WAVES, 0.3),
    "softmax-axis": (foreign("mixing"), RINGS, 0.2, alone),
    "insert-activation": (foreign("straight"), RINGS, 0.3),
    "unfreeze": (foreign("frozen"), RINGS, 0.3),
    "less-dropout": (foreign("starved"), RINGS, 0.2),
    "tanh": (foreign("squashed", epochs=6), RINGS, 0.3),
    "relu": (foreign("squashed", epochs=6), RINGS, 0.3),
    "batch-norm": (foreign("squashed", epochs=16), RINGS, 0.3),
    "layer-norm": (foreign("squashed", epochs=16), RINGS, 0.3),
    "he-initialisation": (DEEP, RINGS, 0.3),
    "orthogonal-initialisation": (DEEP_TANH, RINGS, 0.3),
    "homeostatic-scaling": (DEEP, RINGS, 0.15),
    "residual-links": (DEEP, RINGS, 0.3),
    "gru": (foreign("recurrent"), MEMORIES, 0.2),
    "spectral-norm": (foreign("steep", epochs=20), FLIPPED, 0.5, calm),
}


@pytest.mark.parametrize("name", CASES)
def test_a_sick_network_made_elsewhere_is_cured(name):
    assert_cured(treatment(name), *CASES[name], seeds=2)


def test_a_narrow_network_is_widened():
    plan = foreign("narrow", epochs=20)
    wide = fit(with_surgery(plan, "width:16"), 0, splits=RINGS())
    assert wide.score > fit(plan, 0, splits=RINGS()).score + 0.2


def test_a_surgery_takes_the_place_of_one_of_its_kind():
    plan = with_surgery(with_surgery(foreign("squashed"), "activation:relu"), "dropout:0.1")
    assert with_surgery(plan, "activation:gelu").network.surgeries == ("dropout:0.1", "activation:gelu")


def test_a_plan_with_surgeries_makes_the_same_network_again(tmp_path):
    plan = foreign("squashed").replace(network__surgeries=["activation:gelu", "normalisation:batch", "initialise:he"])
    write_plan(plan, tmp_path / "plan.toml")
    again = read_plan(tmp_path / "plan.toml")
    assert again == plan
    splits = RINGS()
    one, two = (build(p.network, splits.signature, splits.preprocessing, 3) for p in (plan, again))
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True))


def test_an_operated_network_is_saved_and_comes_back(tmp_path):
    surgeries = ["activation:gelu", "normalisation:batch", "dropout:0.1", "spectral-norm"]
    plan = foreign("squashed", epochs=2).replace(network__surgeries=surgeries)
    done = fit(plan, 0, splits=RINGS())
    save_network(done.network, plan.network, done.splits.preprocessing, tmp_path / "network.safetensors")
    inputs = done.splits.validation.inputs
    for again in (
        load_network(tmp_path / "network.safetensors", trust=True),
        load_network(tmp_path / "network.safetensors", module=__import__("sick_networks").squashed()),
    ):
        assert torch.equal(again(inputs), done.network(inputs))
        assert foreign_plan_of(again).surgeries == tuple(surgeries)


def test_an_operated_network_is_exported(tmp_path):
    plan = foreign("squashed", epochs=1).replace(network__surgeries=["activation:gelu", "spectral-norm"])
    done = fit(plan, 0, splits=RINGS())
    inputs, numbers = done.splits.validation.inputs, done.splits.preprocessing
    parity = export(
        done.network, "pt2", tmp_path / "n.pt2", inputs, run="r", plan=plan.network, preprocessing=numbers, trust=True
    )
    assert parity.passed


def test_what_cannot_be_done_says_why():
    plan = with_surgery(foreign("squashed"), "recurrence:gru")
    with pytest.raises(ValueError, match=r"got 'recurrence:gru' for a network that has no nn.RNN; expected"):
        fit(plan, 0, splits=RINGS())
    assert isinstance(plan.network, ForeignNetwork)
