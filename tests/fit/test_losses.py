import numpy as np
import pytest
import torch
from scipy.special import expit, log_softmax, softmax
from sklearn.utils.class_weight import compute_class_weight
from torch.nn import functional

from equipoise.core.recipe import Recipe
from equipoise.data.samples import IGNORED
from equipoise.fit.losses import SUITABLE, balanced_weights, choose_loss, criterion

SCORES = torch.tensor([[2.0, -1.0, 0.5], [0.1, 0.2, -0.3], [-2.0, 3.0, 1.0], [0.0, 0.0, 0.0]])
LABELS = torch.tensor([0, 2, 1, 1])
LOGITS = torch.tensor([[1.5], [-0.5], [3.0], [0.2]])
BITS = torch.tensor([1, 0, 0, 1])


def loss(kind, weights=None, **recipe):
    return criterion(Recipe(**recipe), kind, weights)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mse", lambda d: (d**2).mean()),
        ("mae", lambda d: abs(d).mean()),
        ("huber", lambda d: np.where(abs(d) <= 0.7, d**2 / 2, 0.7 * (abs(d) - 0.35)).mean()),
    ],
)
def test_regression_losses_are_their_formulas(name, expected):
    targets = torch.tensor([[0.5, 0.0, 0.5], [0.1, 1.0, 0.3], [1.0, 3.0, -1.0], [9.0, 0.2, 0.6]])
    value = loss("regression", loss=name, huber_delta=0.7)(SCORES, targets)
    assert float(value) == pytest.approx(expected((SCORES - targets).numpy()), rel=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weighted", [False, True])
def test_cross_entropy_is_the_weighted_mean_log_probability(smoothing, weighted):
    weights = torch.tensor([0.5, 2.0, 1.0]) if weighted else None
    value = loss("multiclass", weights, label_smoothing=smoothing)(SCORES, LABELS)
    w = np.ones(3) if weights is None else weights.numpy()
    shares = np.eye(3)[LABELS] * (1 - smoothing) + smoothing / 3
    per_sample = -(shares * w * log_softmax(SCORES.numpy(), axis=1)).sum(1)
    assert float(value) == pytest.approx(per_sample.sum() / w[LABELS].sum(), rel=1e-6)


def test_soft_targets_of_mixup_mix_the_losses():
    shares = torch.tensor([[0.7, 0.3, 0.0]] * 4)
    value = loss("multiclass")(SCORES, shares)
    first, second = (functional.cross_entropy(SCORES, torch.full((4,), i)) for i in (0, 1))
    torch.testing.assert_close(value, 0.7 * first + 0.3 * second)


def test_binary_entropy_equals_cross_entropy_over_two_columns():
    columns = torch.cat([torch.zeros_like(LOGITS), LOGITS], 1)
    expected = functional.cross_entropy(columns, BITS)
    for name in ("binary-cross-entropy", "cross-entropy", "auto"):
        torch.testing.assert_close(loss("binary", loss=name)(LOGITS, BITS), expected)
    soft = functional.one_hot(BITS, 2).float()
    torch.testing.assert_close(loss("binary")(LOGITS, soft), expected)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_weighted_binary_entropy_is_the_weighted_mean(smoothing):
    weights = torch.tensor([0.5, 3.0])
    value = loss("binary", weights, label_smoothing=smoothing)(LOGITS, BITS)
    y, p = BITS.numpy() * (1 - smoothing) + smoothing / 2, expit(LOGITS.numpy()[:, 0])
    per_sample = -(3.0 * y * np.log(p) + 0.5 * (1 - y) * np.log(1 - p))
    assert float(value) == pytest.approx(per_sample.sum() / (3.0 * y + 0.5 * (1 - y)).sum(), rel=1e-5)


def test_multilabel_entropy_is_torchs():
    targets = torch.tensor([[1.0, 0, 1], [0, 0, 0], [1, 1, 1], [0, 1, 0]])
    value = loss("multilabel")(SCORES, targets)
    torch.testing.assert_close(value, functional.binary_cross_entropy_with_logits(SCORES, targets))


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_focal_loss_is_lins_formula(gamma):
    p = softmax(SCORES.numpy(), axis=1)[np.arange(4), LABELS]
    value = loss("multiclass", loss="focal", focal_gamma=gamma)(SCORES, LABELS)
    assert float(value) == pytest.approx((-((1 - p) ** gamma) * np.log(p)).mean(), rel=1e-5)
    q = np.where(BITS, expit(LOGITS.numpy()[:, 0]), 1 - expit(LOGITS.numpy()[:, 0]))
    value = loss("binary", loss="focal", focal_gamma=gamma)(LOGITS, BITS)
    assert float(value) == pytest.approx((-((1 - q) ** gamma) * np.log(q)).mean(), rel=1e-5)


def test_focal_loss_has_a_finite_slope_on_a_certain_answer():
    scores = torch.tensor([[200.0, -200.0]], requires_grad=True)
    loss("multiclass", loss="focal", focal_gamma=0.5)(scores, torch.tensor([0])).backward()
    assert torch.isfinite(scores.grad).all()


@pytest.mark.parametrize("name", ["cross-entropy", "focal"])
def test_padding_does_not_count(name):
    scores = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0))
    targets = torch.tensor([[1, 2, IGNORED], [3, IGNORED, IGNORED]])
    weights = torch.tensor([1.0, 2.0, 3.0, 4.0])
    recipe = {"loss": name, "focal_gamma": 0.0, "label_smoothing": 0.1}
    value = loss("sequence-labelling", weights, **recipe)(scores, targets)
    kept = targets != IGNORED
    expected = functional.cross_entropy(scores[kept], targets[kept], weights, label_smoothing=0.1)
    if name == "focal":  # the focal loss normalises by the weights of the smoothed shares
        shares = functional.one_hot(targets[kept], 4) * 0.9 + 0.025
        expected = expected * weights[targets[kept]].sum() / (shares * weights).sum()
    torch.testing.assert_close(value, expected)
    assert float(loss("sequence-labelling", loss=name)(scores, torch.full((2, 3), IGNORED))) == 0.0


