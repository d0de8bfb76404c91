"""Real data that scikit-learn ships: handwritten digits, tumours, diabetes, wines, irises."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn import datasets

from equipoise.core.data_plan import BundledData
from equipoise.core.signature import ArrayInput, ImageInput
from equipoise.data.assemble import assemble
from equipoise.data.samples import Splits
from equipoise.data.split import Division
from equipoise.data.table import table_splits
from equipoise.data.targets import named_classes, strata
from equipoise.data.task import Aim

DIGITS_HIGH = 16.0
"""Pixels of the digits count inked dots in a 4 x 4 block: 0 to 16."""


def load_bundled(plan: BundledData, seed: int) -> Splits:
    """Return a bundled data set, divided as the plan says.

    Raises:
        ValueError: `side` or the layout `sequence` with anything but the digits, or a task that does not fit.
    """
    if plan.name == "digits":
        return _digits(plan, seed)
    if plan.side is not None or plan.layout != "image":
        raise ValueError(
            f"got side {plan.side} and layout {plan.layout!r} with {plan.name!r}; expected them only with 'digits'. "
            "Leave them out."
        )
    readers: dict[str, Callable[[], tuple[pd.DataFrame, str]]] = {
        "breast-cancer": lambda: _classes(datasets.load_breast_cancer(as_frame=True), "diagnosis"),
        "wine": lambda: _classes(datasets.load_wine(as_frame=True), "cultivar"),
        "iris": lambda: _classes(datasets.load_iris(as_frame=True), "species"),
        "diabetes": _diabetes,
    }
    frame, target = readers[plan.name]()
    targets = () if plan.task in ("reconstruction", "generation") else (target,)
    return table_splits(
        frame if targets else frame.drop(columns=target),
        Aim(plan.task, plan.clusters, targets),
        Division(plan.split, seed),
        name=plan.name,
    )


def _digits(plan: BundledData, seed: int) -> Splits:
    bunch: Any = datasets.load_digits()
    images = torch.from_numpy(bunch.images.astype(np.float32))[:, None]
    notes = ["1,797 digits of 8 x 8 pixels, 0..16 (UCI, via scikit-learn)"]
    if plan.side is not None and plan.side != images.shape[-1]:
        size = (plan.side, plan.side)
        images = torch.nn.functional.interpolate(images, size=size, mode="bilinear", align_corners=False)
        notes.append(f"enlarged from 8 x 8 to {plan.side} x {plan.side} pixels (bilinear)")
    side = images.shape[-1]
    spec: ImageInput | ArrayInput = ImageInput(channels=1, height=side, width=side, low=0.0, high=DIGITS_HIGH)
    if plan.layout == "sequence":
        images, spec = images[:, 0], ArrayInput(shape=(side, side), axes="steps,features")
        notes.append("rows of pixels are steps")
    names = named_classes(bunch.target, bunch.target_names, "digit")
    task, encoded, reason = Aim(plan.task, plan.clusters, ("digit",)).encode(names, len(images))
    division = Division(plan.split, seed)
    return assemble(
        "digits",
        images,
        encoded,
        positions=division.positions(len(images), strata(task, encoded)),
        rows=np.arange(len(images)),
        spec=spec,
        task=task,
        notes=(*notes, reason),
    )


def _classes(bunch: Any, target: str) -> tuple[pd.DataFrame, str]:
    names = named_classes(bunch.target.to_numpy(), bunch.target_names, target)
    return bunch.data.assign(**{target: names}), target


def _diabetes() -> tuple[pd.DataFrame, str]:
    bunch: Any = datasets.load_diabetes(as_frame=True, scaled=False)
    return bunch.data.assign(progression=bunch.target), "progression"
