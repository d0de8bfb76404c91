"""Asks how strongly answers react to small changes of the input, and how near the decision boundary is."""

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from equipoise.core.estimate import Estimate, Line
from equipoise.core.figure import Curves, Figure, Series, Tile
from equipoise.core.finding import Finding
from equipoise.core.signature import Task
from equipoise.data.samples import IGNORED
from equipoise.data.tiles import tile
from equipoise.examine.conclude import conclude
from equipoise.examine.feature_view import FeatureView, feature_spread, feature_view
from equipoise.examine.question import Card, Context, InapplicableError
from equipoise.examine.scoring import need_finite
from equipoise.examine.subject import Subject
from equipoise.examine.wording import percent_bracketed
from equipoise.examine.workload import affordable, drawn, seconds_per_sample
from equipoise.networks.network import answers
from equipoise.stats.intervals import bootstrap, mean, proportion_of, quantile

_CARD = Card(
    id="input-sensitivity",
    theme="stability",
    title="Do answers stay when inputs hardly change?",
    why=(
        "Two inputs that differ by less than anyone would notice should get one answer. A network whose output jumps "
        "under tiny changes has fitted noise, will contradict itself from one measurement to the next, and is easy to "
        "fool. The slope of the output also says which samples sit on the edge of a decision."
    ),
    how=(
        "The margin of a decision is the score of the predicted class minus that of the next (one logit for two "
        "classes; of several labels the least sure, of many steps the median). Its gradient with respect to the "
        "standardised features is found exactly, sample by sample, by automatic differentiation; margin divided by "
        "gradient norm is the distance to the decision boundary if the network were linear around the sample, in "
        "standard deviations. Medians carry order-statistic intervals. Then each test sample gets one Gaussian push "
        "of a tenth of a standard deviation in every feature, and the share of predictions that change carries a "
        "Wilson interval. For regression the Jacobian of the standardised outputs takes the margin's place, and the "
        "push is answered by the root mean square movement of the output in its own standard deviations (bootstrap "
        "interval). Token ids have no gradient: there the vectors of the embedding are the features."
    ),
    verdicts=(
        "pass: at most 10 % of the predictions change (regression: the output moves by at most 0.25 standard "
        "deviations), and the median distance to the boundary is at least 0.1. warn: worse. fail: more than 25 % "
        "change (moves by 0.5), or the median distance is below 0.02. unsure: an interval crosses its line."
    ),
    may_help=("noise-training", "weight-decay", "spectral-norm", "deep-ensemble", "sam", "adversarial training"),
    sources=(
        "R. Novak, Y. Bahri, D. A. Abolafia, J. Pennington and J. Sohl-Dickstein, Sensitivity and generalization in "
        "neural networks: an empirical study, ICLR 2018",
        "J. Sokolić, R. Giryes, G. Sapiro and M. R. D. Rodrigues, Robust large margin deep neural networks, IEEE "
        "Transactions on Signal Processing 2017",
        "S.-M. Moosavi-Dezfooli, A. Fawzi and P. Frossard, DeepFool, CVPR 2016 (distance of the linearised network)",
    ),
    lines={
        "changed_share": Line(warn=0.1, fail=0.25),
        "movement": Line(warn=0.25, fail=0.5),
        "boundary_distance": Line(warn=0.1, fail=0.02, worse="below"),
    },
)

_MOST_OUTPUTS = 32


