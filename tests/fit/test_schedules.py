import pytest
import torch
from torch.optim import lr_scheduler

from equipoise.core.recipe import Recipe
from equipoise.fit.schedules import Plateau, multiplier

TOTAL = 100


def rates(recipe, total=TOTAL, steps_per_epoch=10):
    return [multiplier(recipe, step, total, steps_per_epoch, Plateau()) for step in range(total)]


def torchs(make, total=TOTAL):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 1.0)
    scheduler = make(optimizer)
    found = []
    for _ in range(total):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


@pytest.mark.parametrize(
    ("recipe", "reference"),
    [
        (Recipe(), lambda o: lr_scheduler.ConstantLR(o, 1.0)),
        (Recipe(schedule="cosine"), lambda o: lr_scheduler.CosineAnnealingLR(o, TOTAL)),
        (
            Recipe(schedule="one-cycle"),
            lambda o: lr_scheduler.OneCycleLR(
                o, 1.0, TOTAL + 1, pct_start=0.25, anneal_strategy="linear", cycle_momentum=False, final_div_factor=40
            ),
        ),
        (Recipe(schedule="step", step_every=2, step_factor=0.3), lambda o: lr_scheduler.StepLR(o, 20, 0.3)),
        (
            Recipe(schedule="cosine", warmup_steps=20),
            lambda o: lr_scheduler.SequentialLR(
                o,
                [lr_scheduler.LinearLR(o, 1 / 20, 1.0, 19), lr_scheduler.CosineAnnealingLR(o, TOTAL - 20)],
                [20],
            ),
        ),
        (Recipe(warmup_steps=7), lambda o: lr_scheduler.LinearLR(o, 1 / 7, 1.0, 6)),
    ],
    ids=["constant", "cosine", "one-cycle", "step", "warm-up and cosine", "warm-up"],
)
def test_schedules_are_torchs(recipe, reference):
    tolerance = 0.02 if recipe.schedule == "one-cycle" else 1e-9  # torch's needs a step more than it takes
    assert rates(recipe) == pytest.approx(torchs(reference), abs=tolerance)


def test_one_cycle_is_torchs_exactly_and_ends_at_a_thousandth():
    def exact(o):
        return lr_scheduler.OneCycleLR(
            o, 1.0, TOTAL, pct_start=0.25, anneal_strategy="linear", cycle_momentum=False, final_div_factor=40
        )

    mine = rates(Recipe(schedule="one-cycle"))
    assert mine[:-1] == pytest.approx(torchs(exact, TOTAL - 1))
    assert mine[-1] == pytest.approx(1e-3)
    assert max(mine) == pytest.approx(1.0)


@pytest.mark.parametrize("total", [1, 2, 3, 4, 5, 8])
@pytest.mark.parametrize("schedule", ["one-cycle", "cosine", "step", "plateau"])
def test_short_trainings_have_a_sensible_rate(schedule, total):
    assert all(0 <= rate <= 1 for rate in rates(Recipe(schedule=schedule, warmup_steps=2), total))


def test_plateau_cuts_as_torchs():
    losses = [5, 4, 4, 4, 4, 3, 3.0, 2.95, 2.9, 2.9, 2.9, 2.9, 2.9, 2.9, 2.9, 2.9]
    recipe = Recipe(schedule="plateau", plateau_patience=3, step_factor=0.5, min_delta=0.1)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 1.0)
    reference = lr_scheduler.ReduceLROnPlateau(
        optimizer, factor=0.5, patience=2, threshold=0.1, threshold_mode="abs"
    )  # torch cuts after more than `patience` epochs
    state = Plateau()
    for epoch, loss in enumerate(losses, 1):
        state = state.seen(loss, epoch, recipe)
        reference.step(loss)
        assert multiplier(recipe, 0, 10, 1, state) == optimizer.param_groups[0]["lr"], epoch


def test_schedule_free_warms_up_by_itself():
    assert rates(Recipe(optimizer="schedule-free", warmup_steps=10)) == [1.0] * TOTAL
