"""Every rule of the re-implemented tools fires on a planted training and not on a healthy one."""

import importlib
from pathlib import Path

import pytest
import torch
from small_trainings import (
    Detached,
    classes,
    dense,
    inputs,
    random_classes,
    said,
    sgd,
    subject,
)
from torch import nn

ROOT = Path(__file__).parents[2]
MSE, BCE, LOGITS = "mean_squared_error", "binary_crossentropy", "cross_entropy_with_logits"


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))


def rules(name):
    return importlib.import_module(f"benchmarks.diagnosis_rules.{name}")


def dead(bias=-100.0):
    network = dense(nn.Softmax(-1))
    nn.init.constant_(network[0].bias, bias)
    return network


def deep_sigmoid(scale):
    torch.manual_seed(0)
    layers = [m for _ in range(6) for m in (nn.Linear(4, 4), nn.Sigmoid())]
    network = nn.Sequential(*layers, nn.Linear(4, 2), nn.Softmax(-1))
    for one in network:
        if isinstance(one, nn.Linear):
            nn.init.normal_(one.weight, 0, scale)
    return network


def noise():
    return (inputs(), random_classes())


# ---------------------------------------------------------------- AutoTrainer
AUTOTRAINER = {
    "vanish": lambda: subject(deep_sigmoid(0.05), train=noise(), optimizer=sgd(1e-6)),
    "explode": lambda: subject(dense(), LOGITS, optimizer=sgd(1e30)),
    "relu": lambda: subject(dead(-5.0), train=noise(), optimizer=sgd(1e-6)),
    "not_converge": lambda: subject(train=noise(), optimizer=sgd(1e-6)),
    "abnormal_data": lambda: subject(train=(inputs() * 1000, classes(inputs())), optimizer=sgd(1e-9)),
    "activation_issue": lambda: subject(dense(nn.Identity()), train=noise(), optimizer=sgd(1e-6)),
    "loss_issue": lambda: subject(
        dense(nn.Softmax(-1)), MSE, train=(inputs(), nn.functional.one_hot(classes(inputs())).float())
    ),
}


@pytest.mark.parametrize("symptom", AUTOTRAINER)
def test_autotrainer_fires(symptom):
    answer = rules("autotrainer").judge(AUTOTRAINER[symptom]())
    assert answer["healthy"] is False
    assert symptom in said(answer["causes"])
    assert rules("words").WORDS["autotrainer"][symptom] in [one["fault"] for one in answer["causes"]]


def test_autotrainer_leaves_a_healthy_classifier_alone():
    assert rules("autotrainer").judge(subject(epochs=12)) == {"healthy": True, "causes": []}


def test_autotrainer_is_silent_on_regression():
    answer = rules("autotrainer").judge(subject(dense(outputs=1), MSE, train=(inputs(), inputs()[:, :1])))
    assert answer["healthy"] is None
    assert "classifiers" in answer["reason"]


def test_autotrainer_oscillation_is_extremes_far_apart_in_a_fifth_of_the_epochs():
    assert rules("autotrainer").oscillates([0.5, 0.6, 0.5, 0.6, 0.5, 0.6])
    assert not rules("autotrainer").oscillates([0.5, 0.51, 0.5, 0.51, 0.5, 0.51])
    assert not rules("autotrainer").oscillates([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    monitor = rules("autotrainer").Monitor(subject(), seen={"unstable"})
    assert monitor._problems(looked=True) == ["unstable"]


# ---------------------------------------------------------------- UMLAUT
UMLAUT = {
    "input not normalised": lambda: subject(train=(inputs() * 3, classes(inputs()))),
    "input not floating": lambda: subject(
        nn.Sequential(nn.Embedding(4, 4), nn.Flatten(), nn.Linear(16, 2), nn.Softmax(-1)),
        train=(torch.randint(0, 2, (96, 4)), classes(inputs())),
    ),
    "input shape": lambda: subject(
        nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(24, 2), nn.Softmax(-1)),
        train=(torch.zeros(96, 1, 3, 4), classes(inputs())),
    ),
    "nan in input": lambda: subject(train=(inputs() * torch.tensor(float("nan")), classes(inputs()))),
    "no softmax before loss": lambda: subject(
        dense(nn.Sigmoid(), outputs=1), BCE, train=(inputs(), classes(inputs()).float())
    ),
    "last layer has activation": lambda: subject(dense(nn.Softmax(-1)), LOGITS),
    "missing activation": lambda: subject(
        nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.1), nn.Linear(4, 2), nn.Softmax(-1))
    ),
    "learning rate high": lambda: subject(rate=0.02),
    "learning rate low": lambda: subject(rate=1e-8),
    "dropout high": lambda: subject(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.6), nn.Linear(8, 2))),
    "overfitting": lambda: subject(rate=0.01, validation=(inputs(seed=1), 1 - classes(inputs(seed=1)))),
    "validation accuracy high": lambda: subject(rate=0.02, epochs=20, validation=(inputs(), classes(inputs()))),
}


@pytest.mark.parametrize("symptom", UMLAUT)
def test_umlaut_fires(symptom):
    answer = rules("umlaut").judge(UMLAUT[symptom]())
    assert symptom in said(answer["causes"])


