"""Data handed over in Python: arrays, tensors, frames, texts, torch datasets, or parts divided beforehand."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor
from torch.utils.data import Dataset

from equipoise.core.complaint import nearest
from equipoise.core.data_plan import Split
from equipoise.core.signature import TaskKind
from equipoise.data.arrays import array_splits
from equipoise.data.axes import Axes
from equipoise.data.given_dataset import dataset_arrays, dataset_splits
from equipoise.data.samples import Splits
from equipoise.data.split import PARTS, Division
from equipoise.data.table import table_splits
from equipoise.data.task import WITHOUT_TARGET, Aim
from equipoise.data.text import text_splits


def splits_from(
    data: Any,
    *,
    task: TaskKind | None = None,
    split: Split = Split(),  # noqa: B008 - a frozen record
    seed: int = 0,
    axes: Axes | None = None,
    name: str = "data",
    targets: tuple[str, ...] = (),
    clusters: int | None = None,
) -> Splits:
    """Return data handed over in Python as a data set in three parts.

    Args:
        data: One of

            * (inputs, targets): arrays, tensors or lists; inputs may be a DataFrame or a list of texts,
            * a DataFrame that holds the target columns too,
            * a `torch.utils.data.Dataset` with a length, whose items are (input, target),
            * inputs alone, for clustering, reconstruction or generation,
            * `{"train": ..., "validation": ..., "test": ...}` with one of these in each; a missing validation or test
              part is taken from the training part,
            * `Splits`, which are returned as they are.
        task: What is predicted; without it, chosen from the targets.
        split: How to divide.
        seed: Seed of the division, when the split has none of its own.
        axes: What the axes of an array mean; without it, chosen from its shape.
        name: Short name of the data.
        targets: Names of the target columns (DataFrame), or names for the columns of target arrays.
        clusters: Number of clusters, for clustering.

    Raises:
        ValueError: Data of another kind, lengths that differ, or what tables, texts and arrays refuse.
    """
    if isinstance(data, Splits):
        return data
    aim, division = Aim(task, clusters, targets), Division(split, seed)
    if isinstance(data, Mapping):
        data, division = _joined(data, division)
    if isinstance(data, Dataset):
        return dataset_splits(data, aim, division, axes=axes, name=name)
    if isinstance(data, pd.DataFrame):
        return table_splits(data, aim, division, name=name)
    inputs, answers = _pair(data, task)
    if isinstance(inputs, pd.DataFrame):
        frame, names = _side_by_side(inputs, answers, targets)
        return table_splits(frame, Aim(task, clusters, names), division, name=name)
    if _are_texts(inputs):
        return text_splits(list(inputs), _series(answers, targets), aim, division, name=name)
    if not isinstance(answers, (pd.Series, pd.DataFrame, type(None))):
        answers = _array(answers, "targets")
    aim = Aim(task, clusters, targets or _names_of(answers))
    return array_splits(_array(inputs, "inputs"), answers, aim, division, axes=axes, name=name)


def _pair(data: Any, task: TaskKind | None) -> tuple[Any, Any]:
    if isinstance(data, (tuple, list)) and len(data) == 2 and not _are_texts(data):
        return data[0], data[1]
    if isinstance(data, (np.ndarray, Tensor)) or (isinstance(data, (list, tuple)) and len(data) > 2):
        if task in WITHOUT_TARGET:
            return data, None
        raise ValueError(
            f"got inputs without targets ({type(data).__name__} of {len(data)}); expected (inputs, targets). Hand over "
            "a pair, or set the task to clustering, reconstruction or generation."
        )
    raise ValueError(
        f"got data of type {type(data).__name__}; expected (inputs, targets), a DataFrame, a torch Dataset or a dict "
        "with the parts 'train', 'validation' and 'test'. Hand over one of these."
    )


def _joined(parts: Mapping[Any, Any], division: Division) -> tuple[Any, Division]:
    """Return parts divided beforehand as one, with a division that remembers them."""
    unknown = [str(key) for key in parts if key not in PARTS]
    if unknown or "train" not in parts:
        raise ValueError(
            f"got a dict with the keys {', '.join(map(repr, parts))}; expected 'train', and perhaps 'validation' and "
            f"'test'. {nearest(unknown[0], list(PARTS)) if unknown else 'Add the part train.'} For columns, hand over "
            "a DataFrame."
        )
    given = {name: _read(parts[name]) for name in PARTS if parts.get(name) is not None}
    if all(isinstance(one, pd.DataFrame) for one in given.values()):
        joined: Any = _joined_frames(given)
    else:
        pairs = {name: _pair(one, "reconstruction") for name, one in given.items()}
        joined = (_concatenated(pairs, 0, "inputs"), _concatenated(pairs, 1, "targets"))
    lengths = {name: _length(one) for name, one in given.items()}
    return joined, replace(division, parts=np.repeat(list(lengths), list(lengths.values())))


def _read(part: Any) -> Any:
    return dataset_arrays(part) if isinstance(part, Dataset) else part


def _length(part: Any) -> int:
    return len(part) if isinstance(part, (pd.DataFrame, np.ndarray, Tensor)) else len(_pair(part, "reconstruction")[0])


def _joined_frames(frames: dict[str, pd.DataFrame]) -> pd.DataFrame:
    columns = list(next(iter(frames.values())).columns)
    for name, frame in frames.items():
        different = sorted(set(map(str, columns)) ^ set(map(str, frame.columns)))
        if different:
            raise ValueError(
                f"got other columns in the {name} part than in the train part: {', '.join(different[:5])}; expected "
                "the same columns in each part. Add or remove these."
            )
    return pd.concat(list(frames.values()), ignore_index=True)


def _concatenated(pairs: dict[str, tuple[Any, Any]], which: int, what: str) -> Any:
    values = [pair[which] for pair in pairs.values()]
    if all(one is None for one in values):
        return None
    for name, pair in pairs.items():
        if pair[0] is None or (pair[1] is not None and len(pair[0]) != len(pair[1])):
            raise ValueError(
                f"got {_count(pair[0])} inputs and {_count(pair[1])} targets in the {name} part; expected as many. "
                "Hand over one target a sample."
            )
    if all(isinstance(one, pd.DataFrame) for one in values):
        return _joined_frames(dict(zip(pairs, values, strict=True)))
    if all(isinstance(one, pd.Series) for one in values):
        return pd.concat(values, ignore_index=True)
    if all(_are_texts(one) for one in values):
        return [text for one in values for text in one]
    arrays = [_array(one, what) for one in values]
    shapes = {one.shape[1:] for one in arrays}
    if len(shapes) > 1:
        raise ValueError(
            f"got {what} of the shapes {sorted(shapes)} a sample in different parts; expected one shape. Bring them to "
            "one shape."
        )
    return np.concatenate(arrays)


def _count(values: Any) -> int:
    return 0 if values is None else len(values)


def _are_texts(inputs: Any) -> bool:
    """Return whether the inputs are texts (missing ones apart), not single numbers or arrays."""
    if isinstance(inputs, (pd.Series, np.ndarray)):
        if inputs.ndim != 1 or not (inputs.dtype.kind in "OU" or pd.api.types.is_string_dtype(inputs.dtype)):
            return False
    elif not isinstance(inputs, (list, tuple)):
        return False
    texts = [isinstance(one, str) for one in inputs if not (one is None or one is pd.NA)]
    return bool(texts) and all(texts)


def _side_by_side(inputs: pd.DataFrame, answers: Any, names: tuple[str, ...]) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Return a frame of inputs and targets side by side, and the names of the target columns."""
    if answers is None:
        return inputs, ()
    if len(inputs) != len(answers):
        raise ValueError(
            f"got {len(inputs):,} rows and {len(answers):,} targets; expected as many. Hand over one target a row."
        )
    if isinstance(answers, pd.DataFrame):
        table = answers
    elif isinstance(answers, pd.Series):
        table = answers.to_frame()
    else:
        table = pd.DataFrame(_array(answers, "targets"))
    found = names or _names_of(answers) or tuple(f"target {i}" for i in range(table.shape[1]))
    if not names and not _names_of(answers) and table.shape[1] == 1:
        found = ("target",)
    if len(found) != table.shape[1]:
        raise ValueError(
            f"got {len(found)} names for {table.shape[1]} target columns; expected as many. Name each target once."
        )
    clash = [name for name in found if name in set(map(str, inputs.columns))]
    if clash:
        raise ValueError(
            f"got a target called {clash[0]!r} like one of the input columns; expected a name of its own. Rename the "
            "target, or take that column out of the inputs if it is the target."
        )
    frame = inputs.reset_index(drop=True)
    return pd.concat([frame, table.reset_index(drop=True).set_axis(list(found), axis=1)], axis=1), tuple(found)


def _names_of(answers: Any) -> tuple[str, ...]:
    if isinstance(answers, pd.DataFrame):
        return tuple(str(one) for one in answers.columns)
    if isinstance(answers, pd.Series) and answers.name is not None:
        return (str(answers.name),)
    return ()


def _series(answers: Any, names: tuple[str, ...]) -> pd.Series | None:
    if answers is None:
        return None
    if isinstance(answers, pd.Series):
        return answers.reset_index(drop=True)
    array = _array(answers, "targets")
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise ValueError(f"got targets of shape {array.shape} for texts; expected (n,). Hand over one target a text.")
    return pd.Series(array, name=names[0] if names else "target")


def _array(values: Any, what: str) -> np.ndarray:
    if isinstance(values, Tensor):
        array: np.ndarray = values.detach().cpu().numpy()
        return array
    if isinstance(values, Sequence) and len(values) and isinstance(values[0], Tensor):
        values = [one.detach().cpu().numpy() for one in values]
    try:
        return np.asarray(values)
    except ValueError:
        raise ValueError(
            f"got ragged {what}: samples of different shapes; expected one shape. Pad or cut the samples to one shape."
        ) from None
