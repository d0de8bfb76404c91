"""Asks which method of explaining an answer may be believed on this network."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch

from equipoise.core.estimate import Estimate, Line
from equipoise.core.figure import Bars, Curves, Figure, Gallery, Series, Table
from equipoise.core.finding import Finding
from equipoise.data.samples import IGNORED
from equipoise.examine.conclude import conclude
from equipoise.examine.explanation.attribution import Attributions, attribute, methods_for
from equipoise.examine.explanation.deletion import Course, area, course, worth
from equipoise.examine.explanation.explained import Sheet, sheet_of
from equipoise.examine.explanation.randomise import cascade, rank_correlations
from equipoise.examine.explanation.shown import shown_beside
from equipoise.examine.question import Card, Context, InapplicableError
from equipoise.examine.subject import Subject
from equipoise.examine.workload import affordable, drawn, seconds_per_sample
from equipoise.networks.network import Network
from equipoise.stats.intervals import mean, paired_difference

_CORRELATION = "correlation_with_random_weights"

_CARD = Card(
    id="explanation-faithful",
    theme="explanation",
    title="Which explanation of its answers may be believed?",
    why=(
        "A heat map over an input always looks like an explanation. Some methods draw nearly the same map for a "
        "trained network and for one with random weights; some point at pixels whose removal changes nothing. Which "
        "method tells the truth differs from network to network, so it has to be measured on this one before anybody "
        "reads a map."
    ),
    how=(
        "Each method (Captum's saliency, input x gradient, integrated gradients, DeepLift, occlusion and, with "
        "convolutions, Grad-CAM) ranks the features of test samples. Taking the first-ranked features away should "
        "destroy the answer quickly (deletion), giving only them should restore it quickly (insertion); the area "
        "between the two curves is a method's faithfulness. Taken away means put at the training mean; a word, at the "
        "unknown word. Random rankings are the control. The best method is chosen on one half of the samples and its "
        "lead over random measured on the other half, in pairs (Student t interval). Then the weights are replaced by "
        "chance, from the last layer to the first, and the rank correlation between the attributions before and after "
        "must fall: a method that does not notice does not explain the network. For token ids gradients are taken at "
        "the embedding's vectors."
    ),
    verdicts=(
        "pass: the best method leads random rankings by more than 0.05 and its attributions change when the weights "
        "do (rank correlation at most 0.7). warn: a smaller lead, or a correlation above 0.7. fail: no method beats "
        "random rankings, or the best one hardly notices random weights (above 0.9). unsure: an interval crosses its "
        "line."
    ),
    may_help=(
        "use the faithful method",
        "weight-decay",
        "noise-training",
        "adversarial training",
        "distil the network",
    ),
    sources=(
        "J. Adebayo et al., Sanity checks for saliency maps, NeurIPS 2018",
        "V. Petsiuk, A. Das and K. Saenko, RISE: randomized input sampling for explanation of black-box models, "
        "BMVC 2018 (deletion and insertion)",
        "W. Samek et al., Evaluating the visualization of what a deep neural network has learned, IEEE TNNLS 2017",
        "M. Sundararajan, A. Taly and Q. Yan, Axiomatic attribution for deep networks, ICML 2017",
        "A. Shrikumar, P. Greenside and A. Kundaje, Learning important features through propagating activation "
        "differences, ICML 2017",
        "R. R. Selvaraju et al., Grad-CAM, ICCV 2017",
        "N. Kokhlikyan et al., Captum: a unified and generic model interpretability library for PyTorch, "
        "arXiv:2009.07896, 2020",
    ),
    lines={
        "lead_over_random": Line(warn=0.05, fail=0.01, worse="below"),
        _CORRELATION: Line(warn=0.7, fail=0.9),
    },
)


@dataclass(frozen=True, slots=True)
class ExplanationFaithful:
    """Ask which attribution method may be believed.

    Attributes:
        samples: Test samples to explain, fewer on a slow network.
        checked: Share of them for the randomisation check.
        controls: Random rankings a sample.
        redraws: Networks with all weights random.
        stages: Steps of the cascade from the last layer to the first.
        shown: Samples shown beside their attributions.
        seconds: What it may take when the budget is larger.
    """

    samples: int = 128
    checked: float = 0.25
    controls: int = 3
    redraws: int = 3
    stages: int = 4
    shown: int = 6
    seconds: float = 15.0
    card: Card = field(default=_CARD, init=False)

    def cost_s(self, subject: Subject) -> float:
        """Return about how many seconds the answer takes on two cores."""
        n = min(self.samples, len(subject.part("test")))
        a_sample = self._passes() * seconds_per_sample(subject)
        return 1.0 + max(16 * a_sample, min(self.seconds, n * a_sample))

    def answer(self, subject: Subject, context: Context) -> Finding:
        """Return the finding.

        Raises:
            InapplicableError: The task has no single answer, fewer than four features, or no method fits the network.
        """
        network = copy.deepcopy(subject.network).eval().requires_grad_(False)
        sheet = self._sheet(subject, network, context)
        methods = methods_for(network, sheet)
        said = attribute(network, sheet, methods)
        if not said.by_method:
            raise InapplicableError(f"no attribution method fits the network: {_reasons(said)}")
        regression = subject.task.kind == "regression"
        courses = {
            name: course(network, sheet, worth(one, sheet, regression=regression))
            for name, one in said.by_method.items()
        }
        control = _control(network, sheet, self.controls, context.generator)
        sanity, cascades = self._sanity(network, sheet, said, context.generator)
        verdict = _verdict(courses, control, sanity)
        best = said.by_method[verdict.best]
        gallery = Gallery(
            title=f"Samples beside their attributions by {verdict.best}: red speaks for the answer, blue against it",
            tiles=shown_beside(subject, network, sheet, best, self.shown),
        )
        return conclude(
            _CARD,
            _claim(verdict, sanity, len(sheet)),
            _estimates(verdict, sanity),
            context.lines,
            where=[*(f"believed: {name}" for name in verdict.believed), *(f"refused: {one}" for one in said.refused)],
            figures=(gallery, _table(verdict, sanity, courses, said), *_figures(courses, control, verdict, cascades)),
            assumptions=_assumptions(sheet),
        )

    def _passes(self) -> float:
        curves = (6 + self.controls) * 18
        attributions = 130
        return curves + attributions * (1 + (self.redraws + self.stages) * self.checked)

    def _sheet(self, subject: Subject, network: Network, context: Context) -> Sheet:
        part, generator = subject.part("test"), context.generator
        count = affordable(subject, context, passes=self._passes(), most=self.samples, seconds=self.seconds)
        inputs, targets = part.batch(drawn(len(part), count, generator))
        known, _ = subject.part("train").batch(drawn(len(subject.part("train")), 500, generator))
        kept = targets != IGNORED if subject.task.kind == "sequence-labelling" else None
        sheet = sheet_of(subject, network, inputs, kept, known)
        if len(sheet) < 4:
            raise InapplicableError(f"the test part has {len(sheet)} samples: too few to compare methods on")
        return sheet

    def _sanity(
        self, network: Network, sheet: Sheet, said: Attributions, generator: torch.Generator
    ) -> tuple[dict[str, Estimate], dict[str, list[tuple[float, float]]]]:
        """Return each method's correlation with fully random weights, and its course over the cascade."""
        few = sheet.part(torch.arange(min(len(sheet), max(8, round(self.checked * len(sheet))))))
        methods = {name: one for name, one in methods_for(network, few).items() if name in said.by_method}
        before = {name: one[: len(few)] for name, one in said.by_method.items()}
        cascades: dict[str, list[tuple[float, float]]] = {name: [(0.0, 1.0)] for name in methods}
        last: dict[str, list[np.ndarray]] = {name: [] for name in methods}
        stages = cascade(network, generator, self.stages)
        for _ in range(self.redraws - 1):
            stages += cascade(network, generator, 1)
        for share, random in stages:
            after = attribute(random, few, methods).by_method
            for name, one in after.items():
                correlations = rank_correlations(before[name], one)
                if share == 1.0:
                    last[name].append(correlations)
                else:
                    cascades[name].append((share, float(correlations.mean())))
        found: dict[str, Estimate] = {}
        for name, ends in last.items():
            if ends:
                value = mean(np.mean(ends, axis=0))
                found[name] = value.replace(low=max(-1.0, value.low), high=min(1.0, value.high))
                cascades[name].append((1.0, value.value))
        return found, cascades


