"""A plan as a plain loop: the same data, network, loss and steps as `fit` would take."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import equipoise
from equipoise.core.recipe import Recipe
from equipoise.data.load import load
from equipoise.examine.planned.optimizer import PlannedOptimizer, is_plain, positions_of_hidden
from equipoise.fit.optimizers import build_stepper
from equipoise.run.diagnosing import diagnose_what, program_of_plan


def program(name, **changes):
    plan = equipoise.plan(name).replace(**changes)
    splits = load(plan.data, plan.seed)
    return program_of_plan(plan, splits), splits, plan


def network_of(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 2))


def batches(n):
    generator = torch.Generator().manual_seed(5)
    return [torch.randn(10, 6, generator=generator) for _ in range(n)]


def trained(network, optimizer, n, before=lambda step: None):
    for step, inputs in enumerate(batches(n)):
        optimizer.zero_grad()
        network(inputs).square().mean().backward()
        before(step)
        optimizer.step()
    return torch.cat([one.detach().flatten() for one in network.parameters()])


def planned(recipe, network, total=20, per_epoch=5, hidden=frozenset()):
    return PlannedOptimizer(network.parameters(), recipe, total_steps=total, steps_per_epoch=per_epoch, hidden=hidden)


def test_features_targets_and_batches_are_those_of_the_plan():
    made, splits, plan = program("wine")
    arguments = made.arguments
    inputs, labels = splits.train.batch(torch.arange(len(splits.train)))
    features, targets = arguments["train"]
    mean, deviation = features.double().mean(0), features.double().std(0, correction=0)
    assert torch.allclose(mean, torch.zeros_like(mean), atol=1e-4), "standardised on the training part"
    assert torch.allclose(deviation, torch.ones_like(deviation), atol=1e-2)
    assert np.corrcoef(features[:, 0], inputs[: len(features), 0])[0, 1] == pytest.approx(1)
    assert torch.equal(targets, labels[: len(targets)])
    assert (arguments["batch_size"], arguments["epochs"]) == (plan.recipe.batch_size, plan.recipe.epochs)
    assert len(arguments["validation"][0]) == len(splits.validation)


def test_the_loss_is_the_cross_entropy_of_the_scores():
    made, _, _ = program("wine")
    features, targets = made.arguments["train"]
    scores = made.arguments["network"](features).detach()
    assert float(made.arguments["loss"](scores, targets)) == pytest.approx(
        float(functional.cross_entropy(scores, targets))
    )


def test_regression_targets_are_on_the_scale_of_the_scores():
    made, _, _ = program("diabetes")
    targets = made.arguments["train"][1].double()
    assert float(targets.mean()) == pytest.approx(0, abs=0.02)
    assert float(targets.std()) == pytest.approx(1, abs=0.02)


def test_a_last_batch_of_one_row_is_left_out():
    made, splits, _ = program("wine", recipe__batch_size=19)
    assert len(splits.train) % 19 == 1
    assert len(made.arguments["train"][0]) == len(splits.train) - 1
    assert "rows" not in made.left_out


def test_what_a_plain_loop_cannot_do_is_said():
    made, _, _ = program("linear-regression", recipe__weight_averaging="tail")
    assert set(made.left_out) == {"early stopping", "plateau schedule", "weight averaging"}


def test_data_that_are_not_divided_are_judged_on_the_training_rows():
    made, _, _ = program("xor")
    assert made.arguments["validation"] is None
    assert "not divided" in made.left_out["validation"]


def test_gradient_descent_takes_the_whole_part_and_accumulation_larger_batches():
    whole, splits, _ = program("wine", recipe__optimizer="gradient-descent")
    assert whole.arguments["batch_size"] == len(splits.train)
    assert not whole.arguments["shuffle"]
    halves, _, plan = program("wine", recipe__accumulate=2)
    assert halves.arguments["batch_size"] == 2 * plan.recipe.batch_size


def test_a_plain_recipe_gives_the_plain_optimizer():
    made, _, _ = program("breast-cancer", recipe__schedule="constant")
    optimizer = made.arguments["optimizer"](made.arguments["network"].parameters())
    assert type(optimizer) is torch.optim.AdamW
    assert [group["weight_decay"] for group in optimizer.param_groups] == [1e-2, 0.0]


def test_schedule_clipping_and_penalty_are_those_of_a_loop_written_out():
    recipe = Recipe(
        optimizer="momentum", learning_rate=0.2, schedule="cosine", warmup_steps=3, l2=0.1, max_grad_norm=0.05
    )
    ours, theirs = network_of(), network_of()
    reference = torch.optim.SGD(theirs.parameters(), lr=0.2, momentum=0.9)

    def before(step):
        factor = (step + 1) / 3 if step < 3 else 0.5 * (1 + math.cos(math.pi * (step - 3) / 17))
        with torch.no_grad():
            for one in theirs.parameters():
                if one.dim() > 1:
                    one.grad += 0.1 * one
        nn.utils.clip_grad_norm_(theirs.parameters(), 0.05)
        reference.param_groups[0]["lr"] = 0.2 * factor

    assert torch.allclose(trained(ours, planned(recipe, ours), 20), trained(theirs, reference, 20, before), atol=1e-6)


def test_a_rate_changed_before_the_first_step_scales_the_schedule():
    recipe = Recipe(optimizer="sgd", learning_rate=0.2, schedule="one-cycle")
    half = Recipe(optimizer="sgd", learning_rate=0.1, schedule="one-cycle")
    ours, theirs = network_of(), network_of()
    scaled = planned(recipe, ours)
    for group in scaled.param_groups:
        group["lr"] *= 0.5
    assert torch.equal(trained(ours, scaled, 20), trained(theirs, planned(half, theirs), 20))


@pytest.mark.parametrize("name", ["muon", "rmsprop", "schedule-free", "lion"])
def test_every_optimizer_steps_as_that_of_fit(name):
    recipe = Recipe(optimizer=name, learning_rate=0.01, weight_decay=0.1)
    ours, theirs = network_of(), network_of()
    stepper = build_stepper(recipe, theirs, torch.device("cpu"))
    stepper.train()
    hidden = positions_of_hidden(stepper, theirs.parameters())
    assert hidden == (frozenset({0, 2}) if name == "muon" else frozenset())
    result = trained(ours, planned(recipe, ours, hidden=hidden), 6)
    for inputs in batches(6):
        theirs(inputs).square().mean().backward()
        stepper.step()
    assert torch.allclose(result, torch.cat([one.detach().flatten() for one in theirs.parameters()]))
    assert is_plain(recipe, stepper) == (name == "lion")


def test_gradients_stay_after_a_step_and_a_closure_is_refused():
    network = network_of()
    optimizer = planned(Recipe(l2=0.1), network)
    trained(network, optimizer, 1)
    assert all(one.grad is not None for one in network.parameters())
    with pytest.raises(ValueError, match=r"got a closure; expected none.* Call backward"):
        optimizer.step(lambda: 1.0)


def test_clustering_is_diagnosed_as_the_reconstruction_that_is_trained():
    plan = equipoise.plan("wine").replace(
        data={"source": "bundled", "name": "wine", "task": "clustering", "clusters": 3},
        network={"family": "autoencoder", "code": 2},
    )
    made = program_of_plan(plan, load(plan.data, 0))
    features, targets = made.arguments["train"]
    assert torch.equal(features, targets)
    assert made.arguments["network"](features[:5]).shape == features[:5].shape


def test_generation_is_refused_with_the_cure(in_tmp):
    plan = equipoise.plan("wine").replace(
        data={"source": "bundled", "name": "wine", "task": "generation"}, network={"family": "generative-pair"}
    )
    with pytest.raises(ValueError, match=r"got a plan for generation.*expected a task with targets. Diagnose your own"):
        program_of_plan(plan, load(plan.data, 0))


def test_a_bundled_plan_is_healthy_and_says_what_it_left_out():
    found = diagnose_what("wine", budget_s=20)
    assert found.healthy, str(found)
    assert "early stopping" in found.skipped
    assert found.score["own loop"] > 0.9


def test_a_plan_with_a_step_far_too_small_is_sick():
    plan = equipoise.plan("wine").replace(recipe__learning_rate=1e-6, recipe__epochs=5, recipe__patience=None)
    found = equipoise.diagnose(**program_of_plan(plan, load(plan.data, 0)).arguments, budget_s=20)
    assert not found.healthy
    assert found.causes[0].fault == "lr_too_low"
    assert found.causes[0].where == "optimizer.lr"


def test_the_seed_of_a_program_draws_what_it_makes(in_tmp):
    (in_tmp / "drawn.py").write_text(
        "import torch\n"
        "def program():\n"
        "    network = torch.nn.Linear(2, 1)\n"
        "    raise RuntimeError(repr(network.weight.tolist()))\n"
    )
    before = torch.random.get_rng_state()

    def weights(seed):
        with pytest.raises(ValueError, match="RuntimeError") as refused:
            diagnose_what("drawn.py:program", seed=seed, trust=True)
        return str(refused.value)

    assert weights(1) == weights(1)
    assert weights(1) != weights(2)
    assert torch.equal(before, torch.random.get_rng_state())
