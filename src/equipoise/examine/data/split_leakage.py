"""Asks whether the test part is really unseen."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from equipoise.core.estimate import Estimate, Line, exact
from equipoise.core.figure import Table, Tile
from equipoise.core.finding import Finding
from equipoise.core.signature import ImageInput, SoundInput, TableInput
from equipoise.data.duplicates import fingerprints
from equipoise.data.tiles import tile
from equipoise.examine.conclude import conclude
from equipoise.examine.data.repeats import (
    beyond_chance,
    beyond_rate,
    chance_of_repeat,
    near_repeats,
    own_repeats,
)
from equipoise.examine.generalisation.simple_features import simple_features
from equipoise.examine.question import Card, Context, InapplicableError
from equipoise.examine.scoring import scored
from equipoise.examine.subject import Subject
from equipoise.examine.wording import count_of, percent, score_text
from equipoise.stats.intervals import proportion
from equipoise.stats.metrics import score, score_name
from equipoise.stats.one_thread import one_thread

_CARD = Card(
    id="split-leakage",
    theme="data",
    title="Is the test part really unseen?",
    why=(
        "A test sample that the network has learned by heart, or one that differs from a training sample by a crop "
        "or a few pixels, scores well and proves nothing. Leaks are among the commonest reasons why published scores "
        "do not hold up."
    ),
    how=(
        "Exact: raw inputs are hashed and looked up in the other parts; what equals by accident where inputs have "
        "few possible values (the product of the columns' own rates of repetition, or the rate within the training "
        "part where inputs are coarse) is subtracted, and counts as none unless it is more than that explains (p < "
        "0.01). Near: among "
        "standardised features, the distance to the nearest training sample is compared with that to the tenth; in a "
        "smooth density their ratio, raised to the local dimension, has a known distribution, and 0.2 % of samples "
        "fall below its limit by chance. The dimension is measured within the training part. Where values recur "
        "(filled gaps, categories, whole numbers) the law does not hold: there the limits are the least ratio of "
        "training samples, each against the rest, and what 1 % of them fall below. Samples below the limit "
        "count only if they are more than chance gives (p < 0.01). Groups: a group that a "
        "split promised to keep together is looked for in two parts. Time: where the split promised that tests come "
        "later, test rows before the newest training row are counted. Shares carry Wilson intervals; none found "
        "counts as exactly none."
    ),
    verdicts=(
        "pass: no sign of leaks. unsure: some repeats, too few to say how many there are. warn: over 2 % of the test "
        "samples repeat a training sample, or over 5 % nearly do. fail: over 10 % or 20 %; or a group in two parts; "
        "or a test row older than the training rows although the split is by time."
    ),
    may_help=("remove-duplicates", "split by group", "split by time"),
    sources=(
        "S. Kapoor and A. Narayanan, Leakage and the reproducibility crisis in machine-learning-based science, "
        "Patterns 2023",
        "B. Barz and J. Denzler, Do we train on test data? Purging CIFAR of near-duplicates, Journal of Imaging 2020",
        "E. Levina and P. J. Bickel, Maximum likelihood estimation of intrinsic dimension, NeurIPS 2004",
    ),
    lines={
        "repeats": Line(warn=0.02, fail=0.1),
        "near_repeats": Line(warn=0.05, fail=0.2),
        "shared_groups": Line(warn=0.0, fail=0.0),
        "out_of_order": Line(warn=0.0, fail=0.0),
    },
)


@dataclass(frozen=True, slots=True)
class SplitLeakage:
    """Look for test samples, groups and times that the training part already holds."""

    card: Card = field(default=_CARD, init=False)

    def cost_s(self, subject: Subject) -> float:
        """Return about how many seconds the answer takes on two cores."""
        return 0.3 + min(subject.limit, len(subject.part("train"))) * 4e-4

    def answer(self, subject: Subject, context: Context) -> Finding:
        """Return the finding."""
        train, test = subject.answers("train"), subject.answers("test")
        keys = {part: fingerprints(subject.answers(part).inputs.numpy()) for part in ("train", "validation", "test")}
        first = {key: row for row, key in reversed(list(enumerate(keys["train"])))}
        twin = np.array([first.get(key, -1) for key in keys["test"]])
        own, m = own_repeats(train.inputs.numpy(), keys["train"]), len(keys["train"])
        independent = chance_of_repeat(train.inputs.numpy(), m)
        chance = max(independent, own / m)
        count = Counter(keys["train"])
        seen_before = sum(key in first for key in keys["validation"])
        n, found = len(twin), int((twin >= 0).sum())
        leaked = beyond_chance(found, n, independent) and beyond_rate(found, n, own, m) if chance else found > 0
        estimates = {
            "repeats": _less_chance(found, n, chance, leaked),
            "expected_by_accident": exact(chance, n=len(twin)),
            "repeats_in_validation": proportion(seen_before, len(keys["validation"])),
        }
        verb = "occurs" if found == 1 else "occur"
        claim = f"{found:,} of {count_of(n, 'test sample')} {verb} in the training part too"
        claim += f" ({percent(chance)} would by accident)" if chance > 0.001 else ""
        single = np.array([count[key] == 1 for key in keys["train"]])
        near = _near(subject, twin, single)
        if near is not None:
            rows, near_twin = near
            estimates["near_repeats"] = proportion(len(rows), n) if len(rows) else exact(0.0, n=n)
            verb = "lies" if len(rows) == 1 else "lie"
            claim += f", and {len(rows):,} more {verb} nearer to a training sample than chance allows"
            twin[rows] = near_twin
        claim += "." + _without(subject, twin)
        estimates |= _groups(subject) | _time_order(subject)
        claim += _promises(estimates)
        return conclude(
            self.card,
            claim,
            estimates,
            context.lines,
            where=[f"test sample {int(test.index[row])}" for row in np.flatnonzero(twin >= 0)[:20]],
            worst_samples=_pairs(subject, twin, found_exact=keys),
            figures=_labels(subject, twin),
            assumptions=_assumptions(subject, near is None),
        )


def _less_chance(found: int, n: int, chance: float, leaked: bool) -> Estimate:
    """Return the share of repeats beyond what accident explains; exactly 0 where accident explains them all."""
    if not leaked:
        return exact(0.0, n=n)
    share = proportion(found, n)
    value, low, high = (max(0.0, one - chance) for one in (share.value, share.low, share.high))
    return share.replace(value=value, low=low, high=high)


def _near(subject: Subject, twin: np.ndarray, single: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Return near-repeats among the test samples that are no exact ones, and their training samples."""
    features = simple_features(subject)
    with one_thread():
        fresh = np.flatnonzero(twin < 0)
        if not len(fresh):
            return fresh, fresh
        smooth = isinstance(subject.splits.signature.inputs, (ImageInput, SoundInput))
        found = near_repeats(features["test"][fresh], features["train"], single=single, smooth=smooth)
    if found is None:
        return None
    return fresh[found.near], found.nearest[found.near]


