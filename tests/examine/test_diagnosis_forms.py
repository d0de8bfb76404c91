"""Outputs, targets and losses of every form: a healthy training is left alone, and a sick one has a bad score."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from equipoise.core.estimate import Verdict
from equipoise.examine.diagnosis.diagnose import diagnose
from equipoise.examine.diagnosis.experiments import draft_of
from equipoise.examine.diagnosis.runs import run
from equipoise.examine.probes.deterministic_evaluation import deterministic_evaluation
from equipoise.examine.probes.label_balance import label_balance
from equipoise.examine.probes.loss_pairing import loss_pairing
from equipoise.examine.probes.loss_shapes import loss_shapes
from equipoise.examine.probes.nested import by_rows
from equipoise.examine.probes.setup import Setup
from equipoise.examine.probes.target_scale import target_scale

SEEN = (loss_shapes, loss_pairing, label_balance, target_scale, deterministic_evaluation)
N = 240


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def noise(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


WEIGHTS = drawn(6, 3, seed=5)
X = drawn(N, 6)
SCORES = X @ WEIGHTS
LABELS = SCORES.argmax(-1)
VALUES = SCORES[:, :1] + (2 * X[:, :1]).sin()
SIGNS = torch.where(SCORES[:, :1] > 0, 1.0, -1.0)
COUNTS = torch.poisson((0.7 * SCORES[:, :1]).clamp(-3, 2.5).exp(), generator=torch.Generator().manual_seed(9))
NOISY = SCORES[:, :1] + (0.2 + 0.4 * (2 * X[:, 1:2]).sigmoid()) * drawn(N, 1, seed=11)
SEQUENCES = drawn(160, 5, 6)
TAGS = (SEQUENCES @ WEIGHTS).argmax(-1)


def body(outputs, *end, inputs=6):
    return nn.Sequential(nn.Linear(inputs, 32), nn.ReLU(), nn.Linear(32, outputs), *end)


class Wrapped(nn.Module):
    """A network with something done to what goes in or comes out."""

    def __init__(self, network, read):
        super().__init__()
        self.network, self.read = network, read

    def forward(self, x):
        return self.read(self.network, x)


class Language(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.cell, self.out = nn.Embedding(8, 16), nn.GRU(16, 24, batch_first=True), nn.Linear(24, 8)

    def forward(self, x):
        return self.out(self.cell(self.embed(x))[0])


class Auto(nn.Module):
    """A variational autoencoder."""

    def __init__(self):
        super().__init__()
        self.first, self.last = body(8, inputs=12), body(12, inputs=4)

    def forward(self, x):
        mean, log = self.first(x).chunk(2, -1)
        return self.last(mean + torch.randn_like(mean) * (log / 2).exp()), mean, log


def text(n=160, length=10):
    chances = torch.eye(8).roll(1, 1) * 0.85 + 0.15 / 8
    generator = torch.Generator().manual_seed(2)
    letters = [torch.randint(0, 8, (n,), generator=generator)]
    for _ in range(length):
        letters.append(torch.multinomial(chances[letters[-1]], 1, generator=generator).squeeze(1))
    whole = torch.stack(letters, 1)
    return whole[:, :-1], whole[:, 1:]


def pictures(n=64):
    x = drawn(n, 1, 8, 8, seed=3)
    smooth = functional.avg_pool2d(x, 3, 1, 1)[:, 0]
    return x, (smooth > 0.15).long() + (smooth > -0.15).long()


def groups(members, n=300):
    """Samples of several members, some of one kind, with 1 and -1 for the same kind and another one."""
    centres, generator = 2 * drawn(5, 6, seed=7), torch.Generator().manual_seed(8)
    one = torch.randint(0, 5, (n,), generator=generator)
    same = torch.rand(n, generator=generator) < 0.5
    other = (one + torch.randint(1, 5, (n,), generator=generator)) % 5
    kinds = [one, torch.where(same, one, other)] if members == 2 else [one, one, other]
    x = torch.stack([centres[kind] for kind in kinds], 1) + 0.7 * drawn(n, members, 6, seed=8)
    return x, torch.where(same, 1.0, -1.0) if members == 2 else torch.zeros(n)


def vae_loss(outputs, wanted):
    made, mean, log = outputs
    far = -(1 + log - mean.square() - log.exp()).sum(-1).mean()
    return 12 * functional.mse_loss(made, wanted) + 0.05 * far


def ctc(outputs, wanted):
    steps, n = outputs.shape[:2]
    return functional.ctc_loss(outputs, wanted, torch.full((n,), steps), torch.full((n,), wanted.shape[1]))


def two_heads():
    return nn.ModuleDict(
        {"body": nn.Sequential(nn.Linear(6, 32), nn.ReLU()), "a": nn.Linear(32, 3), "b": nn.Linear(32, 1)}
    )


def as_tuple(parts, x):
    hidden = parts["body"](x)
    return parts["a"](hidden), parts["b"](hidden)


def as_dict(parts, x):
    return dict(zip(("label", "size"), as_tuple(parts, x), strict=True))


def channels_first(network, x):
    return network(x).movedim(-1, 1)


def embedded(network, x):
    return tuple(network(x[:, k]) for k in range(x.shape[1]))


def distance(network, x):
    return (network(x[:, 0]) - network(x[:, 1])).norm(dim=1)


LATENT = drawn(N, 3, seed=1) @ drawn(3, 12, seed=2)
ENTROPY = functional.cross_entropy
BOTH = (LABELS, VALUES)
CTC_INPUTS = SEQUENCES[:, :3].repeat_interleave(2, 1) + 0.1 * drawn(160, 6, 6, seed=4)

STRUCTURES = {
    "labels (n, T), classes last": (
        lambda: body(3),
        lambda o, y: ENTROPY(o.reshape(-1, 3), y.reshape(-1)),
        SEQUENCES,
        TAGS,
    ),
    "labels (n, T), classes second": (lambda: Wrapped(body(3), channels_first), ENTROPY, SEQUENCES, TAGS),
    "padded labels": (
        lambda: body(3),
        lambda o, y: ENTROPY(o.flatten(0, 1), y.flatten(), ignore_index=-100),
        SEQUENCES,
        torch.where(noise(160, 5) < 0.3, -100, TAGS),
    ),
    "segmentation": (
        lambda: nn.Sequential(nn.Conv2d(1, 12, 3, padding=1), nn.ReLU(), nn.Conv2d(12, 3, 1)),
        nn.CrossEntropyLoss(),
        *pictures(),
    ),
    "language": (Language, lambda o, y: ENTROPY(o.flatten(0, 1), y.flatten()), *text()),
    "flattened by the network": (
        lambda: Wrapped(body(3), lambda network, x: network(x).flatten(0, 1)),
        lambda o, y: ENTROPY(o, y.flatten()),
        SEQUENCES,
        TAGS,
    ),
    "tuple outputs": (
        lambda: Wrapped(two_heads(), as_tuple),
        lambda o, y: ENTROPY(o[0], y) + 0.01 * o[1].square().mean(),
        X,
        LABELS,
    ),
    "dictionary outputs": (
        lambda: Wrapped(two_heads(), as_dict),
        lambda o, y: ENTROPY(o["label"], y) + 0.01 * o["size"].square().mean(),
        X,
        LABELS,
    ),
    "several heads": (
        lambda: Wrapped(two_heads(), as_tuple),
        lambda o, y: ENTROPY(o[0], y[0]) + functional.mse_loss(o[1], y[1]),
        X,
        BOTH,
    ),
    "dictionary targets": (
        lambda: Wrapped(two_heads(), as_dict),
        lambda o, y: ENTROPY(o["label"], y["label"]) + functional.mse_loss(o["size"], y["size"]),
        X,
        dict(zip(("label", "size"), BOTH, strict=True)),
    ),
    "several labels": (lambda: body(3), nn.BCEWithLogitsLoss(), X, (SCORES > 0).float()),
    "own function": (lambda: body(3), lambda o, y: -o.log_softmax(-1).gather(1, y[:, None]).mean(), X, LABELS),
    "variational autoencoder": (Auto, vae_loss, LATENT, LATENT),
}
MEANINGS = {
    "soft margin": (lambda: body(1), nn.SoftMarginLoss(), X, SIGNS),
    "hinge": (lambda: body(1), lambda o, y: (1 - o * y).clamp_min(0).mean(), X, SIGNS),
    "several hinges": (
        lambda: body(3),
        lambda o, y: (1 - o * y).clamp_min(0).mean(),
        X,
        torch.where(SCORES > 0, 1.0, -1.0),
    ),
    "hinge of distances": (lambda: Wrapped(body(8), distance), nn.HingeEmbeddingLoss(), *groups(2)),
    "multi margin": (lambda: body(3), nn.MultiMarginLoss(), X, LABELS),
    "poisson": (lambda: body(1), nn.PoissonNLLLoss(), X, COUNTS),
    "gaussian": (
        lambda: body(2),
        lambda o, y: functional.gaussian_nll_loss(o[:, :1], y, o[:, 1:].exp()),
        X,
        NOISY,
    ),
    "gaussian of two": (
        lambda: Wrapped(body(2), lambda network, x: (network(x)[:, :1], functional.softplus(network(x)[:, 1:]) + 1e-3)),
        lambda o, y: functional.gaussian_nll_loss(o[0], y, o[1]),
        X,
        NOISY,
    ),
    "divergence": (
        lambda: body(3, nn.LogSoftmax(-1)),
        nn.KLDivLoss(reduction="batchmean"),
        X,
        (1.5 * SCORES).softmax(-1),
    ),
    "ctc": (
        lambda: Wrapped(body(4), lambda network, x: network(x).log_softmax(-1).transpose(0, 1)),
        ctc,
        CTC_INPUTS,
        TAGS[:, :3] + 1,
    ),
    "cosine": (
        lambda: Wrapped(body(8), embedded),
        lambda o, y: functional.cosine_embedding_loss(o[0], o[1], y, margin=0.2),
        *groups(2),
    ),
    "triplet": (lambda: Wrapped(body(8), embedded), lambda o, _: functional.triplet_margin_loss(*o), *groups(3)),
}
FORMS = STRUCTURES | MEANINGS
UNTAUGHT = ("variational autoencoder", "triplet")
"""Forms whose targets are their inputs, or nothing: no order of theirs is wrong."""


def rows_of(targets, picked):
    if isinstance(targets, torch.Tensor):
        return targets[picked]
    if isinstance(targets, dict):
        return {name: one[picked] for name, one in targets.items()}
    return tuple(one[picked] for one in targets)


def training(form, *, rate=1e-2, maximize=False, torn=False, epochs=10):
    make, loss, x, y = FORMS[form]
    torch.manual_seed(0)
    network, cut = make(), int(0.75 * len(x))
    first, second = torch.arange(cut), torch.arange(cut, len(x))
    order = torch.randperm(cut, generator=torch.Generator().manual_seed(3)) if torn else first

    def optimizer(parameters):
        return torch.optim.Adam(parameters, lr=rate, maximize=maximize)

    train, held = (x[first], rows_of(y, order)), (x[second], rows_of(y, second))
    return Setup(network, loss, optimizer, train, held, batch_size=16, epochs=epochs)


def skill(setup, judge):
    outcome = run(draft_of(by_rows(setup)).setup, judge)
    return outcome.score.skill if outcome.finite else -math.inf


@pytest.mark.parametrize("form", FORMS)
def test_the_score_of_every_form_tells_a_healthy_training_from_a_sick_one(form):
    judge = draft_of(by_rows(training(form))).judge
    healthy = skill(training(form), judge)
    assert healthy > 0.3
    for seen in SEEN:
        found = seen(by_rows(training(form)))
        assert found.verdict.severity < Verdict.FAIL.severity, found.claim
        assert max(found.suggests.values(), default=0.0) < 3
    sick = {"ascent": training(form, maximize=True, epochs=3), "rate": training(form, rate=30.0, epochs=4)}
    if form not in UNTAUGHT:
        sick["labels"] = training(form, torn=True)
    scores = {fault: skill(one, judge) for fault, one in sick.items()}
    assert scores["ascent"] < 0.1
    assert scores.get("labels", 0.0) < 0.6 * healthy
    if form != "triplet":  # any embedding that is spread far enough keeps the margin
        assert scores["rate"] < healthy


@pytest.mark.parametrize("form", ["variational autoencoder", "poisson"])
def test_healthy_trainings_of_every_form_are_left_alone(form):
    made = training(form)
    found = diagnosed(made)
    assert found.healthy, str(found)
    assert "own loop" in found.score


@pytest.mark.parametrize(
    ("form", "changes", "fault"),
    [
        ("labels (n, T), classes second", {"maximize": True}, "gradient_ascent"),
        ("dictionary targets", {"rate": 30.0}, "lr_too_high"),
    ],
)
def test_sick_trainings_of_every_form_are_named(form, changes, fault):
    found = diagnosed(training(form, **changes))
    assert found.verdict == "sick"
    assert found.causes[0].fault == fault, str(found)


def diagnosed(made):
    return diagnose(
        made.network,
        made.loss,
        made.optimizer,
        train=made.train,
        validation=made.validation,
        batch_size=made.batch_size,
        epochs=made.epochs,
        budget_s=60,
    )


@pytest.mark.parametrize(
    ("network", "loss", "targets"),
    [
        (body(1), nn.MSELoss(), torch.full((64, 1), 7.0)),
        (body(2), nn.MSELoss(), torch.cat([X[:64, :1], torch.ones(64, 1)], 1)),
        (body(3), nn.CrossEntropyLoss(), torch.ones(64, dtype=torch.long)),
        (body(1), nn.BCEWithLogitsLoss(), torch.ones(64, 1)),
    ],
    ids=["constant", "one constant column", "one class", "one answer"],
)
def test_targets_that_are_all_alike_are_told_and_break_nothing(network, loss, targets):
    setup = Setup(network, loss, lambda p: torch.optim.Adam(p, lr=1e-2), (X[:64], targets), batch_size=16, epochs=5)
    found = [probe(setup) for probe in SEEN]
    assert all(one.verdict is not Verdict.ERROR for one in found)
    told = {fault for one in found for fault in one.suggests if one.verdict is Verdict.FAIL}
    assert told == ({"wrong_labels", "class_imbalance"} & told)
    assert ("wrong_labels" in told) == bool((targets == targets[:1]).all())
    draft = draft_of(setup)
    outcome = run(draft.setup, draft.judge)
    assert math.isfinite(outcome.score.skill)
    assert outcome.score.skill <= 1
