"""Losses, tasks and ends of networks are told by experiment: against formulas, and with everything that can mislead."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from equipoise.core.estimate import Verdict
from equipoise.examine.probes.initial_loss import initial_loss
from equipoise.examine.probes.loss_behaviour import loss_behaviour
from equipoise.examine.probes.loss_pairing import loss_pairing
from equipoise.examine.probes.loss_shapes import loss_shapes
from equipoise.examine.probes.output_end import output_end
from equipoise.examine.probes.setup import Setup
from equipoise.examine.probes.task import task_of

N = 96


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def inputs(columns: int = 6, n: int = N) -> Tensor:
    return torch.randn(n, columns, generator=generator())


def labels(classes: int = 3, n: int = N) -> Tensor:
    return torch.randint(0, classes, (n,), generator=generator(1))


def network(outputs: int, *end: nn.Module, columns: int = 6) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return nn.Sequential(nn.Linear(columns, 16), nn.ReLU(), nn.Linear(16, outputs), *end)


def setup(net: nn.Module, loss: object, y: Tensor, x: Tensor | None = None) -> Setup:
    given = inputs() if x is None else x
    return Setup(net, loss, lambda parameters: torch.optim.Adam(parameters, lr=1e-3), (given, y))


def hidden_name(p: Tensor, y: Tensor) -> Tensor:
    """Keras-like: brings rows to sum 1, clips, and takes one-hot labels."""
    p = (p / p.sum(-1, keepdim=True)).clamp(1e-7, 1 - 1e-7)
    return -(y * p.log()).sum(-1).mean()


def sparse_one(p: Tensor, y: Tensor) -> Tensor:
    p = (p / p.sum(-1, keepdim=True)).clamp(1e-7, 1 - 1e-7)
    return -p.log().gather(-1, y.long().view(-1, 1)).mean()


def clipped_binary(p: Tensor, y: Tensor) -> Tensor:
    y = y.reshape(p.shape).to(p.dtype)
    p = p.clamp(1e-7, 1 - 1e-7)
    return -(y * p.log() + (1 - y) * (1 - p).log()).mean()


def focal(o: Tensor, y: Tensor) -> Tensor:
    p = o.softmax(-1).gather(1, y.view(-1, 1))
    return -((1 - p) ** 2 * p.log()).mean()


def log_cosh(o: Tensor, y: Tensor) -> Tensor:
    return (o - y).cosh().log().mean()


ONE_HOT = functional.one_hot(labels(), 3).float()
YES_NO = labels(2).float().view(-1, 1)
REAL = torch.randn(N, 2, generator=generator(5))
WEIGHTED = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 5.0, 0.2]))

KINDS = [
    (nn.CrossEntropyLoss(), labels(), 3, "cross-entropy of logits", "logits"),
    (WEIGHTED, labels(), 3, "cross-entropy of logits", "logits"),
    (nn.CrossEntropyLoss(reduction="sum"), labels(), 3, "cross-entropy of logits", "logits"),
    (lambda o, y: 3 + 0.1 * functional.cross_entropy(o, y), labels(), 3, "cross-entropy of logits", "logits"),
    (nn.CrossEntropyLoss(label_smoothing=0.1), labels(), 3, "unknown", "logits"),
    (focal, labels(), 3, "unknown", "logits"),
    (nn.NLLLoss(), labels(), 3, "negative log-likelihood", "log-probabilities"),
    (hidden_name, ONE_HOT, 3, "cross-entropy of probabilities", "probabilities"),
    (sparse_one, labels(), 3, "cross-entropy of probabilities", "probabilities"),
    (clipped_binary, YES_NO, 1, "binary cross-entropy of probabilities", "probabilities"),
    (nn.BCELoss(), YES_NO, 1, "binary cross-entropy of probabilities", "probabilities"),
    (nn.BCEWithLogitsLoss(), YES_NO, 1, "binary cross-entropy of logits", "logits"),
    (nn.BCEWithLogitsLoss(pos_weight=torch.tensor([9.0])), YES_NO, 1, "binary cross-entropy of logits", "logits"),
    (nn.BCEWithLogitsLoss(), ONE_HOT, 3, "binary cross-entropy of logits", "logits"),
    (nn.MSELoss(), REAL, 2, "squared error", "values"),
    (nn.MSELoss(), 3e4 * REAL, 2, "squared error", "values"),
    (nn.L1Loss(), REAL, 2, "absolute error", "values"),
    (nn.MSELoss(), ONE_HOT, 3, "squared error", "values"),
    (log_cosh, REAL, 2, "unknown", "values"),
    (nn.HuberLoss(), REAL, 2, "unknown", "values"),
]


@pytest.mark.parametrize(("loss", "targets", "columns", "form", "accepts"), KINDS)
def test_losses_are_told_by_what_they_do(loss, targets, columns, form, accepts):
    outputs = torch.randn(N, columns, generator=generator(7))
    told = loss_behaviour(loss, outputs, targets, task_of(outputs, targets))
    assert (told.form, told.accepts) == (form, accepts)
    assert told.sign == 1
    assert not told.mixes_samples
    assert not told.indifferent


@pytest.mark.parametrize(("loss", "targets", "columns", "form", "accepts"), KINDS[::3])
def test_the_negative_of_a_loss_has_the_other_sign(loss, targets, columns, form, accepts):
    outputs = torch.randn(N, columns, generator=generator(7))
    told = loss_behaviour(lambda o, y: -loss(o, y), outputs, targets, task_of(outputs, targets))
    assert told.sign == -1
    assert (told.form, told.accepts) == (form, accepts)


def test_properties_of_losses():
    outputs, task = torch.randn(N, 3), task_of(torch.randn(N, 3), labels())
    assert loss_behaviour(sparse_one, outputs, labels(), task).normalises
    assert loss_behaviour(sparse_one, outputs, labels(), task).below_zero in ("flat", "finite")
    assert not loss_behaviour(nn.CrossEntropyLoss(), outputs, labels(), task).normalises
    assert loss_behaviour(nn.CrossEntropyLoss(reduction="sum"), outputs, labels(), task).summed
    assert not loss_behaviour(nn.CrossEntropyLoss(), outputs, labels(), task).summed
    one = torch.randn(N, 1)
    assert loss_behaviour(nn.BCELoss(), one, YES_NO, task_of(one, YES_NO)).below_zero == "error"
    assert loss_behaviour(clipped_binary, one, YES_NO, task_of(one, YES_NO)).below_zero == "flat"
    assert loss_behaviour(lambda o, y: 0 * o.sum() + 1, one, YES_NO, task_of(one, YES_NO)).indifferent


def test_a_loss_that_ties_samples_together_is_told():
    outputs, targets = torch.randn(N, 1), torch.randn(N, generator=generator(2))
    mean_square = lambda o, y: (o - y).square().mean()  # noqa: E731
    task = task_of(outputs, targets)
    assert loss_behaviour(mean_square, outputs, targets, task).mixes_samples
    assert not loss_behaviour(mean_square, outputs, targets.unsqueeze(1), task).mixes_samples
    # Class weights change what all samples are divided by, and nothing else.
    told = loss_behaviour(WEIGHTED, torch.randn(N, 3), labels(), task_of(torch.randn(N, 3), labels()))
    assert not told.mixes_samples


@pytest.mark.parametrize(
    ("outputs", "targets", "kind", "classes"),
    [
        ((N, 3), labels(), "classes", 3),
        ((N, 3), labels().view(-1, 1), "classes", 3),
        ((N, 3), ONE_HOT, "one-hot", 3),
        ((N, 3), torch.full((N, 3), 1 / 3), "distribution", 3),
        ((N, 1), YES_NO, "binary", 2),
        ((N,), 2 * labels(2).float() - 1, "binary", 2),
        ((N, 4), (torch.randn(N, 4, generator=generator()) > 0).float(), "multilabel", 4),
        ((N, 2), REAL, "values", 2),
        ((N, 1), labels(9).float(), "values", 1),
        ((N, 5, 7), torch.randint(0, 5, (N, 7), generator=generator()), "classes", 5),
        ((N, 7, 5), torch.randint(0, 5, (N, 7), generator=generator()), "classes", 5),
    ],
)
def test_tasks_are_told_by_targets(outputs, targets, kind, classes):
    task = task_of(torch.zeros(outputs), targets)
    assert (task.kind, task.classes) == (kind, classes)
    if len(outputs) == 3:
        assert outputs[task.axis] == 5


class Bare(nn.Module):
    """Ends in a plain call, so that no module tells."""

    def __init__(self, end: object, outputs: int = 3) -> None:
        super().__init__()
        self.body, self.end = network(outputs), end

    def forward(self, x: Tensor) -> Tensor:
        return self.end(self.body(x))


@pytest.mark.parametrize(
    ("end", "outputs", "kind"),
    [
        (lambda z: z, 3, "unbounded"),
        (lambda z: z.softmax(-1), 3, "softmax"),
        (lambda z: z.exp() / z.exp().sum(-1, keepdim=True), 3, "softmax"),
        (lambda z: z.softmax(0), 3, "softmax over samples"),
        (lambda z: z.log_softmax(-1), 3, "log-softmax"),
        (lambda z: z.sigmoid(), 1, "sigmoid"),
        (lambda z: 1 / (1 + (-z).exp()), 3, "sigmoid"),
        (lambda z: z.tanh(), 1, "tanh"),
        (lambda z: z.clamp_min(0), 2, "rectified"),
        (lambda z: functional.softplus(z), 2, "positive"),
        (lambda z: z.softmax(-1), 1, "constant"),
    ],
)
def test_ends_are_told_by_what_outputs_can_be(end, outputs, kind):
    x = inputs(n=32)
    task = task_of(torch.zeros(32, outputs), labels(max(outputs, 2), 32))
    assert output_end(Bare(end, outputs), x, task).kind == kind


REGRESSION = inputs()[:, :1] * 2

SICK_PAIRS = [
    (network(1, nn.Softmax(-1)), clipped_binary, YES_NO, "wrong_output_activation", "layer:3"),
    (network(1, nn.Softmax(-1)), hidden_name, YES_NO, "wrong_output_activation", "layer:3"),
    (network(3, nn.Softmax(0)), sparse_one, labels(), "batch_mixing", "layer:3"),
    (network(3, nn.Softmax(-1)), nn.CrossEntropyLoss(), labels(), "double_softmax", "layer:3"),
    (network(1, nn.Sigmoid()), nn.BCEWithLogitsLoss(), YES_NO, "double_softmax", "layer:3"),
    (network(3, nn.Softmax(-1)), nn.NLLLoss(), labels(), "loss_mismatch", "loss"),
    (network(3), sparse_one, labels(), "wrong_output_activation", "layer:2"),
    (network(3, nn.ReLU()), sparse_one, labels(), "wrong_output_activation", "layer:3"),
    (network(3, nn.ReLU()), nn.CrossEntropyLoss(), labels(), "wrong_output_activation", "layer:3"),
    (network(3, nn.Sigmoid()), hidden_name, ONE_HOT, "wrong_output_activation", "layer:3"),
    (
        network(3, nn.Softmax(-1)),
        clipped_binary,
        (REAL[:, [0, 1, 0]] > 0).float(),
        "wrong_output_activation",
        "layer:3",
    ),
    (network(1, nn.Sigmoid()), nn.MSELoss(), 40 + 9 * REGRESSION, "wrong_output_activation", "layer:3"),
    (network(1, nn.ReLU()), nn.MSELoss(), REGRESSION, "wrong_output_activation", "layer:3"),
    (network(1, nn.Tanh()), nn.L1Loss(), 5 * REGRESSION, "wrong_output_activation", "layer:3"),
    (network(1, nn.Sigmoid()), clipped_binary, 5 * REGRESSION, "loss_mismatch", "loss"),
    (network(1, nn.Sigmoid()), clipped_binary, YES_NO + 1, "loss_mismatch", "targets"),
    (network(3), lambda o, y: -functional.cross_entropy(o, y), labels(), "gradient_ascent", "loss"),
    (network(1), nn.MSELoss(), YES_NO, "loss_mismatch", "loss"),
]


@pytest.mark.parametrize(("net", "loss", "targets", "fault", "place"), SICK_PAIRS)
def test_pairs_that_do_not_go_together(net, loss, targets, fault, place):
    found = loss_pairing(setup(net, loss, targets))
    assert found.verdict in (Verdict.FAIL, Verdict.WARN)
    assert found.suggests[fault] == max(found.suggests.values())
    assert place in found.where


@pytest.mark.parametrize(
    ("net", "loss", "targets"),
    [
        (network(3), nn.CrossEntropyLoss(), labels()),
        (network(3), WEIGHTED, labels()),
        (network(3), nn.CrossEntropyLoss(label_smoothing=0.1), labels()),
        (network(3), focal, labels()),
        (network(3, nn.Softmax(-1)), sparse_one, labels()),
        (network(3, nn.Softmax(-1)), hidden_name, ONE_HOT),
        (network(3, nn.LogSoftmax(-1)), nn.NLLLoss(), labels()),
        (network(1, nn.Sigmoid()), nn.BCELoss(), YES_NO),
        (network(1), nn.BCEWithLogitsLoss(), YES_NO),
        (network(1), nn.BCEWithLogitsLoss(pos_weight=torch.tensor([9.0])), YES_NO),
        (network(3, nn.Sigmoid()), clipped_binary, (REAL[:, [0, 1, 0]] > 0).float()),
        (network(2), nn.MSELoss(), REAL),
        (network(2), nn.MSELoss(), 1e4 * REAL),
        (network(2, nn.ReLU()), nn.MSELoss(), REAL.abs()),
        (network(2, nn.Sigmoid()), nn.MSELoss(), REAL.sigmoid()),
        (network(2, nn.Tanh()), nn.HuberLoss(), REAL.tanh()),
    ],
)
def test_pairs_that_go_together(net, loss, targets):
    found = loss_pairing(setup(net, loss, targets))
    assert found.verdict == Verdict.PASS, found.claim
    assert loss_shapes(setup(net, loss, targets)).verdict == Verdict.PASS


def test_a_broadcast_is_found_and_its_size_told():
    x = inputs()
    y = x[:, 0]
    loss = lambda o, t: (o - t).square().mean()  # noqa: E731
    found = loss_shapes(setup(network(1), loss, y))
    assert found.verdict == Verdict.FAIL
    assert max(found.suggests, key=found.suggests.get) == "shape_broadcast"
    assert found.where == ("loss",)
    assert loss_shapes(setup(network(1), loss, y.unsqueeze(1))).verdict == Verdict.PASS
    assert loss_shapes(setup(network(1), nn.MSELoss(), y)).suggests == found.suggests
    three = loss_shapes(setup(network(1), loss, REAL[:, [0, 1, 0]]))
    assert "shape_broadcast" in three.suggests


def test_the_loss_at_birth_is_compared_with_the_entropy_of_the_labels():
    y = (torch.arange(N) % 4 == 0).long()
    found = initial_loss(setup(network(2), nn.CrossEntropyLoss(), y))
    assert found.verdict == Verdict.PASS
    entropy = -(0.25 * torch.tensor(0.25).log() + 0.75 * torch.tensor(0.75).log())
    assert found.estimates["loss of the best constant"].value == pytest.approx(float(entropy), abs=1e-3)
    square = initial_loss(setup(network(2), nn.MSELoss(), REAL))
    assert square.estimates["loss of the best constant"].value == pytest.approx(
        float((REAL - REAL.mean(0)).square().mean()), rel=1e-3
    )


def test_a_birth_that_is_wrong_and_sure_is_blamed_on_inputs_or_weights():
    x = 300 * inputs()
    loud = initial_loss(setup(network(3), nn.CrossEntropyLoss(), labels(), x))
    assert set(loud.suggests) == {"unscaled_input"}
    heavy = network(3)
    with torch.no_grad():
        heavy[0].weight.mul_(30), heavy[2].weight.mul_(30)
    heavily = initial_loss(setup(heavy, nn.CrossEntropyLoss(), labels()))
    assert set(heavily.suggests) == {"bad_initialization"}
    assert loud.verdict == heavily.verdict == Verdict.FAIL


def test_an_own_loop_that_brings_shapes_together_is_sound():
    x, loss = inputs(), nn.MSELoss()
    y = x[:, 0]

    def begin() -> tuple[nn.Module, torch.optim.Optimizer]:
        net = network(1)
        return net, torch.optim.Adam(net.parameters())

    def step(net: nn.Module, optimizer: torch.optim.Optimizer, batch: tuple[Tensor, Tensor]) -> Tensor:
        optimizer.zero_grad()
        value = loss(net(batch[0]).squeeze(1), batch[1])
        value.backward()
        optimizer.step()
        return value.detach()

    training = setup(network(1), loss, y)
    assert loss_shapes(training).verdict == Verdict.FAIL
    assert loss_shapes(replace(training, begin=begin, step=step)).verdict == Verdict.PASS
