"""Sound: folders with one sub-folder a class or with a table of targets, and waveforms handed over to be predicted."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from equipoise.core.complaint import nearest
from equipoise.core.data_plan import SoundData
from equipoise.core.progress import Listener, silent
from equipoise.core.signature import SoundInput, Task
from equipoise.data.class_folders import (
    UNLABELLED,
    Listing,
    folder_targets,
    folder_task,
    keep_readable,
    list_folder,
    several,
)
from equipoise.data.file_samples import FileSource, splits_from_files, survey
from equipoise.data.paths import existing_folder
from equipoise.data.samples import Splits
from equipoise.data.table_file import read_table
from equipoise.data.task import choose_task
from equipoise.data.waveforms import SUFFIXES, Header, fitted, header, read_waveform

LONGEST_SECONDS = 30.0
"""Recordings are cut here unless the plan says otherwise."""

MOST_CHANNELS = 8
"""An array with so few columns and more rows is taken for channels in the wrong place."""


def load_sound(plan: SoundData, seed: int, *, on_progress: Listener = silent) -> Splits:
    """Read a folder of recordings: one sub-folder a class, or a CSV with a column `file` and a target.

    All are brought to mono, one rate (the plan's, else the most common one) and one length (the plan's, else the 95th
    percentile, at most 30 s; longer ones lose their end, shorter ones are padded with zeros). Files that cannot be read
    are left out, counted and named; whatever else was changed is counted in the notes.

    Args:
        plan: Folder, table of targets, rate, length, split.
        seed: Seed of the division.
        on_progress: Hears how many recordings have been read.

    Raises:
        FileNotFoundError: There is no such folder or table.
        ValueError: No sub-folders and no table, an empty class, more than half of the files broken, a table without the
            columns, or a task that the targets cannot answer.
    """
    root = existing_folder(plan.path, "one sub-folder of recordings a class")
    if plan.labels is None:
        listing = list_folder(root, SUFFIXES, "recordings", labelled=plan.task not in UNLABELLED)
        task = folder_task(plan, listing.classes)
        targets = folder_targets(task, listing.labels)
    else:
        listing, task, targets = _labelled(plan, root, plan.labels)
    headers, broken = survey(listing.files, header)
    keep_readable(listing, broken, "recordings")
    spec = _spec(plan, list(headers.values()))

    def decode(path: Path) -> Tensor:
        return torch.from_numpy(read_waveform(path, spec.sample_rate, spec.samples))

    source = FileSource(
        plan=plan,
        listing=listing,
        targets=targets,
        task=task,
        spec=spec,
        shape=(spec.samples,),
        decode=decode,
        what="recordings",
        broken=broken,
        notes=_notes(plan, list(headers.values()), spec),
        remarks=(
            (_silent, "{} of {} recordings are silent throughout; they were kept."),
            (_full_scale, "{} of {} recordings reach full scale, beyond which they are clipped."),
        ),
    )
    return splits_from_files(source, seed, on_progress)


def decode_sound(spec: SoundInput, raw: Any) -> Tensor:
    """Return recordings as the user has them as a raw tensor, float32 (n, samples) in -1..1.

    Files are averaged to mono, resampled, cut or padded. Arrays and tensors hold one waveform (time,) or several
    (n, time) at the network's sample rate, floating point in -1..1 or int16. A pair (array, rate) is one recording
    (time,) or (time, channels), as `soundfile.read` returns it, and is resampled.

    Args:
        spec: What the network takes.
        raw: A path, an array, a tensor, a pair (array, rate), or a list of these.

    Raises:
        ValueError: A file that is no recording, or values beyond -1..1; the message says which.
    """
    if isinstance(raw, tuple) and len(raw) == 2 and isinstance(raw[1], (int, np.integer)) and np.ndim(raw[0]) > 0:
        return _recording(spec, raw[0], int(raw[1]))
    if isinstance(raw, (list, tuple)) and not (raw and np.isscalar(raw[0]) and not isinstance(raw[0], str)):
        if not raw:
            raise ValueError("got an empty list; expected at least one recording. Hand over paths or arrays.")
        return torch.cat([decode_sound(spec, one) for one in raw])
    if isinstance(raw, (str, Path)):
        return torch.from_numpy(_file(spec, Path(raw)))[None]
    array = _amplitudes(raw)
    if array.ndim == 2 and array.shape[1] <= MOST_CHANNELS < array.shape[0]:
        raise ValueError(
            f"got an array of shape {array.shape}, which looks like (time, channels); expected (time,) or (n, time). "
            "Average the channels, or hand over (array, rate) as soundfile.read returns it."
        )
    rows = [fitted(one, spec.sample_rate, spec.sample_rate, spec.samples) for one in np.atleast_2d(array)]
    return torch.from_numpy(np.stack(rows))


def _file(spec: SoundInput, path: Path) -> np.ndarray:
    if not path.is_file():
        raise ValueError(f"got {path}, which is no file; expected a sound file. Check the path.")
    try:
        header(path)
        return read_waveform(path, spec.sample_rate, spec.samples)
    except (OSError, RuntimeError, ValueError) as problem:
        raise ValueError(
            f"got {type(problem).__name__} ({problem}) from {path}; expected a whole recording of "
            f"{', '.join(SUFFIXES)}. Repair the file or hand over another one."
        ) from problem


def _recording(spec: SoundInput, raw: Any, rate: int) -> Tensor:
    """Return one recording (time,) or (time, channels) of another rate, as soundfile gives it."""
    if rate < 1:
        raise ValueError(f"got a sample rate of {rate}; expected at least 1. Give the rate in samples a second.")
    return torch.from_numpy(fitted(_amplitudes(raw), rate, spec.sample_rate, spec.samples))[None]


def _amplitudes(raw: Any) -> np.ndarray:
    """Return amplitudes in -1..1 as an array of floating point, one- or two-dimensional."""
    array = raw.detach().cpu().numpy() if isinstance(raw, Tensor) else np.asarray(raw)
    if array.dtype == np.int16:
        array = array.astype(np.float32) / 32768.0
    if array.dtype.kind != "f" or array.ndim not in (1, 2) or array.size == 0:
        raise ValueError(
            f"got {type(raw).__name__} of shape {array.shape} and type {array.dtype}; expected a path, or a waveform "
            "(time,) or (n, time) of floating point in -1..1 or of int16. Convert it."
        )
    highest = float(np.abs(array[np.isfinite(array)]).max(initial=0.0))
    if highest > 1.0:
        raise ValueError(
            f"got amplitudes up to {highest:g}; expected at most 1. Divide by the largest possible value (32768 for 16 "
            "bits)."
        )
    return array


def _labelled(plan: SoundData, root: Path, labels: str) -> tuple[Listing, Task, np.ndarray]:
    """Return the files that a CSV names, with what it says of each."""
    inside = root / labels
    place = inside if inside.is_file() else Path(labels)
    table = read_table(str(place))
    target = _target_column(plan, list(table.columns), place)
    notes = []
    gaps = table["file"].isna() | table[target].isna()
    if gaps.any():
        notes.append(
            f"{int(gaps.sum())} of {len(table)} rows of {place.name} lack a file or a target and were left out."
        )
    table = table[~gaps].assign(file=table["file"][~gaps].map(str))
    repeated = table["file"].duplicated(keep=False)
    clashing = table[repeated].groupby("file")[target].nunique() > 1
    if clashing.any():
        raise ValueError(
            f"got {int(clashing.sum())} files with several targets in {place}: "
            f"{several([str(one) for one in clashing.index[clashing]])}; expected one target a file. Remove the wrong "
            "rows."
        )
    if repeated.any():
        extra = int(table["file"].duplicated().sum())
        notes.append(
            f"{extra} of {len(table)} rows of {place.name} repeat a file and its target; each file was taken once."
        )
        table = table[~table["file"].duplicated()]
    if table.empty:
        raise ValueError(f"got no row with file and target in {place}; expected some. Fill in the table.")
    table = table.sort_values("file", kind="stable")
    task, encoded, reason = choose_task(
        table[target].reset_index(drop=True), kind=plan.task, names=(target,), clusters=plan.clusters
    )
    files = tuple(root / one for one in table["file"])
    known = set(files)
    unused = [one.name for one in sorted(root.rglob("*")) if one.suffix.lower() in SUFFIXES and one not in known]
    if unused:
        notes.append(f"Left out, since not listed in {place.name}: {several(unused)} ({len(unused)} in all).")
    codes = encoded if task.classifies else np.full(len(files), -1, np.int64)
    listing = Listing(root, files, codes, task.classes if task.classifies else (), (*notes, reason))
    return listing, task, encoded


def _target_column(plan: SoundData, columns: Sequence[str], place: Path) -> str:
    if "file" not in columns:
        raise ValueError(
            f"got the columns {', '.join(columns)} in {place}; expected one called 'file' with the path of each "
            "recording inside the folder. Rename it."
        )
    others = [one for one in columns if one != "file"]
    if plan.target is not None:
        if plan.target not in others:
            raise ValueError(
                f"got the target {plan.target!r}, which is no column of {place}; expected one of {', '.join(others)}. "
                f"{nearest(plan.target, others)}"
            )
        return plan.target
    if len(others) != 1:
        raise ValueError(
            f"got {len(others)} columns beside 'file' in {place} ({', '.join(others)}); expected one, or a target that "
            "says which. Set `target` in the data section."
        )
    return others[0]


def _silent(wave: Tensor) -> bool:
    return not bool(wave.any())


def _full_scale(wave: Tensor) -> bool:
    return bool(wave.abs().max() >= 1.0)


def _spec(plan: SoundData, headers: Sequence[Header]) -> SoundInput:
    rates = Counter(one.sample_rate for one in headers)
    rate = plan.sample_rate or max(rates, key=lambda one: (rates[one], -one))
    typical = float(np.quantile([one.seconds for one in headers], 0.95))
    seconds = plan.seconds or min(typical, LONGEST_SECONDS)
    return SoundInput(sample_rate=rate, samples=max(1, round(seconds * rate)))


def _notes(plan: SoundData, headers: Sequence[Header], spec: SoundInput) -> tuple[str, ...]:
    n = len(headers)
    rates = Counter(one.sample_rate for one in headers)
    lengths = np.array([round(one.seconds * spec.sample_rate) for one in headers])
    seconds = spec.samples / spec.sample_rate
    whence = "as the plan says" if plan.seconds else f"the 95th percentile, at most {LONGEST_SECONDS:g} s"
    resampled = n - rates[spec.sample_rate]
    stereo = sum(one.channels > 1 for one in headers)
    notes = [f"The length is {seconds:.3g} s ({whence}) at {spec.sample_rate} samples a second."]
    if resampled:
        listed = ", ".join(f"{count} of {rate} Hz" for rate, count in sorted(rates.items()))
        notes.append(f"{resampled} of {n} recordings were resampled to {spec.sample_rate} Hz ({listed}).")
    if stereo:
        notes.append(f"{stereo} of {n} recordings had several channels, which were averaged.")
    if (longer := int((lengths > spec.samples).sum())) > 0:
        notes.append(f"{longer} of {n} recordings were longer and lost their end.")
    if (shorter := int((lengths < spec.samples).sum())) > 0:
        notes.append(f"{shorter} of {n} recordings were shorter and were padded with silence.")
    return tuple(notes)
