"""Puts files, one a sample, together to a data set in three parts: in memory, or decoded batch by batch."""

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from equipoise.core.data_plan import ImageData, SoundData
from equipoise.core.progress import Listener
from equipoise.core.signature import InputSpec, Signature, Task
from equipoise.data.assemble import assemble, coverage_notes
from equipoise.data.class_folders import Listing, groups_within, keep_readable, within
from equipoise.data.memory import fits, free_bytes
from equipoise.data.numbers import fit_numbers
from equipoise.data.samples import Splits
from equipoise.data.split import PARTS, Division
from equipoise.data.streamed import StreamedSamples, decode_each, one_line, worker_count

Header = TypeVar("Header")

SURVEYED = 4096
"""Headers that are read at a time."""

WAITING_BYTES = 256 * 1024**2
"""Most memory that samples decoded ahead of time may take, a part."""


@dataclass(frozen=True, slots=True, eq=False)
class FileSource:
    """Files that are known by their headers, ready to be decoded.

    Attributes:
        plan: What the user asked for.
        listing: The files; those whose header is broken included.
        targets: Encoded target of each file, as `Samples` defines them.
        task: What is predicted.
        spec: What a decoded file is.
        shape: Shape of one decoded file (float32).
        decode: Path to raw tensor.
        what: What the files are called, in the plural.
        broken: Position and reason of files whose header cannot be read.
        notes: Repairs and choices so far.
        remarks: What to count in decoded files, and the sentence for it: "{} of {} images ...".
    """

    plan: ImageData | SoundData
    listing: Listing
    targets: np.ndarray
    task: Task
    spec: InputSpec
    shape: tuple[int, ...]
    decode: Callable[[Path], Tensor]
    what: str
    broken: dict[int, str]
    notes: tuple[str, ...]
    remarks: tuple[tuple[Callable[[Tensor], bool], str], ...] = ()


def survey(files: Sequence[Path], look: Callable[[Path], Header]) -> tuple[dict[int, Header], dict[int, str]]:
    """Return what each file's header says, and position and reason of each file whose header cannot be read."""
    headers: dict[int, Header] = {}
    broken: dict[int, str] = {}
    with ThreadPoolExecutor(worker_count()) as pool:
        for start in range(0, len(files), SURVEYED):  # by portions, since a folder may hold millions
            portion = [pool.submit(look, file) for file in files[start : start + SURVEYED]]
            for position, future in enumerate(portion, start):
                try:
                    headers[position] = future.result()
                except Exception as problem:
                    broken[position] = one_line(problem)
    return headers, broken


def splits_from_files(source: FileSource, seed: int, on_progress: Listener) -> Splits:
    """Return the data set: every file decoded once, broken ones left out by name, the rest divided.

    Files whose raw tensors fit in half of the free memory (or whose plan says so) stay in memory; else the first
    decoding only finds what is broken, and batches are decoded when they are asked for.

    Raises:
        ValueError: Too many files are broken, a class has none left, or the files cannot be divided as asked.
    """
    if source.plan.split.method == "time":
        raise ValueError(
            f"got split method 'time' for the folder {source.plan.path}; expected stratified, random or group, since "
            "files carry no time that can be trusted. Choose one of these."
        )
    files = source.listing.files
    resident = fits(4 * len(files) * int(np.prod(source.shape)), source.plan.streamed)
    inputs = torch.empty((len(files) if resident else 0, *source.shape), dtype=torch.float32)
    counts = [0] * len(source.remarks)
    candidates = [one for one in range(len(files)) if one not in source.broken]

    def keep(position: int, sample: Tensor) -> None:
        if resident:
            inputs[candidates[position]] = sample
        for remark, (holds, _) in enumerate(source.remarks):
            counts[remark] += holds(sample)

    found = decode_each(
        len(candidates),
        lambda position: source.decode(files[candidates[position]]),
        keep,
        f"read {source.what}",
        on_progress,
    )
    broken = source.broken | {candidates[one]: reason for one, reason in found.items()}
    readable, left_out = keep_readable(source.listing, broken, source.what)
    division = Division(
        source.plan.split,
        seed,
        groups=groups_within(source.listing, readable) if source.plan.split.method == "group" else None,
    )
    labels = source.targets[readable] if source.task.classifies else None
    positions = division.positions(len(readable), labels)
    said = [text.format(count, len(readable)) for (_, text), count in zip(source.remarks, counts, strict=True) if count]
    notes = (*source.listing.notes, *left_out, *source.notes, *said)
    groups = division.groups_by_part(positions)
    if not resident:
        return _streamed(source, readable, positions, notes, groups)
    return assemble(
        source.listing.root.name,
        inputs,
        source.targets,
        positions={part: readable[positions[part]] for part in PARTS},
        rows=np.arange(len(files)),
        spec=source.spec,
        task=source.task,
        notes=notes,
        groups=groups,
    )


def _streamed(
    source: FileSource,
    readable: np.ndarray,
    positions: dict[str, np.ndarray],
    notes: tuple[str, ...],
    groups: dict[str, np.ndarray],
) -> Splits:
    files = source.listing.files
    sample_bytes = 4 * int(np.prod(source.shape))
    everything = StreamedSamples(
        lambda position: source.decode(files[position]),
        torch.from_numpy(np.ascontiguousarray(source.targets)),
        name_of=lambda position: str(files[position]),
        workers=worker_count(),
        ahead=max(worker_count(), min(512, WAITING_BYTES // sample_bytes)),
    )
    rows = {part: readable[positions[part]] for part in PARTS}
    parts = {part: everything.select(rows[part]) for part in PARTS}
    signature = Signature(inputs=source.spec, task=source.task)
    size = len(readable) * sample_bytes
    why = "as the plan says" if source.plan.streamed else f"since {free_bytes() / 1e9:.1f} GB are free"
    return Splits(
        name=source.listing.root.name,
        train=parts["train"],
        validation=parts["validation"],
        test=parts["test"],
        signature=signature,
        preprocessing=fit_numbers(parts["train"], signature),
        rows=rows,
        notes=(
            *notes,
            f"The {source.what} are decoded batch by batch ({size / 1e9:.2g} GB in all, {why}).",
            *coverage_notes(source.task, source.targets, rows),
        ),
        digest=_digest([files[one] for part in PARTS for one in rows[part]], source.listing.root),
        groups=groups,
    )


def _digest(files: Sequence[Path], root: Path) -> str:
    """Return the SHA-256 over names, sizes and times of change."""
    digest = hashlib.sha256()
    for file in files:
        state = file.stat()
        digest.update(f"{within(file, root)} {state.st_size} {state.st_mtime_ns};".encode())
    return digest.hexdigest()