@dataclass(frozen=True, slots=True)
class InputSensitivity:
    """Ask how answers react to small changes of the input.

    Attributes:
        push: Standard deviation of the random push, in standard deviations of each feature.
        samples: At most so many test samples.
    """

    push: float = 0.1
    samples: int = 1000
    card: Card = field(default=_CARD, init=False)

    def cost_s(self, subject: Subject) -> float:
        """Return about how many seconds the answer takes on two cores."""
        n = min(self.samples, len(subject.part("test")))
        return 0.3 + 6 * n * seconds_per_sample(subject)

    def answer(self, subject: Subject, context: Context) -> Finding:
        """Return the finding.

        Raises:
            InapplicableError: The task has neither a decision nor a value to be sensitive, or token ids are looked up
                by no torch embedding, or answers or their gradients are not finite.
        """
        task = subject.task
        if task.kind in ("reconstruction", "generation"):
            raise InapplicableError(
                f"{task.kind} has neither a decision whose boundary could be near nor a single value"
            )
        view = feature_view(subject)
        generator = context.generator
        count = affordable(subject, context, passes=6, most=self.samples)
        inputs, targets = subject.part("test").batch(drawn(len(subject.part("test")), count, generator))
        need_finite(answers(subject.network, inputs).detach().cpu().numpy(), "test samples")
        known, _ = subject.part("train").batch(drawn(len(subject.part("train")), 1000, generator))
        scale = feature_spread(view.features(known))
        if task.kind == "regression":
            return self._values(view, inputs, scale, context)
        kept = targets != IGNORED if task.kind == "sequence-labelling" else None
        return self._decisions(subject, view, inputs, kept, scale, context)

    def _decisions(
        self, subject: Subject, view: FeatureView, inputs: Tensor, kept: Tensor | None, scale: Tensor, context: Context
    ) -> Finding:
        margins, norms = margins_and_norms(view, inputs, scale, kept)
        _need_slopes(norms)
        finite = norms > 0
        far = float(np.finfo(np.float32).max)
        distances = np.where(finite, margins / np.where(finite, norms, 1.0), far)
        changed = _changed(view, inputs, scale * self.push, kept, context.generator)
        share = _share(changed)
        estimates = {
            "changed_share": share,
            "boundary_distance": quantile(distances, 0.5, "standard deviations"),
            "gradient_norm": quantile(norms, 0.5, "score / standard deviation"),
            "margin": quantile(margins, 0.5, "score"),
        }
        near = estimates["boundary_distance"]
        claim = (
            f"A random push of {self.push:g} standard deviations changes "
            f"{percent_bracketed(share)} of {share.n:,} predictions; the median distance to the decision "
            f"boundary is {_far(near.value)} [{_far(near.low)}, {_far(near.high)}] standard deviations."
        )
        return conclude(
            _CARD,
            claim,
            estimates,
            context.lines,
            worst_samples=_nearest(subject, inputs, distances),
            figures=_figures(distances[distances < far], "distance to the decision boundary (standard deviations)"),
            assumptions=(
                "The distance is that of the network linearised at the sample; the true boundary may be nearer.",
                "Features are pushed independently; one-hot features are pushed like numbers.",
            ),
        )

    def _values(self, view: FeatureView, inputs: Tensor, scale: Tensor, context: Context) -> Finding:
        norms = jacobian_norms(view, inputs, scale)
        _need_slopes(norms)
        with torch.no_grad():
            features = view.features(inputs)
            noise = torch.randn(features.shape, generator=context.generator).to(features.device)
            before, after = view.scores(features, inputs), view.scores(features + self.push * scale * noise, inputs)
        need_finite(after.cpu().numpy(), "pushed test samples")
        spread = before.std(0, correction=0).clamp(min=1e-12)
        squares = ((after - before) / spread).square().mean(1).double().cpu().numpy()
        movement = bootstrap(_root_mean, squares, unit="standard deviations", repeats=400)
        norm = quantile(norms, 0.5, "standard deviations / standard deviation")
        claim = (
            f"A random push of {self.push:g} standard deviations moves the prediction by {movement.value:.3f} "
            f"[{movement.low:.3f}, {movement.high:.3f}] of its own standard deviations, n = {movement.n:,}; the median "
            f"Jacobian norm is {norm.value:.3f} [{norm.low:.3f}, {norm.high:.3f}]."
        )
        return conclude(
            _CARD,
            claim,
            {"movement": movement, "jacobian_norm": norm},
            context.lines,
            figures=_figures(norms, "Jacobian norm"),
            assumptions=("Features are pushed independently; one-hot features are pushed like numbers.",),
        )


