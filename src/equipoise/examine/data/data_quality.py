"""Asks whether the data hold what they seem to hold."""

from dataclasses import dataclass, field

import numpy as np

from equipoise.core.estimate import Estimate, Line, exact
from equipoise.core.figure import Bars, Figure, Tile
from equipoise.core.finding import Finding
from equipoise.core.signature import ArrayInput, InputSpec, TableInput, TextInput
from equipoise.data.duplicates import fingerprints
from equipoise.data.tiles import tile
from equipoise.examine.conclude import conclude
from equipoise.examine.question import Card, Context
from equipoise.examine.subject import Answers, Subject
from equipoise.examine.wording import count_of, percent

_CARD = Card(
    id="data-quality",
    theme="data",
    title="Do the data hold what they seem to hold?",
    why=(
        "Empty pictures, silent recordings, columns that never change and one input under two labels cost training "
        "time and put a ceiling on what any network can reach. Whoever looks for the fault in the network looks in "
        "vain."
    ),
    how=(
        "Counted on (at most 4,000 samples of) the training part, in raw units: the share of missing cells (tables); "
        "of samples without content (all cells missing, all pixels or amplitudes equal, no known word, or a value "
        "that is not finite where gaps are not allowed for); of columns that never change (tables and feature "
        "vectors); of exact repeats; and of samples whose label differs from the commonest one among identical "
        "inputs, which no network can get right. Cells over 20 interquartile ranges from the quartiles are counted "
        "too, and not judged. On the test part: the share of answers that are not finite. These are counts of this "
        "data set and have no interval."
    ),
    verdicts=(
        "pass: under 30 % of cells missing, 1 % of samples without content, 25 % of columns constant and 2 % of "
        "labels in contradiction, and every answer finite. warn: beyond one of these. fail: beyond 70 %, 10 %, 75 %, "
        "20 %, or over 1 % of the answers not finite."
    ),
    may_help=(
        "remove-duplicates",
        "label-pruning",
        "fill missing values",
        "drop constant columns",
        "remove empty samples",
        "check labels by hand",
    ),
    sources=(
        "C. G. Northcutt, A. Athalye and J. Mueller, Pervasive label errors in test sets destabilize machine learning "
        "benchmarks, NeurIPS 2021 Datasets and Benchmarks",
        "N. Polyzotis, M. Zinkevich, S. Roy, E. Breck and S. Whang, Data validation for machine learning, MLSys 2019",
    ),
    lines={
        "missing_cells": Line(warn=0.3, fail=0.7),
        "samples_without_content": Line(warn=0.01, fail=0.1),
        "constant_columns": Line(warn=0.25, fail=0.75),
        "contradicted_labels": Line(warn=0.02, fail=0.2),
        "answers_not_finite": Line(warn=0.0, fail=0.01),
    },
)


@dataclass(frozen=True, slots=True)
class DataQuality:
    """Count what is missing, empty, constant, repeated or contradictory."""

    card: Card = field(default=_CARD, init=False)

    def cost_s(self, subject: Subject) -> float:
        """Return about how many seconds the answer takes on two cores."""
        return 0.2 + min(subject.limit, len(subject.part("train"))) * 1e-4

    def answer(self, subject: Subject, context: Context) -> Finding:
        """Return the finding."""
        spec, train, test = subject.splits.signature.inputs, subject.answers("train"), subject.answers("test")
        inputs = train.inputs.reshape(len(train.inputs), -1).numpy()
        n = len(inputs)
        keys = fingerprints(inputs)
        empty, why = _without_content(spec, inputs)
        said = test.answer.reshape(len(test.answer), -1)
        shares: dict[str, float] = {
            "samples_without_content": float(empty.mean()),
            "repeated_samples": 1 - len(set(keys)) / n,
            "answers_not_finite": float((~np.isfinite(said)).any(1).mean()),
        }
        where: list[str] = []
        figures: list[Figure] = []
        if isinstance(spec, TableInput):
            shares["missing_cells"] = float(np.isnan(inputs).mean())
            figures += _missing_bars(spec, inputs)
        if isinstance(spec, TableInput) or (isinstance(spec, ArrayInput) and spec.axes == "features"):
            names = column_names(spec, inputs.shape[1])
            constant, twins, extreme = _columns(inputs)
            shares |= {"constant_columns": float(constant.mean()), "extreme_cells": float(extreme.mean())}
            where += [f"{names[k]} never changes" for k in np.flatnonzero(constant)[:10]]
            where += [f"{names[b]} repeats {names[a]}" for a, b in twins[:10]]
            where += [f"{names[k]} has {int(extreme[:, k].sum())} extreme cells" for k in _most(extreme.sum(0))]
        contradicted = _contradicted(subject, train, keys)
        if contradicted is not None:
            shares["contradicted_labels"] = float(contradicted.mean())
        estimates = {
            name: exact(share, n=len(said) if name == "answers_not_finite" else n) for name, share in shares.items()
        }
        return conclude(
            self.card,
            _claim(estimates, n, why),
            estimates,
            context.lines,
            where=where,
            worst_samples=_worst(spec, train, empty, contradicted),
            figures=figures,
            assumptions=tuple(f"While reading: {note}" for note in subject.splits.notes[:8]),
        )