def test_umlaut_leaves_a_healthy_classifier_alone():
    healthy = subject(rate=1e-3, validation=(inputs(), classes(inputs())))
    assert rules("umlaut").judge(healthy) == {"healthy": True, "causes": []}


def test_umlaut_sees_activations_between_layers_that_the_network_applies_itself():
    rules_ = rules("umlaut")
    calls = rules("watching").forward(Detached(), inputs()[:4])
    assert rules_.linear_before_linear(calls) == [], "relu is applied in forward"
    bare = nn.Sequential(nn.Linear(4, 4), nn.Identity(), nn.Flatten(), nn.Linear(4, 2))
    assert rules_.linear_before_linear(rules("watching").forward(bare, inputs()[:4])) == ["0"]


# ---------------------------------------------------------------- DeepDiagnosis
def saturated():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1), nn.Sigmoid())
    nn.init.normal_(network[0].weight, 0, 100.0)
    return network


def tiny(network):
    with torch.no_grad():
        network[0].weight *= 1e-4
    return network


def zero_head():
    network = dense(nn.Sigmoid(), outputs=1)
    nn.init.zeros_(network[2].weight)
    nn.init.constant_(network[2].bias, 0.3)
    return network


def yes_no():
    return (inputs(), classes(inputs()).float())


DEEPDIAGNOSIS = {
    "out of range": lambda: subject(dense(nn.Sigmoid(), outputs=1), MSE, train=(inputs(), 5 * inputs()[:, :1])),
    "numerical forward, zero": lambda: subject(dead()),
    "numerical forward, not finite": lambda: subject(dense(), LOGITS, optimizer=sgd(1e38)),
    "dead node": lambda: subject(dead(-0.8), optimizer=sgd(1e-6)),
    "saturated activation": lambda: subject(saturated(), BCE, train=yes_no(), optimizer=sgd(1e-3), epochs=5),
    "unchanged forward": lambda: subject(optimizer=sgd(0.0), epochs=5),
    "unchanged weights": lambda: subject(
        dense(nn.Sigmoid(), outputs=1), BCE, train=yes_no(), optimizer=lambda all_: sgd(0.1)([*all_][:2]), epochs=5
    ),
    "numerical gradient, zero": lambda: subject(Detached(), LOGITS),
    "numerical weights, zero": lambda: subject(zero_head(), BCE, train=yes_no(), optimizer=sgd(0.0)),
    "vanishing gradient": lambda: subject(
        dense(nn.Sigmoid(), outputs=1),
        BCE,
        train=yes_no(),
        loss_function=lambda put, targets: 1e-9 * (put - targets.view(-1, 1)).square().mean(),
    ),
    "fix: poor weight": lambda: subject(tiny(dead())),
    "fix: normalise the data": lambda: subject(dead(-300), train=(inputs() * 2, classes(inputs()))),
    "fix: loss": lambda: subject(dense(nn.Softmax(-1)), loss_function=lambda a, b: a.sum() * 0 + 1.0),
}


@pytest.mark.parametrize("symptom", DEEPDIAGNOSIS)
def test_deepdiagnosis_fires(symptom):
    answer = rules("deepdiagnosis").judge(DEEPDIAGNOSIS[symptom]())
    assert symptom in said(answer["causes"])


def test_deepdiagnosis_leaves_a_healthy_classifier_alone():
    healthy = subject(dense(nn.Sigmoid(), outputs=1), BCE, train=yes_no(), epochs=4)
    assert rules("deepdiagnosis").judge(healthy) == {"healthy": True, "causes": []}


@pytest.fixture
def looked():
    """A DeepDiagnosis callback that has seen a healthy network."""
    callback = rules("deepdiagnosis").Callback(subject())
    callback.network, callback.rates = callback.given.network, {"0.weight": 1e-3}
    return callback


def epoch_end(number, loss=1.0, accuracy=0.5):
    return rules("watching").EpochEnd(number, loss, accuracy, loss, accuracy)


@pytest.mark.parametrize(("symptom", "losses", "scores"), [
    ("loss not decreasing", [1.0] * 5, [0.1, 0.2, 0.3, 0.4, 0.5]),
    ("accuracy not increasing", [1 / (k + 1) for k in range(20)], [0.5] * 20),
    ("invalid accuracy", [1.0], [0.0]),
    ("invalid loss", [float("nan")], [0.5]),
    ("", [1 / (k + 1) for k in range(20)], [0.5 + k / 100 for k in range(20)]),
])  # fmt: skip
def test_deepdiagnosis_reads_the_curves(looked, symptom, losses, scores):
    last = rules("watching").forward(looked.network, inputs()[:4])[-1]
    found = []
    for k, (loss, score) in enumerate(zip(losses, scores, strict=True)):
        found = looked._curves(epoch_end(k, loss, score), last)
    assert (symptom in said(found)) if symptom else not found


def test_deepdiagnosis_means_over_five_epochs(looked):
    assert [looked._unchanged("gradient", "a", 0.25, k) for k in range(5)] == [False] * 4 + [True]
    assert [looked._unchanged("gradient", "b", k / 10, k) for k in range(5)] == [False] * 5