def margins(task: Task, outputs: Tensor, kept: Tensor | None = None) -> Tensor:
    """Return how far ahead each decision is (n,), not negative: of the least sure label, or of the median step.

    Args:
        task: The task.
        outputs: Logits (n, classes), (n, labels) or (n, steps, classes).
        kept: Which steps count (n, steps).
    """
    if task.kind == "multilabel":
        return outputs.abs().amin(-1)
    first, second = outputs.topk(2, dim=-1).values.unbind(-1)
    ahead = first - second
    if ahead.ndim == 1:
        return ahead
    counted = torch.full(ahead.shape[:1], ahead.shape[1]) if kept is None else kept.sum(1)
    ordered = (ahead if kept is None else ahead.masked_fill(~kept, torch.inf)).sort(1).values
    middle = ((counted - 1) // 2).clamp(min=0).to(ahead.device)
    return ordered.gather(1, middle[:, None]).squeeze(1)


def margins_and_norms(
    view: FeatureView, inputs: Tensor, scale: Tensor, kept: Tensor | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return each sample's margin and the norm of its gradient with respect to the standardised features, (n,) each.

    Args:
        view: The network.
        inputs: Raw inputs (n, ...).
        scale: Standard deviations of the features.
        kept: Which steps count (n, steps), for sequence labelling.
    """
    task = view.network.signature.task
    ahead: list[Tensor] = []
    norms: list[Tensor] = []
    for index in torch.arange(len(inputs)).split(256):
        chunk = inputs[index]
        features = view.features(chunk).requires_grad_()
        outputs = view.network.head.outputs(view.scores(features, chunk))
        margin = margins(task, outputs, None if kept is None else kept[index])
        # Samples do not touch each other in evaluation mode, so the gradient of the sum holds each one's own.
        counted = torch.where(margin.isfinite(), margin, 0.0).sum()
        (gradient,) = torch.autograd.grad(counted, features, materialize_grads=True)
        ahead.append(margin.detach().nan_to_num(posinf=0.0))
        norms.append((gradient * scale).flatten(1).norm(dim=1))
    return torch.cat(ahead).double().cpu().numpy(), torch.cat(norms).double().cpu().numpy()


def jacobian_norms(view: FeatureView, inputs: Tensor, scale: Tensor) -> np.ndarray:
    """Return each sample's Frobenius norm (n,) of the scores' Jacobian with respect to the standardised features.

    Raises:
        InapplicableError: More outputs than can be differentiated one by one.
    """
    found: list[Tensor] = []
    for chunk in inputs.split(256):
        features = view.features(chunk).requires_grad_()
        scores = view.scores(features, chunk).flatten(1)
        if scores.shape[1] > _MOST_OUTPUTS:
            raise InapplicableError(f"it has {scores.shape[1]} outputs; at most {_MOST_OUTPUTS} are differentiated")
        squares = torch.zeros(len(chunk), device=scores.device)
        for output in range(scores.shape[1]):
            (gradient,) = torch.autograd.grad(
                scores[:, output].sum(), features, retain_graph=True, materialize_grads=True
            )
            squares = squares + (gradient * scale).flatten(1).square().sum(1)
        found.append(squares.sqrt().detach())
    return torch.cat(found).double().cpu().numpy()


@torch.no_grad()
def _changed(
    view: FeatureView, inputs: Tensor, push: Tensor, kept: Tensor | None, generator: torch.Generator
) -> np.ndarray:
    """Return the share of each sample's decisions (n,) that one random push changes."""
    task = view.network.signature.task
    shares: list[Tensor] = []
    for index in torch.arange(len(inputs)).split(256):
        chunk = inputs[index]
        features = view.features(chunk)
        noise = torch.randn(features.shape, generator=generator).to(features.device)
        before = _decided(task, view.network.head.outputs(view.scores(features, chunk)))
        after = _decided(task, view.network.head.outputs(view.scores(features + push * noise, chunk)))
        differs = (before != after).double()
        if kept is not None:
            counts = kept[index].double()
            differs = (differs * counts).sum(1) / counts.sum(1).clamp(min=1)
        shares.append(differs if differs.ndim == 1 else differs.mean(1))
    return torch.cat(shares).cpu().numpy()


def _need_slopes(norms: np.ndarray) -> None:
    wrong = int((~np.isfinite(norms)).sum())
    if wrong:
        raise InapplicableError(
            f"the gradients of the answers are not finite for {wrong:,} of {len(norms):,} test samples; see "
            "data-quality"
        )


def _root_mean(squares: np.ndarray) -> float:
    return float(np.sqrt(squares.mean()))


def _decided(task: Task, outputs: Tensor) -> Tensor:
    return outputs > 0 if task.kind == "multilabel" else outputs.argmax(-1)


def _share(changed: np.ndarray) -> Estimate:
    if bool(np.isin(changed, (0.0, 1.0)).all()):
        return proportion_of(changed > 0)
    share = mean(changed)
    return share.replace(low=max(0.0, share.low), high=min(1.0, share.high))


def _far(distance: float) -> str:
    return f"{distance:.2f}" if abs(distance) < 1e6 else "unbounded"


def _nearest(subject: Subject, inputs: Tensor, distances: np.ndarray) -> tuple[Tile, ...]:
    spec = subject.splits.signature.inputs
    order = np.argsort(distances, kind="stable")[:6]
    return tuple(tile(spec, inputs[int(k)], f"{_far(float(distances[k]))} from the boundary") for k in order)


def _figures(values: np.ndarray, label: str) -> tuple[Figure, ...]:
    if len(values) < 2:
        return ()
    shares = np.linspace(0.0, 1.0, 101)
    curve = Series(
        name="test samples", x=tuple(float(v) for v in np.quantile(values, shares)), y=tuple(shares.tolist())
    )
    return (Curves(title="How samples are spread", x_label=label, y_label="share of samples below", series=(curve,)),)