def column_names(spec: InputSpec, columns: int) -> tuple[str, ...]:
    """Return the names of raw input columns: those of a table, else `feature 1`, `feature 2`, ..."""
    if isinstance(spec, TableInput) and len(spec.columns) == columns:
        return tuple(column.name for column in spec.columns)
    return tuple(f"feature {k + 1}" for k in range(columns))


def _claim(estimates: dict[str, Estimate], n: int, why: str) -> str:
    words = {
        "missing_cells": "of the cells are missing",
        "samples_without_content": f"of the samples are {why}",
        "constant_columns": "of the columns never change",
        "repeated_samples": "of the samples repeat another",
        "contradicted_labels": "of the labels contradict identical inputs",
        "answers_not_finite": "of the answers on the test part are not finite",
    }
    found = [
        f"{percent(estimates[name].value, 2)} {text}"
        for name, text in words.items()
        if name in estimates and estimates[name].value > 0
    ]
    if not found:
        return f"Nothing is missing, empty, constant, repeated or contradictory in {count_of(n, 'training sample')}."
    return f"Of {count_of(n, 'training sample')}: {', '.join(found)}."


def _without_content(spec: InputSpec, inputs: np.ndarray) -> tuple[np.ndarray, str]:
    """Return which samples carry nothing, and what that means for this kind of input."""
    if isinstance(spec, TextInput):
        # 0 is padding and 1 an unknown word: neither tells texts apart.
        return np.asarray((inputs <= 1).all(1)), "empty or without a known word"
    if isinstance(spec, TableInput):
        return np.asarray(np.isnan(inputs).all(1)), "empty rows"
    broken = np.asarray(~np.isfinite(inputs).all(1))
    if isinstance(spec, ArrayInput):
        return broken, "not finite"
    flat = np.ptp(np.where(np.isfinite(inputs), inputs, 0.0), axis=1) == 0
    return broken | flat, "blank or not finite" if spec.kind == "image" else "silent or not finite"


def _columns(inputs: np.ndarray) -> tuple[np.ndarray, list[tuple[int, int]], np.ndarray]:
    """Return which columns never change, which pairs are equal, and which cells are extreme."""
    filled = np.where(np.isnan(inputs), np.inf, inputs)
    constant = (filled == filled[:1]).all(0) if len(inputs) > 1 else np.zeros(inputs.shape[1], dtype=bool)
    first: dict[bytes, int] = {}
    twins: list[tuple[int, int]] = []
    for k in np.flatnonzero(~constant):
        key = np.ascontiguousarray(filled[:, k]).tobytes()
        if key in first:
            twins.append((first[key], int(k)))
        first.setdefault(key, int(k))
    extreme = np.zeros(inputs.shape, dtype=bool)
    known = ~np.isnan(inputs).all(0)
    if known.any():
        low, high = np.nanquantile(inputs[:, known], [0.25, 0.75], axis=0)
        reach = 20 * (high - low)
        cells = (inputs[:, known] < low - reach) | (inputs[:, known] > high + reach)
        # A column whose middle half is one value has no spread to be extreme by.
        extreme[:, known] = cells & (reach > 0)
    return constant, twins, extreme


def _contradicted(subject: Subject, train: Answers, keys: list[bytes]) -> np.ndarray | None:
    """Return which samples have another label than most of their identical inputs; None for tasks without classes."""
    if not subject.task.classifies:
        return None
    counts: dict[bytes, np.ndarray] = {}
    for key, label in zip(keys, train.targets, strict=True):
        counts.setdefault(key, np.zeros(len(subject.task.classes), dtype=np.int64))[label] += 1
    usual = {key: int(count.argmax()) for key, count in counts.items()}
    return np.array([usual[key] != label for key, label in zip(keys, train.targets, strict=True)])


def _most(counts: np.ndarray) -> list[int]:
    order = np.argsort(-counts, kind="stable")[:5]
    return [int(k) for k in order if counts[k] > 0]


def _missing_bars(spec: TableInput, inputs: np.ndarray) -> list[Figure]:
    shares = np.isnan(inputs).mean(0)
    order = [k for k in np.argsort(-shares, kind="stable")[:20] if shares[k] > 0]
    if not order:
        return []
    return [
        Bars(
            title="Missing cells by column",
            value_label="share missing in the training part",
            labels=tuple(spec.columns[k].name for k in order),
            values=tuple(float(shares[k]) for k in order),
        )
    ]


def _worst(spec: InputSpec, train: Answers, empty: np.ndarray, contradicted: np.ndarray | None) -> tuple[Tile, ...]:
    shown = [(int(row), "no content") for row in np.flatnonzero(empty)[:6]]
    if contradicted is not None:
        shown += [(int(row), "label contradicts identical inputs") for row in np.flatnonzero(contradicted)[:6]]
    return tuple(
        tile(spec, train.inputs[row], f"training sample {int(train.index[row])}: {what}") for row, what in shown
    )