@pytest.mark.parametrize(("rate", "fix"), [
    (1.0, "fix: learning rate, high"), (1e-6, "fix: learning rate, low"), (1e-3, "fix: optimizer"),
])  # fmt: skip
def test_deepdiagnosis_maps_a_failure_without_other_cause_to_the_rate(looked, rate, fix):
    looked.rates = {"0.weight": rate}
    assert said(looked._fix()) == {fix}


def test_deepdiagnosis_advises_an_activation_after_the_layer(looked):
    calls = rules("watching").forward(looked.network, inputs()[:4])
    assert looked._activation_after("0", calls)["where"] == "layer:1"
    assert said([looked._activation_after("0", calls)]) == {"fix: hidden activation"}
    assert said([looked._activation_after("2", calls)]) == {"fix: last activation"}


# ---------------------------------------------------------------- watching, words, torchmortem
def test_a_watched_training_takes_the_same_steps():
    watching = rules("watching")
    network = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 2))
    seen, bare = [], []

    def look(now, loop):
        watching.forward(loop.network, inputs()[:8])
        watching.gradients(loop.given, loop.network, (inputs()[:8], classes(inputs()[:8])), training=True)
        seen.append(now.loss)
        return False

    watching.train(subject(network, LOGITS), look)
    watching.train(subject(network, LOGITS), lambda now, _: bool(bare.append(now.loss)))
    assert seen == bare


def test_gradients_are_those_of_backward():
    given = subject()
    found = rules("watching").gradients(given, given.network, given.train)
    given.loss(given.network(given.train[0]), given.train[1]).backward()
    for name, value in given.network.named_parameters():
        assert torch.equal(found[name], value.grad)


@pytest.mark.parametrize(("put", "targets", "loss", "expected"), [
    ([[0.9, 0.1], [0.2, 0.8]], [0, 0], "sparse_categorical_crossentropy", 0.5),
    ([[0.9, 0.1], [0.2, 0.8]], [[1.0, 0.0], [0.0, 1.0]], "categorical_crossentropy", 1.0),
    ([[0.9, 0.8], [0.2, 0.1]], [[1.0, 1.0], [1.0, 0.0]], "binary_crossentropy", 0.75),
    ([[0.6], [0.4]], [1.0, 1.0], "binary_crossentropy", 0.5),
    ([[0.1], [-0.1]], [1, 1], "binary_cross_entropy_with_logits", 0.5),
])  # fmt: skip
def test_accuracy_is_what_keras_calls_so(put, targets, loss, expected):
    assert rules("watching").accuracy(torch.tensor(put), torch.tensor(targets), loss) == pytest.approx(expected)


def test_words_are_of_the_vocabulary_and_a_tool_names_nothing_else():
    from equipoise.core.faults import FAULTS

    for table in rules("words").WORDS.values():
        assert {word for word in table.values() if word} <= set(FAULTS)


def test_a_cause_named_twice_stands_once_and_unnamed_ones_last():
    words = rules("words")
    causes = [
        words.cause("umlaut", one, "inputs", "x") for one in ("input shape", "input not floating", "nan in input")
    ]
    answer = words.verdict(causes)
    assert [one["fault"] for one in answer["causes"]] == ["unscaled_input", ""]
    assert len(answer["causes"][0]["evidence"]) == 2


@pytest.mark.parametrize(("category", "title", "fault"), [
    ("gradient_flow", "Vanishing gradients detected", "vanishing_gradient"),
    ("gradient_flow", "Exploding gradients detected", "exploding_gradient"),
    ("gradient_flow", "Gradient stalling in 0", "vanishing_gradient"),
    ("dead_units", "Dead units in 1", "dying_relu"),
    ("saturation", "Activation saturation in 1", "saturated_activation"),
    ("update_ratio", "Update ratio too low in 0", "lr_too_low"),
    ("update_ratio", "Update ratio too high in 0", "lr_too_high"),
    ("loss_dynamics", "Training divergence detected", "lr_too_high"),
    ("loss_dynamics", "Loss plateau detected", ""),
    ("rank_collapse", "Rank collapse in 0", ""),
    ("weight_norm", "Weight norm explosion", "lr_too_high"),
    ("weight_norm", "Stagnant weight norms", "lr_too_low"),
    ("weight_norm", "Inter-layer weight norm imbalance", "bad_initialization"),
    ("gradient_noise", "High gradient noise (low SNR)", "batch_size_too_small"),
])  # fmt: skip
def test_findings_of_torchmortem_have_a_word(category, title, fault):
    cause = rules("torchmortem_peer").named(category, title, ["0"])
    assert (cause["fault"], cause["where"]) == (fault, "layer:0")


def test_a_peer_that_is_not_installed_is_said_so(monkeypatch, tmp_path):
    tools = importlib.import_module("benchmarks.diagnosis_tools")
    monkeypatch.setattr(tools, "PEERS", tmp_path)
    assert tools.absent() == {"torchmortem": f"not installed: no environment at {tmp_path}"}
