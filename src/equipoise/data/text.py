"""Texts: a folder with one sub-folder a class, or a table with a text column, becomes samples."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from equipoise.core.complaint import nearest
from equipoise.core.data_plan import TextData
from equipoise.core.signature import TextInput
from equipoise.data.assemble import assemble
from equipoise.data.paths import existing_folder
from equipoise.data.samples import Splits
from equipoise.data.split import Division
from equipoise.data.split_column import divided_by
from equipoise.data.table import TARGET_NAMES
from equipoise.data.table_file import read_table
from equipoise.data.targets import strata
from equipoise.data.task import WITHOUT_TARGET, Aim
from equipoise.data.vocabulary import token_ids, train_tokenizer, unknown_share

TEXT_NAMES = ("text", "sentence", "review", "document", "content", "message", "body")


def load_text(plan: TextData, seed: int) -> Splits:
    """Return the samples of a folder of `.txt` files or of a table with a text column; see `text_splits`."""
    path = Path(plan.path).expanduser()
    division = Division(plan.split, seed)
    targets: pd.Series | None
    if path.suffix or path.is_file():
        texts, targets, division, notes = _from_table(plan, read_table(plan.path), division)
    else:
        texts, targets, notes = _from_folder(existing_folder(plan.path, "one sub-folder of .txt files a class"))
        if plan.split.method in ("group", "time"):
            raise ValueError(
                f"{plan.path}: got a split by {plan.split.method} for a folder of texts; expected stratified or "
                "random, since a folder has no such column. Set split.method, or hand the texts over as a table."
            )
    return text_splits(
        texts,
        targets,
        Aim(plan.task, plan.clusters),
        division,
        vocabulary=plan.vocabulary,
        length=plan.length,
        name=path.stem,
        notes=notes,
    )


def text_splits(
    texts: Sequence[Any],
    targets: pd.Series | None,
    aim: Aim,
    division: Division,
    *,
    vocabulary: int = 4000,
    length: int | None = None,
    name: str = "text",
    notes: tuple[str, ...] = (),
) -> Splits:
    """Return the samples of texts and their targets; the tokenizer is trained on the training part only.

    Rows without a text (missing, or nothing but white space) or without a target are dropped and counted.

    Args:
        texts: One text a sample; missing ones may be None or NaN.
        targets: One target a sample; None for clustering, reconstruction or generation.
        aim: What is predicted.
        division: How to divide.
        vocabulary: Largest number of tokens.
        length: Tokens a text, or None to choose it.
        name: Short name of the data.
        notes: Notes so far.

    Raises:
        ValueError: Not as many targets as texts, cells that are no texts, nothing left, or targets that cannot be
            learned.
    """
    rows, drop_notes = _rows_with_text(texts, targets, name)
    kept = [str(texts[i]) for i in rows]
    if targets is not None:
        aim, targets = replace(aim, names=(str(targets.name or "target"),)), targets.iloc[rows]
    task, encoded, reason = aim.encode(targets, len(kept))
    division = division.keep(rows)
    positions = division.positions(len(kept), strata(task, encoded))
    spec, token_note = train_tokenizer([kept[i] for i in positions["train"]], vocabulary, length)
    ids, cut = token_ids(spec, kept)
    told = [*notes, *drop_notes, reason, token_note]
    if cut:
        told.append(f"{cut:,} of {len(kept):,} texts are longer than {spec.length} tokens and were cut")
    if share := unknown_share(ids[np.concatenate([positions["validation"], positions["test"]])]):
        told.append(f"{share:.1%} of the tokens outside the training part are unknown")
    return assemble(
        name,
        torch.from_numpy(ids),
        encoded,
        positions=positions,
        rows=rows,
        spec=spec,
        task=task,
        notes=tuple(told),
        groups=division.groups_by_part(positions),
    )


def decode_text(spec: TextInput, raw: Any) -> Tensor:
    """Return texts as the raw tensor, int64 (n, length).

    Args:
        spec: The tokenizer and length, as fitted in training.
        raw: A text, a list, array or Series of texts, a DataFrame of one column of them, or token ids (n, length).

    Raises:
        ValueError: Neither texts nor token ids of this length.
    """
    if isinstance(raw, str):
        raw = [raw]
    if isinstance(raw, pd.DataFrame) and raw.shape[1] == 1:
        raw = raw.iloc[:, 0]
    cells = list(raw) if np.ndim(raw) == 1 else []
    if cells and all(isinstance(one, str) for one in cells):
        return torch.from_numpy(token_ids(spec, [str(one) for one in cells])[0])
    array = np.asarray(raw)
    if array.ndim == 2 and array.shape[1] == spec.length and array.dtype.kind in "iu":
        ids = array.astype(np.int64)
        if ids.size and (ids.min() < 0 or ids.max() >= spec.vocabulary):
            raise ValueError(
                f"got token ids from {ids.min()} to {ids.max()}; expected 0 to {spec.vocabulary - 1}. Hand over texts, "
                "or ids of this network's own tokenizer."
            )
        return torch.from_numpy(ids)
    raise ValueError(
        f"got {type(raw).__name__} of shape {array.shape} and type {array.dtype}; expected texts, or token ids of "
        f"shape (n, {spec.length}). Hand over a list of strings."
    )


def _rows_with_text(texts: Sequence[Any], targets: pd.Series | None, name: str) -> tuple[np.ndarray, list[str]]:
    """Return the positions of rows that have a text and a target, and notes that count the others."""
    if targets is not None and len(texts) != len(targets):
        raise ValueError(
            f"got {len(texts)} texts and {len(targets)} targets; expected as many. Hand over one target a text."
        )
    cells = pd.Series(list(texts), dtype=object)
    wrong = [type(one).__name__ for one in cells.dropna() if not isinstance(one, str)]
    if wrong:
        raise ValueError(
            f"got {len(wrong)} cells of type {wrong[0]} in the text column; expected text. Name another text column or "
            "convert these cells to text."
        )
    blank = np.array([not isinstance(one, str) or not one.strip() for one in cells], dtype=bool)
    untold = np.zeros(len(cells), dtype=bool) if targets is None else np.asarray(targets.isna(), dtype=bool) & ~blank
    rows = np.flatnonzero(~blank & ~untold)
    if not len(rows):
        raise ValueError(f"{name}: got {len(cells)} rows, none with a text and a target; expected some. Add texts.")
    counts = ((int(blank.sum()), "text is empty"), (int(untold.sum()), "target is missing"))
    return rows, [f"{n:,} of {len(cells):,} rows were dropped: their {why}" for n, why in counts if n]


def _from_folder(path: Path) -> tuple[list[str], pd.Series, tuple[str, ...]]:
    folders = sorted(one for one in path.iterdir() if one.is_dir() and not one.name.startswith("."))
    if len(folders) < 2:
        raise ValueError(
            f"{path}: got {len(folders)} sub-folders, so one class only; expected at least two, one a class. "
            "Put the texts into sub-folders named after their classes."
        )
    texts: list[str] = []
    classes: list[str] = []
    broken: list[str] = []
    for folder in folders:
        before = len(texts)
        for file in sorted(folder.rglob("*.txt")):
            try:
                texts.append(file.read_text(encoding="utf-8-sig"))
                classes.append(folder.name)
            except UnicodeDecodeError:
                broken.append(f"{folder.name}/{file.name}")
        if len(texts) == before:
            raise ValueError(
                f"{path}: got no readable .txt file in the class folder {folder.name!r}, an empty class; expected "
                "UTF-8 texts. Add some, convert them to UTF-8, or remove the folder."
            )
    stray = sum(one.is_file() for one in path.iterdir() if not one.name.startswith("."))
    notes = [f"{stray} files beside the class folders were left out"] if stray else []
    if broken:
        notes.append(f"{len(broken)} files were left out, since they are not UTF-8: {', '.join(broken[:3])}")
    return texts, pd.Series(classes, name="class"), tuple(notes)


def _from_table(
    plan: TextData, frame: pd.DataFrame, division: Division
) -> tuple[list[Any], pd.Series | None, Division, tuple[str, ...]]:
    columns = list(frame.columns)
    for named, what in ((plan.text, "text"), (plan.target, "target"), (plan.split.column, "split")):
        if named is not None and named not in columns:
            raise ValueError(
                f"{plan.path}: got the {what} column {named!r}, which is not there; expected one of the table's "
                f"{len(columns)} columns. {nearest(named, columns)} Name a column that is there."
            )
    text = plan.text or _text_column(plan.path, frame)
    unneeded = plan.target is None and plan.task in WITHOUT_TARGET
    target = None if unneeded else plan.target or _target_column(plan.path, columns, text)
    if plan.split.method in ("group", "time"):
        if plan.split.column is None:
            raise ValueError(
                f"{plan.path}: got a split by {plan.split.method} without split.column; expected the name of a column. "
                f"Set split.column to one of: {', '.join(columns[:20])}."
            )
        division = divided_by(division, frame[plan.split.column])
    used = {text, target, plan.split.column}
    unused = [column for column in columns if column not in used]
    notes = (
        []
        if plan.text and plan.target
        else [f"text: column {text!r}; target: " + (f"column {target!r}" if target else "none")]
    )
    if unused:
        notes.append(f"columns left out of the text task: {', '.join(unused[:10])}")
    return frame[text].tolist(), None if target is None else frame[target], division, tuple(notes)


def is_text_table(path: str, target: str | None) -> bool:
    """Return whether a table's only input is one column of free text, so that it is to be read as texts.

    Free text is taken to have four words a cell or more. A table that cannot be read is no text table; reading it as a
    table says what is wrong with it.
    """
    try:
        frame = read_table(path)
    except (ValueError, OSError):
        return False
    usual = [column for column in frame.columns if str(column).lower() in (*TARGET_NAMES, "sentiment")]
    aim = target if target is not None else (usual[0] if usual else None)
    inputs = [column for column in frame.columns if column != aim]
    if aim is None or len(inputs) != 1 or not pd.api.types.is_string_dtype(frame[inputs[0]].dropna()):
        return False
    cells = frame[inputs[0]].dropna().astype(str)
    return len(cells) > 0 and float(cells.str.split().str.len().mean()) >= 4


def _text_column(path: str, frame: pd.DataFrame) -> str:
    words = [one for one in frame.columns if pd.api.types.is_string_dtype(frame[one].dropna())]
    usual = [one for one in words if one.lower() in TEXT_NAMES]
    if usual:
        return str(usual[0])
    if not words:
        raise ValueError(
            f"{path}: got no column of text; expected one. Name it with `text`, or use source = 'table' for numbers."
        )
    return str(max(words, key=lambda one: frame[one].dropna().astype(str).str.len().mean()))


def _target_column(path: str, columns: list[str], text: str) -> str:
    others = [column for column in columns if column != text]
    usual = [column for name in (*TARGET_NAMES, "sentiment") for column in others if column.lower() == name]
    if usual or len(others) == 1:
        return (usual or others)[0]
    raise ValueError(
        f"{path}: got no target for the text column {text!r}; expected one. Name it with --target (columns: "
        f"{', '.join(others[:20]) or 'none'})."
    )
