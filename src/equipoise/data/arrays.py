"""Arrays: a `.npz` file, or arrays handed over in Python, become samples."""

import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from equipoise.core.complaint import nearest
from equipoise.core.data_plan import ArrayFile
from equipoise.core.signature import ArrayInput, ImageInput
from equipoise.data.assemble import assemble
from equipoise.data.axes import Axes, array_spec, numeric
from equipoise.data.paths import existing_file
from equipoise.data.samples import Splits
from equipoise.data.split import Division
from equipoise.data.split_column import divided_by
from equipoise.data.targets import strata
from equipoise.data.task import WITHOUT_TARGET, Aim

INPUT_NAMES = ("x", "inputs", "input", "data", "images", "features")
TARGET_NAMES = ("y", "targets", "target", "labels", "label")
PREPARED = {"train": ("x_train", "y_train"), "validation": ("x_val", "y_val"), "test": ("x_test", "y_test")}
"""Names under which files keep parts that were divided beforehand (that of validation may be absent)."""


def load_arrays(plan: ArrayFile, seed: int) -> Splits:
    """Return the samples of an `.npz` file.

    Without names in the plan, inputs are called x, inputs, data, images or features and targets y, targets or labels
    (in any case); `x_train`, `y_train`, `x_test`, `y_test` (and `x_val`, `y_val`) are taken as parts
    divided beforehand.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: No `.npz` inside, pickled objects, arrays that are named but absent, or what `array_splits` refuses.
    """
    arrays = _read(existing_file(plan.path, (".npz",)))
    division = Division(plan.split, seed)
    parts = _prepared(arrays) if plan.inputs is None and plan.target is None else {}
    if parts:
        pairs = [(arrays[x], arrays[y]) for x, y in parts.values()]
        division = replace(division, parts=np.repeat(list(parts), [len(x) for x, _ in pairs]))
        _refuse_unlike([x for x, _ in pairs], plan.path)
        inputs, targets = np.concatenate([x for x, _ in pairs]), np.concatenate([y for _, y in pairs])
        notes: tuple[str, ...] = (f"parts as divided in the file: {', '.join(parts)}",)
    else:
        inputs_name = plan.inputs or _usual(arrays, INPUT_NAMES, "inputs", plan.path)
        target_name = _target_name(plan, arrays)
        inputs = _named(arrays, inputs_name, plan.path)
        targets = None if target_name is None else _named(arrays, target_name, plan.path)
        division = _divided_by_array(division, arrays, len(inputs), plan.path)
        notes = (f"inputs: array {inputs_name!r}; targets: " + (f"array {target_name!r}" if target_name else "none"),)
    return array_splits(
        inputs,
        targets,
        Aim(plan.task, plan.clusters),
        division,
        axes=plan.axes,
        name=Path(plan.path).stem,
        notes=notes,
    )


def array_splits(
    inputs: np.ndarray,
    targets: Any,
    aim: Aim,
    division: Division,
    *,
    axes: Axes | None = None,
    name: str = "arrays",
    notes: tuple[str, ...] = (),
) -> Splits:
    """Return the samples of arrays of numbers. NaN and infinite numbers are refused, not repaired.

    Args:
        inputs: Shape (n, ...).
        targets: Shape (n,), (n, columns) or (n, steps), an array, Series or DataFrame; None where the task needs none.
        aim: What is predicted.
        division: How to divide.
        axes: What the axes of a sample mean, or None to choose it.
        name: Short name of the data.
        notes: Notes so far.

    Raises:
        ValueError: Lengths that differ, objects, NaN, a shape that does not fit, targets that cannot be learned.
    """
    spec, raw, why = array_spec(numeric(np.asarray(inputs), "inputs"), axes)
    if targets is not None and len(targets) != len(raw):
        raise ValueError(
            f"{name}: got {len(raw):,} inputs and {len(targets):,} targets; expected as many. Hand over one target a "
            "sample."
        )
    task, encoded, reason = aim.encode(targets, len(raw), steps=steps_of(spec))
    positions = division.positions(len(raw), strata(task, encoded))
    return assemble(
        name,
        torch.from_numpy(np.ascontiguousarray(raw)),
        encoded,
        positions=positions,
        rows=np.arange(len(raw)),
        spec=spec,
        task=task,
        notes=(*notes, why, reason),
        groups=division.groups_by_part(positions),
    )


