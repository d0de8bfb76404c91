"""Hugging Face datasets saved on disk (extra `huggingface`): tables, texts, pictures or arrays."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from equipoise.core.complaint import nearest
from equipoise.core.data_plan import HuggingFaceData
from equipoise.core.extras import require
from equipoise.core.signature import ImageInput
from equipoise.data.arrays import array_splits
from equipoise.data.assemble import assemble
from equipoise.data.paths import existing_folder
from equipoise.data.samples import Splits
from equipoise.data.split import PARTS, Division
from equipoise.data.split_column import divided_by
from equipoise.data.table import TARGET_NAMES, table_splits
from equipoise.data.targets import named_classes, strata
from equipoise.data.task import WITHOUT_TARGET, Aim
from equipoise.data.text import TEXT_NAMES, text_splits

PART_NAMES = {"train": "train", "validation": "validation", "valid": "validation", "val": "validation", "test": "test"}
LARGEST_SIDE = 64


def load_huggingface(plan: HuggingFaceData, seed: int) -> Splits:
    """Return a dataset written by `save_to_disk`; nothing is fetched.

    A dataset with parts `train`, `validation` (or `val`, `valid`) and `test` keeps them; a missing one is taken from
    the training part. One input column of sentences is a text, one of pictures an image, one of number lists an array;
    anything else is a table.

    Raises:
        ModuleNotFoundError: The extra is not installed.
        FileNotFoundError: There is no such folder.
        ValueError: No saved dataset inside, columns that are named but absent, or no target.
    """
    library = require("datasets", "huggingface")
    folder = existing_folder(plan.path, "a dataset written by save_to_disk")
    try:
        saved = library.load_from_disk(str(folder))
    except (FileNotFoundError, ValueError) as problem:
        raise ValueError(
            f"{plan.path}: got a folder without a saved dataset ({str(problem)[:120]}); expected one. Write it with "
            "dataset.save_to_disk(path)."
        ) from None
    parts, note = _parts(saved, plan.path)
    features = next(iter(parts.values())).features
    inputs, target = _columns(plan, list(features))
    joined = library.concatenate_datasets([part.select_columns(_used(inputs, target, plan)) for part in parts.values()])
    names = np.repeat(list(parts), [len(part) for part in parts.values()])
    division = Division(plan.split, seed, parts=names if len(parts) > 1 else None)
    return _splits(plan, folder, joined, inputs, target, division, note)


def _parts(saved: Any, path: str) -> tuple[dict[str, Any], tuple[str, ...]]:
    if not hasattr(saved, "keys"):
        return {"train": saved}, ()
    found = {PART_NAMES[name]: saved[name] for name in saved if name in PART_NAMES}
    if "train" not in found:
        raise ValueError(
            f"{path}: got the parts {', '.join(map(repr, saved))}; expected one called 'train'. Rename a part and save "
            "the dataset again."
        )
    others = [name for name in saved if name not in PART_NAMES]
    note = (f"parts left out: {', '.join(others)}",) if others else ()
    return {name: found[name] for name in PARTS if name in found}, note


def _columns(plan: HuggingFaceData, columns: list[str]) -> tuple[list[str], str | None]:
    for name in (*plan.inputs, plan.target, plan.split.column):
        if name is not None and name not in columns:
            raise ValueError(
                f"{plan.path}: got the column {name!r}, which is not there; expected one of {', '.join(columns[:20])}. "
                f"{nearest(name, columns)} Name a column that is there."
            )
    target = plan.target
    if target is None:
        usual = [column for name in (*TARGET_NAMES, "labels") for column in columns if column.lower() == name]
        if not usual and plan.task not in WITHOUT_TARGET:
            raise ValueError(
                f"{plan.path}: got no target, and no column is called {', '.join(TARGET_NAMES)}; expected the name of "
                f"what is to be predicted. Name it with --target (columns: {', '.join(columns[:20])})."
            )
        target = usual[0] if usual else None
    inputs = list(plan.inputs) or [name for name in columns if name not in (target, plan.split.column)]
    return inputs, target


def _used(inputs: list[str], target: str | None, plan: HuggingFaceData) -> list[str]:
    wanted = [*inputs, target, plan.split.column if plan.split.method in ("group", "time") else None]
    return list(dict.fromkeys(name for name in wanted if name is not None))


def _splits(
    plan: HuggingFaceData,
    folder: Path,
    joined: Any,
    inputs: list[str],
    target: str | None,
    division: Division,
    notes: tuple[str, ...],
) -> Splits:
    answers = None if target is None else _answers(joined, target)
    aim = Aim(plan.task, plan.clusters, () if target is None else (target,))
    kind = _kind(joined, inputs)
    if kind == "table":
        frame = joined.select_columns(_used(inputs, None, plan)).to_pandas()
        frame = frame if answers is None else frame.assign(**{str(target): answers})
        return table_splits(frame, aim, division, name=folder.name, notes=notes)
    if plan.split.method in ("group", "time") and plan.split.column is not None:
        division = divided_by(division, pd.Series(joined[plan.split.column], name=plan.split.column))
    cells = list(joined[inputs[0]])
    if kind == "text":
        return text_splits(cells, answers, aim, division, name=folder.name, notes=notes)
    if answers is not None and answers.isna().any():
        keep = np.flatnonzero(answers.notna())
        notes += (f"{len(cells) - len(keep):,} of {len(cells):,} samples were dropped: their target is missing",)
        division, answers = division.keep(keep), answers.iloc[keep].reset_index(drop=True)
        cells = [cells[i] for i in keep]
    if kind == "array":
        return array_splits(_stacked(cells, inputs[0]), answers, aim, division, name=folder.name, notes=notes)
    return _pictures(cells, answers, aim, division, name=folder.name, notes=notes)


def _answers(joined: Any, target: str) -> pd.Series:
    values = pd.Series(joined.select_columns([target]).to_pandas()[target])
    classes = getattr(joined.features[target], "names", None)
    if not classes:
        return values
    # A code of -1 says that the label is unknown.
    codes = values.fillna(-1).astype(np.int64).to_numpy()
    return named_classes(codes, list(classes), target)


def _kind(joined: Any, inputs: list[str]) -> str:
    if len(inputs) != 1:
        return "table"
    feature = joined.features[inputs[0]]
    name = type(feature).__name__
    if name == "Image":
        return "image"
    if name == "Audio":
        raise ValueError(
            f"got the column {inputs[0]!r} of sounds; expected texts, pictures, arrays or a table. Save the sounds as "
            "WAV files and use source = 'sound'."
        )
    if name in ("List", "LargeList", "Sequence", "Array2D", "Array3D", "Array4D", "Array5D"):
        return "array"
    if getattr(feature, "dtype", "") in ("string", "large_string"):
        sample = [text for text in joined[: min(200, len(joined))][inputs[0]] if text]
        sentences = np.mean([text.count(" ") for text in sample]) >= 3 if sample else False
        return "text" if sentences or inputs[0].lower() in TEXT_NAMES else "table"
    return "table"


def _stacked(cells: list[Any], name: str) -> np.ndarray:
    try:
        return np.asarray(cells)
    except ValueError:
        raise ValueError(
            f"got ragged lists in the column {name!r}; expected one shape. Pad or cut them to one shape."
        ) from None


def _pictures(
    pictures: list[Any],
    answers: pd.Series | None,
    aim: Aim,
    division: Division,
    *,
    name: str,
    notes: tuple[str, ...],
) -> Splits:
    # Not at the top: pictures cost an import that other data do not need.
    from equipoise.data.images import decode_images

    sizes = np.array([picture.size for picture in pictures])
    width, height = (max(1, int(side)) for side in np.median(sizes, axis=0) * min(1.0, LARGEST_SIDE / np.median(sizes)))
    grey = all(picture.mode in ("1", "L", "I;16", "I", "F") for picture in pictures)
    spec = ImageInput(channels=1 if grey else 3, height=height, width=width)
    resized = int((sizes != [width, height]).any(1).sum())
    if resized:
        notes += (f"{resized:,} of {len(pictures):,} pictures were brought to {width} x {height} pixels",)
    task, encoded, reason = aim.encode(answers, len(pictures))
    positions = division.positions(len(pictures), strata(task, encoded))
    raw = torch.cat([decode_images(spec, [picture]) for picture in pictures])
    return assemble(
        name,
        raw,
        encoded,
        positions=positions,
        rows=np.arange(len(pictures)),
        spec=spec,
        task=task,
        notes=(*notes, reason),
        groups=division.groups_by_part(positions),
    )