def test_balanced_weights_are_scikit_learns():
    labels = torch.tensor([0, 0, 0, 1, 2, 2, IGNORED])
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels[:-1].numpy())
    np.testing.assert_allclose(balanced_weights(labels, "sequence-labelling", 3), expected, rtol=1e-6)
    several = torch.tensor([[1.0, 0], [1, 0], [1, 1], [0, 0]])
    for column in range(2):
        expected = compute_class_weight("balanced", classes=np.array([0.0, 1.0]), y=several[:, column].numpy())
        np.testing.assert_allclose(balanced_weights(several, "multilabel", 2)[:, column], expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("kind", "recipe", "right"),
    [
        ("multiclass", {"loss": "mse"}, "'cross-entropy'"),
        ("multiclass", {"loss": "binary-cross-entropy"}, "'cross-entropy'"),
        ("multilabel", {"loss": "cross-entropy"}, "'binary-cross-entropy'"),
        ("regression", {"loss": "cross-entropy"}, "'mse'"),
        ("regression", {"loss": "adversarial"}, "'mse'"),
        ("generation", {"loss": "mse"}, "'adversarial'"),
        ("regression", {"label_smoothing": 0.1}, "Leave it out"),
        ("reconstruction", {"class_weights": "balanced"}, "Leave it out"),
    ],
)
def test_senseless_pairings_are_refused_with_the_right_one(kind, recipe, right):
    with pytest.raises(ValueError, match=right):
        criterion(Recipe(**recipe), kind)


def test_auto_takes_the_first_suitable_loss():
    assert {kind: choose_loss(Recipe(), kind) for kind in SUITABLE} == {k: names[0] for k, names in SUITABLE.items()}