def steps_of(spec: ArrayInput | ImageInput) -> int | None:
    """Return the number of steps of a sequence, None for other inputs."""
    return spec.shape[0] if isinstance(spec, ArrayInput) and spec.axes == "steps,features" else None


def decode_array(spec: ArrayInput, raw: Any) -> Tensor:
    """Return arrays as the raw tensor, float32 (n, *shape); one sample without its first axis is taken too.

    Raises:
        ValueError: Another shape, or no numbers.
    """
    try:
        array = numeric(np.asarray(raw.detach().cpu() if isinstance(raw, Tensor) else raw), "inputs")
    except ValueError as problem:
        if "inhomogeneous" not in str(problem):
            raise
        raise ValueError(
            f"got ragged inputs; expected shape (n, {', '.join(map(str, spec.shape))}). Bring all samples to one shape."
        ) from None
    if array.shape == spec.shape:
        array = array[None]
    if array.ndim == 1 and spec.shape == (1,):
        array = array[:, None]
    if array.shape[1:] != spec.shape:
        raise ValueError(
            f"got inputs of shape {array.shape}; expected (n, {', '.join(map(str, spec.shape))}). Reshape them."
        )
    return torch.from_numpy(array.astype(np.float32))


def _read(path: Path) -> dict[str, np.ndarray]:
    if not zipfile.is_zipfile(path):
        raise ValueError(f"{path}: got a file that is no .npz archive; expected one. Write it with np.savez.")
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except ValueError as problem:
        if "pickle" not in str(problem).lower():
            raise ValueError(
                f"{path}: got a broken array ({problem}); expected an .npz of numbers. Write the file anew."
            ) from None
        raise ValueError(
            f"{path}: got an object array or pickled data, which could run code; expected arrays of numbers "
            "or words of one shape. Save them with a plain type, such as np.savez(path, x=x.astype('float32'))."
        ) from None
    except (zipfile.BadZipFile, OSError, EOFError) as problem:
        raise ValueError(
            f"{path}: got a file that is no .npz archive ({problem}); expected one. Write it with np.savez."
        ) from None


def _named(arrays: dict[str, np.ndarray], name: str, path: str) -> np.ndarray:
    if name not in arrays:
        raise ValueError(
            f"{path}: got the array name {name!r}, which is not in the file; expected one of {', '.join(arrays)}. "
            f"{nearest(name, list(arrays))} Name an array that is there."
        )
    array = arrays[name]
    if array.ndim == 0:
        raise ValueError(f"{path}: got a single value under {name!r}; expected one entry a sample. Name another array.")
    return array


def _usual(arrays: dict[str, np.ndarray], names: tuple[str, ...], what: str, path: str) -> str:
    for name in names:
        for key in arrays:
            if key.lower() == name:
                return key
    raise ValueError(
        f"{path}: got the arrays {', '.join(arrays) or 'none at all'}; expected one called {', '.join(names)} for the "
        f"{what}. Name it in a plan ([data] inputs = ..., target = ...); the target also with --target."
    )


def _target_name(plan: ArrayFile, arrays: dict[str, np.ndarray]) -> str | None:
    if plan.target is not None:
        return plan.target
    if plan.task in WITHOUT_TARGET and not any(key.lower() in TARGET_NAMES for key in arrays):
        return None
    return _usual(arrays, TARGET_NAMES, "targets", plan.path)


def _prepared(arrays: dict[str, np.ndarray]) -> dict[str, tuple[str, str]]:
    """Return the names of parts divided beforehand, or nothing when training and test are not both there."""
    found = {part: names for part, names in PREPARED.items() if all(name in arrays for name in names)}
    return found if {"train", "test"} <= set(found) else {}


def _refuse_unlike(inputs: list[np.ndarray], path: str) -> None:
    shapes = {one.shape[1:] for one in inputs}
    if len(shapes) > 1:
        raise ValueError(
            f"{path}: got parts with samples of the shapes {sorted(shapes)}; expected one shape. Reshape them alike."
        )


def _divided_by_array(division: Division, arrays: dict[str, np.ndarray], n: int, path: str) -> Division:
    split = division.split
    if split.method not in ("group", "time") or split.column is None:
        return division
    cells = _named(arrays, split.column, path)
    if cells.shape != (n,):
        raise ValueError(
            f"{path}: got shape {cells.shape} of {split.column!r} to split {n} samples; expected ({n},). Mend it."
        )
    return divided_by(division, pd.Series(cells, name=split.column))
