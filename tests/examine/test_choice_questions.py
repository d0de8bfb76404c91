"""Choices: a plan that chose badly is told so, one that chose well is left alone."""

import dataclasses

import pytest
import torch
from torch import nn

from equipoise.core.estimate import Verdict
from equipoise.core.network_plan import ConvolutionalNetwork, DenseNetwork, ForeignNetwork, RecurrentNetwork
from equipoise.core.recipe import Recipe
from equipoise.core.signature import ArrayInput, ImageInput, Signature, Task
from equipoise.examine.ask import ask
from equipoise.examine.choice.activation_choice import ACTIVATION_CHOICE
from equipoise.examine.choice.architecture_choice import ARCHITECTURE_CHOICE
from equipoise.examine.choice.asking import ChoiceQuestion
from equipoise.examine.choice.contest import Candidate, Protocol, at_equal_cost
from equipoise.examine.choice.loss_choice import LOSS_CHOICE
from equipoise.examine.choice.optimizer_choice import OPTIMIZER_CHOICE, RATES
from equipoise.examine.subject import Subject
from equipoise.fit.fitted import Fit
from equipoise.networks.heads import ClassHead, RegressionHead
from equipoise.testing import best_classifier, check_question, divide, make_subject, trained
from equipoise.trial.cost import epoch_cost

CLASSES = best_classifier(n=400, separation=5.0)
HEALTHY = trained(CLASSES, recipe=Recipe(learning_rate=1e-2, epochs=8))
SHORT = Protocol(tuned=1, shown=3, tested=6)


def some(question: ChoiceQuestion, *names: str) -> ChoiceQuestion:
    """Return the question with a few of its candidates and the least seeds."""

    def chosen(fit: Fit) -> tuple[Candidate, ...]:
        return tuple(one for one in question.candidates(fit) if one.name in names)

    return dataclasses.replace(question, candidates=chosen if names else question.candidates, protocol=SHORT)


