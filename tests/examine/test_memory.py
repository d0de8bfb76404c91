"""Memory: against what can be counted on paper."""

import pytest
import torch
from torch import nn

from equipoise.core.estimate import Verdict
from equipoise.core.recipe import Recipe
from equipoise.examine.ask import ask
from equipoise.examine.efficiency import memory
from equipoise.examine.efficiency.live_bytes import LiveBytes, distinct_bytes, kept_for_backward
from equipoise.examine.efficiency.memory import Memory, closed_form, forward_peak, training_bytes
from equipoise.testing import best_classifier, check_question, with_body, with_history

WEIGHTS = 4 * (5 * 20 + 20 + 20 * 3 + 3)


def _subject():
    body = nn.Sequential(nn.Linear(5, 20), nn.ReLU(), nn.Linear(20, 3))
    return with_body(best_classifier(n=200), body)


def test_a_small_network_passes_with_the_bytes_of_its_weights():
    finding = check_question(Memory(), _subject())
    assert finding.verdict is Verdict.PASS
    assert finding.estimates["parameters"].value == WEIGHTS
    assert finding.estimates["gradients"].value == WEIGHTS
    assert finding.estimates["optimiser_state"].value == 2 * WEIGHTS


def test_a_step_larger_than_the_machine_fails(monkeypatch):
    monkeypatch.setattr(memory, "memory_bytes", lambda device: 5000)
    finding = ask(Memory(), _subject())
    assert finding.verdict is Verdict.FAIL
    assert "accumulate gradients" in finding.treatments


def test_activations_kept_for_the_backward_pass_are_counted_once():
    subject = _subject()
    part = subject.part("train")
    inputs, targets = part.batch(torch.arange(32))
    found = training_bytes(subject.network, Recipe(), inputs, targets, 0)
    # The rectifier's output serves it and the next layer; cross-entropy keeps log-probabilities and a total weight.
    assert found["activations_for_backward"] == 4 * 32 * 20 + 4 * 32 * 3 + 4


def test_the_peak_of_an_answer_is_two_neighbouring_layers():
    subject = _subject()
    assert forward_peak(subject.network, subject.part("test").inputs[:32]) == 2 * 4 * 32 * 20


@pytest.mark.parametrize(
    ("optimizer", "times"),
    [("sgd", 0), ("momentum", 1), ("rmsprop", 1), ("adam", 2), ("adamw", 2), ("lion", 1), ("schedule-free", 2)],
)
def test_optimiser_state_is_what_the_textbook_says(optimizer, times):
    subject = _subject()
    inputs, targets = subject.part("train").batch(torch.arange(16))
    recipe = Recipe(optimizer=optimizer)
    found = training_bytes(subject.network, recipe, inputs, targets, 0)
    assert (
        found["optimiser_state"] == times * WEIGHTS == closed_form(subject.network, recipe, inputs)["optimiser_state"]
    )


def test_checkpointing_keeps_less():
    layers = [layer for _ in range(9) for layer in (nn.Linear(5, 5), nn.Tanh())]
    subject = with_body(best_classifier(n=200), nn.Sequential(*layers, nn.Linear(5, 3)))
    inputs, targets = subject.part("train").batch(torch.arange(64))
    plain = training_bytes(subject.network, Recipe(), inputs, targets, 0)["activations_for_backward"]
    saving = Recipe(checkpoint_activations=True)
    spared = training_bytes(subject.network, saving, inputs, targets, 0)["activations_for_backward"]
    assert spared < plain / 2


def test_the_batch_and_optimiser_of_the_plan_are_used():
    recipe = Recipe(optimizer="sgd", batch_size=7)
    finding = ask(Memory(), with_history(_subject(), [1.0, 0.5], [1.0, 0.5], recipe=recipe))
    assert finding.estimates["optimiser_state"].value == 0
    assert "sgd on 7 samples" in finding.claim


def test_shared_memory_counts_once_and_released_memory_not_at_all():
    one = torch.zeros(100)
    assert distinct_bytes([one, one[10:], one.view(10, 10)]) == 400
    live = LiveBytes([one])
    with live:
        two = one + 1
        view = two[5:]
        three = two * 2
        del two, view
        four = three + 1
        del three, four
    assert live.peak == 800
    assert live.now == 0


def test_what_is_there_already_is_not_kept():
    weight = torch.ones(50, requires_grad=True)
    given = torch.ones(50)
    with kept_for_backward([weight, given]) as kept:
        (weight * given).exp().sum()
    assert sum(kept.values()) == 200