@dataclass(frozen=True, slots=True)
class _Choice:
    """Which method is best, which may be believed, and each one's lead over random rankings."""

    best: str
    believed: tuple[str, ...]
    leads: Mapping[str, Estimate]
    held_out: Estimate


def _verdict(courses: Mapping[str, Course], control: Course, sanity: Mapping[str, Estimate]) -> _Choice:
    """Choose the best method on every other sample and measure its lead on the rest."""
    random = control.faithfulness
    sane = [name for name in courses if name in sanity and sanity[name].value <= _CARD.lines[_CORRELATION].warn]
    first = {name: float((courses[name].faithfulness - random)[::2].mean()) for name in sane or courses}
    best = max(first, key=lambda name: first[name])
    leads = {name: paired_difference(one.faithfulness, random) for name, one in courses.items()}
    believed = tuple(name for name in sorted(sane, key=lambda name: -leads[name].value) if leads[name].low > 0)
    held_out = paired_difference(courses[best].faithfulness[1::2], random[1::2])
    return _Choice(best, believed, leads, held_out)


def _control(network: Network, sheet: Sheet, times: int, generator: torch.Generator) -> Course:
    drawn_courses: list[Course] = []
    for _ in range(times):
        ranking = torch.rand((len(sheet), sheet.players.count), generator=generator).to(sheet.features.device)
        drawn_courses.append(course(network, sheet, worth(ranking, sheet, regression=False)))
    return Course(
        np.mean([one.deletion for one in drawn_courses], axis=0),
        np.mean([one.insertion for one in drawn_courses], axis=0),
    )