def subject_of(inputs: torch.Tensor, targets: torch.Tensor, task: Task, spec) -> Subject:
    head = RegressionHead((0.0,), (1.0,)) if task.kind == "regression" else ClassHead()
    n = len(inputs)
    parts = divide(inputs, targets, train=n // 2, validation=n // 4)
    return make_subject(nn.Identity(), head, Signature(inputs=spec, task=task), *parts)


@pytest.mark.parametrize(
    "question",
    [some(OPTIMIZER_CHOICE, "adamw", "sgd"), some(ACTIVATION_CHOICE, "tanh"), some(LOSS_CHOICE)],
    ids=["optimizer", "activation", "loss"],
)
def test_a_sound_choice_passes_by_the_rules(question: ChoiceQuestion) -> None:
    finding = check_question(question, HEALTHY)
    assert finding.verdict is Verdict.PASS, finding.claim
    assert [one.kind for one in finding.figures] == ["bars", "table"]
    assert finding.estimates["advantage"].n == 6
    assert finding.estimates["advantage"].low < 0 < finding.estimates["advantage"].high  # also where all seeds tie


def test_all_ten_optimisers_are_tried_at_as_many_rates() -> None:
    candidates = OPTIMIZER_CHOICE.candidates(HEALTHY.fit)
    assert [one.name for one in candidates] == list(RATES)
    assert len(candidates) == 10
    assert all(len(one.plans) == 3 for one in candidates)
    assert all(plan.recipe.optimizer == one.name for one in candidates for plan in one.plans)


def test_a_step_that_is_far_too_small_loses_to_other_optimisers() -> None:
    sick = trained(CLASSES, recipe=Recipe(optimizer="sgd", learning_rate=1e-5, epochs=8))
    finding = ask(some(OPTIMIZER_CHOICE, "adam", "lion"), sick)
    assert finding.verdict is Verdict.FAIL, finding.claim
    assert finding.estimates["advantage"].low > 0.05
    rows = {row[0]: row for row in finding.figures[1].rows}
    assert set(rows) == {"sgd at 1e-05 (the plan)", "adam", "lion"}
    assert finding.treatments[0] == finding.where[0].split(" ")[0]


def test_a_stack_without_activation_loses_on_xor() -> None:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(600, 2, generator=generator)
    task = Task(kind="multiclass", classes=("same", "other", "never"))
    labels = (inputs[:, 0] * inputs[:, 1] < 0).long()
    data = subject_of(inputs, labels, task, ArrayInput(shape=(2,)))
    finding = ask(some(ACTIVATION_CHOICE, "relu", "tanh"), trained(data, network=DenseNetwork(activation="linear")))
    assert finding.verdict is Verdict.FAIL, finding.claim
    assert finding.where[0] in ("relu", "tanh")


def test_absolute_errors_miss_the_mean_of_skewed_targets() -> None:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(600, 2, generator=generator)
    # Mostly 0 and now and then 3: the median says nothing about the mean.
    chance = (0.1 + 0.3 * (inputs[:, :1] > 0)).expand(-1, 1)
    targets = 3 * (torch.rand(600, 1, generator=generator) < chance).float()
    data = subject_of(inputs, targets, Task(kind="regression", targets=("y",)), ArrayInput(shape=(2,)))
    finding = ask(some(LOSS_CHOICE), trained(data, recipe=Recipe(loss="mae", learning_rate=1e-2, epochs=15)))
    assert finding.verdict is Verdict.FAIL, finding.claim
    assert finding.where == ("mse",)


def pattern(n: int = 400) -> Subject:
    """Return images in which one of two small figures stands somewhere: what counts is what, not where."""
    generator = torch.Generator().manual_seed(0)
    figures = torch.tensor([[[1.0, 0, 1], [0, 1, 0], [1, 0, 1]], [[0, 1.0, 0], [1, 1, 1], [0, 1, 0]]])
    labels = torch.randint(0, 2, (n,), generator=generator)
    inputs = 0.1 * torch.randn(n, 1, 12, 12, generator=generator)
    for k, (row, column) in enumerate(torch.randint(0, 10, (n, 2), generator=generator).tolist()):
        inputs[k, 0, row : row + 3, column : column + 3] += figures[labels[k]]
    task = Task(kind="multiclass", classes=("x", "plus", "never"))
    return subject_of(inputs, labels, task, ImageInput(channels=1, height=12, width=12, low=-1.0, high=2.0))


def small_convolutions(fit: Fit) -> tuple[Candidate, ...]:
    network = ConvolutionalNetwork(channels=(8, 8), hidden=())
    return (Candidate("convolutional", ("",), (fit.plan.replace(network=network, recipe__learning_rate=3e-2),)),)


def test_where_place_does_not_matter_convolutions_win_at_equal_cost() -> None:
    recipe = Recipe(learning_rate=3e-3, epochs=15)
    dense = trained(pattern(), network=DenseNetwork(hidden=(256,)), recipe=recipe)
    question = dataclasses.replace(ARCHITECTURE_CHOICE, candidates=small_convolutions, protocol=SHORT)
    finding = ask(question, dense)
    assert finding.verdict is Verdict.FAIL, finding.claim
    assert finding.where == ("convolutional",)


def test_candidates_cost_what_the_plan_costs() -> None:
    fit = trained(pattern(200), network=ConvolutionalNetwork(channels=(8, 8)), recipe=Recipe(epochs=4)).fit
    own = epoch_cost(fit.plan, fit.splits) * fit.plan.recipe.epochs
    for one in at_equal_cost(some(ARCHITECTURE_CHOICE, "residual", "dense").candidates(fit), fit):
        plan = one.plans[0]
        cost = epoch_cost(plan, fit.splits) * plan.recipe.epochs
        capped = plan.recipe.epochs == 4 * fit.plan.recipe.epochs
        least = plan.recipe.epochs == 1
        assert capped or least or cost == pytest.approx(own, rel=0.2)


def test_families_that_do_not_fit_are_listed_with_the_reason() -> None:
    finding = ask(some(ARCHITECTURE_CHOICE, "residual", "LSTM"), HEALTHY)
    rows = {row[0]: row for row in finding.figures[1].rows}
    assert rows["LSTM"][1] == "not tried"
    assert "recurrent" in rows["LSTM"][3]


def test_what_was_trained_elsewhere_is_skipped() -> None:
    assert ask(OPTIMIZER_CHOICE, CLASSES).verdict is Verdict.SKIPPED
    assert OPTIMIZER_CHOICE.cost_s(CLASSES) == 0


def test_gated_cells_have_no_activation_to_choose() -> None:
    fit = dataclasses.replace(HEALTHY.fit, plan=HEALTHY.fit.plan.replace(network=RecurrentNetwork(cell="lstm")))
    finding = ask(ACTIVATION_CHOICE, dataclasses.replace(HEALTHY, fit=fit))
    assert finding.verdict is Verdict.SKIPPED
    assert "lstm" in finding.claim


def test_a_network_from_elsewhere_is_changed_by_surgery() -> None:
    network = ForeignNetwork(factory="module:make", surgeries=("dropout:0.1", "activation:tanh"))
    fit = dataclasses.replace(HEALTHY.fit, plan=HEALTHY.fit.plan.replace(network=network))
    found = {one.name: one.plans[0].network.surgeries for one in ACTIVATION_CHOICE.candidates(fit)}
    assert "tanh" not in found
    assert found["gelu"] == ("dropout:0.1", "activation:gelu")
