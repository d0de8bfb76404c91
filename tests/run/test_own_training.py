"""Trainings of one's own: what is sick is cured and proven, what is healthy is left alone."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from equipoise.core.progress import silent
from equipoise.examine.probes.setup import Setup
from equipoise.examine.probes.task import task_of
from equipoise.run.own_training import (
    Purse,
    Tried,
    _as_it_is,
    _proven,
    fitted,
    score_of,
    translated,
    treat_training,
)
from equipoise.run.translate import told, translate


def rings(n=240, seed=0):
    """Two classes that no straight line divides, far from the origin."""
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(n, 2, generator=generator)
    labels = (inputs.norm(dim=1) > 1.18).long()
    return inputs * 50 + 300, labels


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 2))


def test_a_sick_training_is_cured_by_a_plan_that_costs_no_more():
    inputs, labels = rings()
    held = rings(seed=1)
    module = network()
    before = [one.clone() for one in module.parameters()]
    treated = treat_training(
        module,
        functional.cross_entropy,
        torch.optim.SGD(module.parameters(), 1e-4),
        train=(inputs, labels),
        validation=held,
        batch_size=16,
        epochs=20,
    )
    assert treated.diagnosis.verdict == "sick"
    assert treated.trial is not None
    assert treated.trial.outcome == "adopted"
    assert treated.trial.effect.low > 0.1
    assert treated.fit is not None
    assert treated.plan_cost <= 3
    assert treated.cost <= 40
    names = np.asarray(treated.fit.predict(held[0].numpy())).astype(int)
    assert (names == held[1].numpy()).mean() > 0.85
    assert all(torch.equal(a, b) for a, b in zip(before, module.parameters(), strict=True))


def test_a_training_that_nothing_helps_is_left_as_it_is():
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(200, 4, generator=generator)
    labels = torch.randint(0, 2, (200,), generator=generator)
    module = nn.Linear(4, 2)
    treated = treat_training(
        module,
        functional.cross_entropy,
        torch.optim.Adam(module.parameters(), 1e-2),
        train=(inputs, labels),
        batch_size=32,
        epochs=5,
    )
    assert treated.plan is None
    assert treated.fit is None
    assert treated.reason or treated.trial.outcome != "adopted"


def test_rows_that_decide_do_not_choose_the_epoch_that_a_plan_keeps():
    """Of labels that nothing predicts, the best of many epochs would always be above chance."""
    generator = torch.Generator().manual_seed(0)
    inputs, labels = torch.randn(100, 3, generator=generator), torch.randint(0, 2, (100,), generator=generator)
    module = nn.Linear(3, 2)
    given = Setup(module, functional.cross_entropy, torch.optim.Adam(module.parameters(), 1e-2), (inputs, labels))
    said = translated(given)
    plan = said.plan.replace(network__hidden=[16], recipe__epochs=12, recipe__learning_rate=3e-2)
    _, _, differences = _proven(said, Tried("noise", plan, 0.5, 1.0), Purse(40, 3), 0, silent)
    chosen = [fitted(said, plan, seed) for seed in range(6)]
    as_it_is = [_as_it_is(said, one.splits, one.seed) for one in chosen]
    flattered = [score_of(said, one) - own for one, own in zip(chosen, as_it_is, strict=True)]
    assert np.mean(differences) < np.mean(flattered) - 0.05


def test_an_interrupted_diagnosis_is_not_followed_by_a_search():
    def interrupt(progress):
        assert progress.phase in ("probe", "diagnose")
        if progress.phase == "probe":
            raise KeyboardInterrupt

    inputs, labels = rings(80)
    module = network()
    optimizer = torch.optim.SGD(module.parameters(), 1e-4)
    treated = treat_training(
        module, functional.cross_entropy, optimizer, train=(inputs, labels), epochs=2, on_progress=interrupt
    )
    assert treated.reason == "it was interrupted"
    assert treated.tried == ()


def test_an_interrupted_search_keeps_what_was_tried():
    searched = []

    def interrupt(progress):
        searched.append(progress.phase == "search")
        if sum(searched) == 2:
            raise KeyboardInterrupt

    inputs, labels = rings(80)
    module = network()
    optimizer = torch.optim.SGD(module.parameters(), 1e-4)
    treated = treat_training(
        module, functional.cross_entropy, optimizer, train=(inputs, labels), epochs=2, on_progress=interrupt
    )
    assert treated.reason == "it was interrupted"
    assert len(treated.tried) == 1
    assert treated.plan is None


def test_data_that_no_plan_takes_keep_their_diagnosis():
    inputs, module = torch.randn(40, 3, generator=torch.Generator().manual_seed(0)), nn.Linear(3, 20)
    stuck = torch.optim.SGD(module.parameters(), 1e-9)
    treated = treat_training(module, functional.cross_entropy, stuck, train=(inputs, torch.arange(40) % 20), epochs=3)
    assert "classes with fewer than 3 samples" in treated.reason
    assert treated.plan is None


@pytest.mark.parametrize(
    ("outputs", "targets", "kind", "expected"),
    [
        (torch.randn(6, 3), torch.eye(3).repeat(2, 1), "multiclass", [0, 1, 2, 0, 1, 2]),
        (torch.rand(6, 1), torch.tensor([0.0, 1, 1, 0, 1, 0]), "binary", [0, 1, 1, 0, 1, 0]),
        (torch.rand(4, 2), torch.tensor([[1.0, 1], [0, 1], [0, 0], [1, 1]]), "multilabel", None),
        (torch.randn(6, 1), torch.randn(6), "regression", None),
    ],
)
def test_targets_in_the_words_of_a_plan(outputs, targets, kind, expected):
    task = task_of(outputs, targets)
    setup = Setup(nn.Linear(2, outputs.shape[1]), functional.mse_loss, torch.optim.Adam, (torch.randn(6, 2), targets))
    said = translate(setup, task, None)
    assert said.kind == kind
    if expected is not None:
        assert told(task, targets).tolist() == expected
    assert len(told(task, targets)) == len(targets)


def test_the_recipe_is_taken_over():
    module = network()
    setup = Setup(module, functional.cross_entropy, torch.optim.Adam, rings(), batch_size=12, epochs=3)
    optimizer = torch.optim.SGD(module.parameters(), 0.3, momentum=0.8, nesterov=True)
    recipe = translate(setup, task_of(torch.randn(240, 2), rings()[1]), optimizer).plan.recipe
    assert (recipe.optimizer, recipe.learning_rate, recipe.momentum) == ("nesterov", 0.3, 0.8)
    assert (recipe.batch_size, recipe.epochs) == (12, 3)


def test_targets_that_only_the_loss_can_read_are_refused():
    setup = Setup(nn.Linear(2, 2), functional.cross_entropy, torch.optim.Adam, (torch.randn(6, 2), torch.randn(6)))
    opaque = task_of(torch.randn(6, 4, 3), torch.randint(0, 4, (6, 3)))
    with pytest.raises(ValueError, match="got targets of shape .* that only their own loss can read; expected one"):
        translate(
            Setup(setup.network, setup.loss, setup.optimizer, (torch.randn(6, 4, 3), torch.randint(0, 4, (6, 3)))),
            opaque,
            None,
        )
