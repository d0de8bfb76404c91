"""The learning questions: a healthy training passes each, one with the planted fault fails it."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from equipoise.core.diagnosis import Symptom
from equipoise.core.estimate import Verdict, exact
from equipoise.core.plan import Plan
from equipoise.data.given import splits_from
from equipoise.examine.ask import ask, own_generator
from equipoise.examine.learning.batch_independence import BATCH_INDEPENDENCE
from equipoise.examine.learning.exploding_gradient import EXPLODING_GRADIENT
from equipoise.examine.learning.gradient_reach import GRADIENT_REACH
from equipoise.examine.learning.initial_loss import INITIAL_LOSS
from equipoise.examine.learning.loop_bugs import LOOP_BUGS
from equipoise.examine.learning.loss_pairing import LOSS_PAIRING
from equipoise.examine.learning.memorises_a_batch import MEMORISES_A_BATCH, over_seeds
from equipoise.examine.learning.step_descends import STEP_DESCENDS
from equipoise.examine.learning.step_size import STEP_SIZE
from equipoise.examine.learning.vanishing_gradient import VANISHING_GRADIENT
from equipoise.examine.probes.setup import Setup
from equipoise.examine.question import Context, InapplicableError
from equipoise.examine.subject import Subject
from equipoise.fit.fit import fit
from equipoise.testing import best_classifier, check_question

ALL = (
    LOSS_PAIRING,
    INITIAL_LOSS,
    GRADIENT_REACH,
    STEP_DESCENDS,
    BATCH_INDEPENDENCE,
    MEMORISES_A_BATCH,
    LOOP_BUGS,
    VANISHING_GRADIENT,
    EXPLODING_GRADIENT,
    STEP_SIZE,
)


def rows(n=400, seed=0):
    generator = np.random.default_rng(seed)
    centres = 1.5 * generator.normal(size=(6, 5))
    which = generator.integers(0, 6, n)
    return (centres[which] + 0.7 * generator.normal(size=(n, 5))).astype(np.float32), which % 3


@pytest.fixture(scope="module")
def subject():
    inputs, labels = rows()
    splits = splits_from((inputs, np.array(["a", "b", "c"])[labels]), seed=0)
    plan = Plan.read(
        {
            "name": "three-classes",
            "data": {"source": "given"},
            "network": {"family": "dense", "hidden": [24, 24]},
            "recipe": {"epochs": 6, "learning_rate": 5e-3},
        }
    )
    made = fit(plan, 0, splits=splits)
    return Subject(network=made.network, splits=splits, fit=made)


def sick(subject, **changes):
    """Return the subject as if another training had made it."""
    inputs, labels = rows()
    torch.manual_seed(0)
    given = {
        "network": nn.Sequential(nn.Linear(5, 24), nn.ReLU(), nn.Linear(24, 3)),
        "loss": nn.CrossEntropyLoss(),
        "optimizer": lambda parameters: torch.optim.Adam(parameters, lr=5e-3),
        "train": (torch.as_tensor(inputs), torch.as_tensor(labels)),
        "epochs": 12,
    }
    setup = Setup(**(given | changes))
    return Subject(network=subject.network, splits=subject.splits, fit=subject.fit, _made={"planned setup": setup})


class Mixing(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(5, 3)

    def forward(self, inputs):
        return self.layer(inputs - inputs.mean(0))


class Detached(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder, self.head = nn.Linear(5, 8), nn.Linear(8, 3)

    def forward(self, inputs):
        return self.head(torch.relu(self.encoder(inputs)).detach())


class Blind(nn.Module):
    def __init__(self):
        super().__init__()
        self.answer = nn.Parameter(torch.zeros(3))

    def forward(self, inputs):
        return self.answer.expand(len(inputs), 3) + 0.0 * inputs.sum(1, keepdim=True)


def deep_sigmoid():
    torch.manual_seed(0)
    layers = [layer for _ in range(8) for layer in (nn.Linear(16, 16), nn.Sigmoid())]
    return nn.Sequential(nn.Linear(5, 16), nn.Sigmoid(), *layers, nn.Linear(16, 3))


def growing():
    torch.manual_seed(0)
    layers = []
    for _ in range(8):
        layer = nn.Linear(16, 16)
        nn.init.normal_(layer.weight, std=2.0)
        layers += [layer, nn.ReLU()]
    return nn.Sequential(nn.Linear(5, 16), nn.ReLU(), *layers, nn.Linear(16, 3))


def sorted_rows():
    inputs, labels = rows()
    order = np.argsort(labels, kind="stable")
    return torch.as_tensor(inputs[order]), torch.as_tensor(labels[order])


def sgd(rate):
    return lambda parameters: torch.optim.SGD(parameters, lr=rate)


def scaled(factor):
    def loss(outputs, targets):
        return functional.cross_entropy(factor * outputs, targets)

    return loss


PLANTED = {
    "loss-pairing": {"network": nn.Sequential(nn.Linear(5, 3), nn.Softmax(-1))},
    "initial-loss": {"loss": scaled(500.0)},
    "gradient-reach": {"network": Detached()},
    "step-descends": {"optimizer": lambda parameters: torch.optim.SGD(parameters, lr=0.1, maximize=True)},
    "batch-independence": {"network": Mixing()},
    "memorises-a-batch": {"network": Blind()},
    "loop-bugs": {"train": sorted_rows(), "shuffle": False},
    "vanishing-gradient": {"network": deep_sigmoid(), "optimizer": sgd(0.01)},
    "exploding-gradient": {"network": growing(), "optimizer": sgd(1e-3)},
    "step-size": {"optimizer": sgd(10.0)},
}


@pytest.mark.parametrize("question", ALL, ids=lambda one: one.card.id)
def test_a_healthy_training_passes(question, subject):
    finding = check_question(question, subject)
    assert finding.verdict is Verdict.PASS, finding.claim
    assert finding.claim
    assert finding.treatments == ()


@pytest.mark.parametrize("question", ALL, ids=lambda one: one.card.id)
def test_the_planted_fault_is_seen(question, subject):
    finding = ask(question, sick(subject, **PLANTED[question.card.id]))
    assert finding.verdict in (Verdict.FAIL, Verdict.WARN), finding.claim
    assert finding.treatments


@pytest.mark.parametrize("question", ALL, ids=lambda one: one.card.id)
def test_a_network_trained_elsewhere_is_not_asked(question):

    elsewhere = best_classifier(n=200)
    context = Context(generator=own_generator(question.card.id, 0), lines={}, budget_s=10)
    assert question.cost_s(elsewhere) == 0
    with pytest.raises(InapplicableError, match="trained elsewhere"):
        question.answer(elsewhere, context)


def told(verdict, learned):
    return Symptom(name="memorises-a-batch", verdict=verdict, claim="c", estimates={"learned": exact(learned)})


@pytest.mark.parametrize(
    ("others", "verdict", "share"),
    [((Verdict.PASS, Verdict.PASS), Verdict.PASS, 1.0), ((Verdict.FAIL, Verdict.SKIPPED), Verdict.UNSURE, 0.5)],
)
def test_what_is_learned_by_heart_has_an_interval_over_seeds(subject, others, verdict, share):
    own = ask(MEMORISES_A_BATCH, subject).replace(estimates={"learned": exact(0.9).plain()})
    assert own.verdict is Verdict.PASS
    found = over_seeds(own, [told(one, 0.8) for one in others])
    assert found.verdict is verdict
    assert found.estimates["seeds"].value == share
    assert found.estimates["learned"].n == 1 + len([one for one in others if one is not Verdict.SKIPPED])
    assert found.estimates["learned"].low < 0.8 < found.estimates["learned"].high


def test_more_than_a_minute_asks_other_seeds(subject):
    finding = ask(MEMORISES_A_BATCH, subject, budget_s=61)
    assert finding.verdict is Verdict.PASS
    assert finding.estimates["seeds"].n == 5
