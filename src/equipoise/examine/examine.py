"""Examines a network trained here or elsewhere, from Python."""

from collections.abc import Sequence
from typing import Any, Literal

from torch import nn

from equipoise.core.data_plan import Split
from equipoise.core.progress import Listener, silent
from equipoise.core.report import Report
from equipoise.core.signature import TaskKind
from equipoise.data.given import splits_from
from equipoise.data.samples import Splits
from equipoise.examine.examination import examine_subject
from equipoise.examine.question import Question
from equipoise.examine.record import report_of
from equipoise.examine.subject import Subject
from equipoise.fit.fitted import Fit
from equipoise.networks.adopt import adopt
from equipoise.networks.network import Network


def examine(
    network: Fit | nn.Module,
    data: Any = None,
    *,
    task: TaskKind | None = None,
    output: Literal["logits", "probabilities", "values"] | None = None,
    select: Sequence[str] = (),
    ignore: Sequence[str] = (),
    budget_s: float = 45.0,
    claims: dict[str, dict[str, dict[str, float]]] | None = None,
    plugins: Sequence[Question] = (),
    name: str = "network",
    seed: int = 0,
    on_progress: Listener = silent,
) -> Report:
    """Return the report on a network.

    Args:
        network: A `Fit`, or any `nn.Module` (a Keras 3 model on the torch backend too). A module gets raw inputs as
            they are in `data`, as float32 tensors; questions that need its training are skipped with that reason.
        data: For a module: `{"train": (X, y), "validation": (X, y), "test": (X, y)}`, or one (X, y), a `DataFrame` or
            a `Dataset`, which is divided by `seed` (the network may then have been trained on its test part: say which
            part it has seen whenever you can). For a `Fit`: nothing, its own data are used.
        task: The task, when it cannot be told from the targets.
        output: What a module returns: `logits`, `probabilities` or `values`; without it, found by running it.
        select: Ids or themes of questions to ask, or a single one; all that fit the budget when empty.
        ignore: Ids or themes of questions to leave out, or a single one.
        budget_s: Seconds for the examination.
        claims: Thresholds by question and estimate that replace the questions' own.
        plugins: Questions beyond the installed ones.
        name: Name for the report.
        seed: Draws every random choice of the questions.
        on_progress: Told how far the examination is.

    Returns:
        The report; `report.findings` holds one finding a question.

    Raises:
        ValueError: The data cannot be read, or the network does not fit them; the message says what to do.
    """
    subject = _subject(network, data, task, output, seed)
    kept_claims = claims if claims is not None else (subject.plan.claims if subject.plan else {})
    findings, not_examined = examine_subject(
        subject,
        select=select,
        ignore=ignore,
        budget_s=budget_s,
        claims=kept_claims,
        seed=seed,
        command="equipoise.examine(network, data, ...)",
        on_progress=on_progress,
        plugins=plugins,
    )
    title = subject.plan.name if subject.plan else name
    command = f"equipoise.examine(network, data, seed={seed})"
    return report_of(subject, findings, not_examined, name=title, command=command, plugins=plugins)


def _subject(network: Fit | nn.Module, data: Any, task: TaskKind | None, output: Any, seed: int) -> Subject:
    if isinstance(network, Fit):
        if data is not None:
            raise ValueError(
                f"got data ({type(data).__name__}) with a Fit; expected none, since a Fit brings its own. "
                "Pass fit.network with the data instead."
            )
        return Subject(network=network.network, splits=network.splits, fit=network)
    if data is None:
        raise ValueError(
            "got a module without data; expected data to examine it on. "
            'Pass {"train": (X, y), "validation": (X, y), "test": (X, y)}.'
        )
    splits = data if isinstance(data, Splits) else splits_from(data, task=task, split=Split(), seed=seed)
    if isinstance(network, Network):
        adopted = network
    else:
        adopted = adopt(network, splits.signature, output=output, preprocessing=splits.preprocessing)
    return Subject(network=adopted.eval(), splits=splits)