def _without(subject: Subject, twin: np.ndarray) -> str:
    """Return what the score is without the repeats, where enough samples are left to say."""
    kept = twin < 0
    if kept.all() or kept.sum() < 20 or subject.task.kind in ("generation", "clustering"):
        return ""
    try:
        pair = scored(subject, "test")
    except InapplicableError:
        return ""
    rest = score(subject.task, pair.targets[kept], pair.answer[kept])
    name, all_of_it = score_name(subject.task), score_text(subject.task, pair.estimate.value)
    return f" Without them the {name} is {score_text(subject.task, rest)} instead of {all_of_it}."


def _groups(subject: Subject) -> dict[str, Estimate]:
    groups = subject.splits.groups
    if not groups:
        return {}
    learned = set(groups["train"].tolist()) | set(groups["validation"].tolist())
    tested = set(groups["test"].tolist())
    return {"shared_groups": exact(len(tested & learned) / max(len(tested), 1), n=max(len(tested), 1))}


def _time_order(subject: Subject) -> dict[str, Estimate]:
    """Return the share of test rows before the newest training row, where the plan promised that there are none."""
    spec = subject.splits.signature.inputs
    split = getattr(subject.plan.data, "split", None) if subject.plan else None
    if split is None or split.method != "time" or not isinstance(spec, TableInput):
        return {}
    names = [column.name for column in spec.columns]
    if split.column not in names:
        return {}
    times = {part: subject.answers(part).inputs[:, names.index(split.column)].numpy() for part in ("train", "test")}
    newest = np.nanmax(times["train"]) if np.isfinite(times["train"]).any() else -np.inf
    return {"out_of_order": exact(float((times["test"] < newest).mean()), n=len(times["test"]))}


def _promises(estimates: dict[str, Estimate]) -> str:
    words = ""
    if "shared_groups" in estimates:
        one = estimates["shared_groups"]
        words += f" {round(one.value * one.n):,} of {count_of(one.n, 'test group')} are in another part too."
    if "out_of_order" in estimates:
        words += f" {percent(estimates['out_of_order'].value)} of the test rows are older than the newest training row."
    return words


def _pairs(subject: Subject, twin: np.ndarray, found_exact: dict[str, list[bytes]]) -> tuple[Tile, ...]:
    spec, train, test = subject.splits.signature.inputs, subject.answers("train"), subject.answers("test")
    tiles: list[Tile] = []
    for row in np.flatnonzero(twin >= 0)[:4]:
        same = found_exact["test"][row] == found_exact["train"][twin[row]]
        what = "the same" if same else "nearly the same"
        tiles.append(tile(spec, test.inputs[int(row)], f"test sample {int(test.index[row])}"))
        tiles.append(tile(spec, train.inputs[int(twin[row])], f"training sample {int(train.index[twin[row]])}: {what}"))
    return tuple(tiles)


def _labels(subject: Subject, twin: np.ndarray) -> Sequence[Table]:
    """Return a table of how often a repeat has its twin's label: a repeat with another label is a label error."""
    rows = np.flatnonzero(twin >= 0)
    if not len(rows) or not subject.task.classifies:
        return ()
    same = subject.answers("test").targets[rows] == subject.answers("train").targets[twin[rows]]
    cells = (f"{len(rows):,}", f"{int(same.sum()):,}", f"{int((~same).sum()):,}")
    return (Table(title="Labels of the repeats", columns=("repeats", "same label", "another label"), rows=(cells,)),)


def _assumptions(subject: Subject, no_near: bool) -> tuple[str, ...]:
    notes: list[str] = []
    if no_near:
        notes.append("Near-repeats were not looked for: too few training samples, or inputs without a spacing.")
    if len(subject.part("train")) > subject.limit:
        notes.append(f"Only {subject.limit:,} training samples were looked at, so repeats of others go unseen.")
    if not subject.splits.groups:
        notes.append("No groups are known (people, devices, sites): a leak through them cannot be seen.")
    return tuple(notes)