def _estimates(choice: _Choice, sanity: Mapping[str, Estimate]) -> dict[str, Estimate]:
    found = {"lead_over_random": choice.held_out}
    if choice.best in sanity:
        found[_CORRELATION] = sanity[choice.best]
    found |= {f"lead_of_{name}": one for name, one in choice.leads.items()}
    return found | {f"correlation_of_{name}": one for name, one in sanity.items()}


def _claim(choice: _Choice, sanity: Mapping[str, Estimate], n: int) -> str:
    lead = choice.held_out
    named = ", ".join(choice.believed) if choice.believed else "none"
    claim = (
        f"Of {len(choice.leads)} methods, {len(choice.believed)} may be believed on this network ({named}); "
        f"{choice.best} leads random rankings by {lead.value:.3f} [{lead.low:.3f}, {lead.high:.3f}] on held-out "
        f"samples, n = {lead.n} of {n}"
    )
    if choice.best in sanity:
        noticed = sanity[choice.best]
        claim += f"; on random weights its attributions correlate {noticed.value:.2f} "
        claim += f"[{noticed.low:.2f}, {noticed.high:.2f}] with these"
    return claim + "."


def _table(choice: _Choice, sanity: Mapping[str, Estimate], courses: Mapping[str, Course], said: Attributions) -> Table:
    rows: list[tuple[str, ...]] = []
    for name in sorted(courses, key=lambda one: -choice.leads[one].value):
        lead, one = choice.leads[name], courses[name]
        noticed = (
            f"{sanity[name].value:.2f} [{sanity[name].low:.2f}, {sanity[name].high:.2f}]" if name in sanity else ""
        )
        rows.append(
            (
                name,
                f"{area(one.deletion).mean():.3f}",
                f"{area(one.insertion).mean():.3f}",
                f"{lead.value:.3f} [{lead.low:.3f}, {lead.high:.3f}]",
                noticed,
                "yes" if name in choice.believed else "no",
            )
        )
    rows += [(name, "", "", "", "", f"does not fit: {reason}") for name, reason in said.refused.items()]
    return Table(
        title="Methods, best first",
        columns=("method", "deletion", "insertion", "lead over random", "correlation, random weights", "believed"),
        rows=tuple(rows),
    )


def _figures(
    courses: Mapping[str, Course],
    control: Course,
    choice: _Choice,
    cascades: Mapping[str, list[tuple[float, float]]],
) -> tuple[Figure, ...]:
    order = sorted(courses, key=lambda name: -choice.leads[name].value)
    bars = Bars(
        title="Lead over random rankings",
        value_label="area between insertion and deletion, minus that of random rankings",
        labels=tuple(order),
        values=tuple(choice.leads[name].value for name in order),
        low=tuple(choice.leads[name].low for name in order),
        high=tuple(choice.leads[name].high for name in order),
    )
    noticed = tuple(
        Series(name=name, x=tuple(point[0] for point in points), y=tuple(point[1] for point in points))
        for name, points in cascades.items()
    )
    randomised = Curves(
        title="Do attributions notice random weights?",
        x_label="share of the layers with random weights, from the last",
        y_label="rank correlation with the trained network",
        series=noticed,
    )
    deletion = _curves("Deletion: belief left", {name: courses[name].deletion for name in order}, control.deletion)
    insertion = _curves(
        "Insertion: belief reached", {name: courses[name].insertion for name in order}, control.insertion
    )
    return bars, deletion, insertion, randomised


def _curves(title: str, by_method: Mapping[str, np.ndarray], control: np.ndarray) -> Curves:
    shares = tuple(np.linspace(0.0, 1.0, control.shape[1]).tolist())
    series = [_series(name, shares, curve) for name, curve in by_method.items()]
    return Curves(
        title=title,
        x_label="share of the features, first-ranked first",
        y_label="belief in the answer",
        series=(*series, Series(name="random", x=shares, y=tuple(control.mean(0).tolist()), style="dashed")),
    )


def _series(name: str, shares: tuple[float, ...], curve: np.ndarray) -> Series:
    half = 1.96 * curve.std(0) / np.sqrt(len(curve))
    middle = curve.mean(0)
    return Series(
        name=name,
        x=shares,
        y=tuple(middle.tolist()),
        low=tuple((middle - half).tolist()),
        high=tuple((middle + half).tolist()),
    )


def _reasons(said: Attributions) -> str:
    return "; ".join(f"{name}: {reason}" for name, reason in said.refused.items())


def _assumptions(sheet: Sheet) -> tuple[str, ...]:
    away = "the unknown word" if sheet.tokens else "the training mean of the feature"
    told = [
        f"Taking a feature away means {away}; the network may never have seen such inputs.",
        "A faithful map says what the network used, not whether that was right.",
    ]
    if sheet.tokens:
        told.append("Token ids have no gradient: gradients are those of the embedding's vectors, summed over each.")
    return tuple(told)
