"""Reads the data that a plan names."""

from pathlib import Path

from equipoise.core.data_plan import (
    ArrayFile,
    BundledData,
    DataPlan,
    FactoryData,
    GeneratedData,
    HuggingFaceData,
    ImageData,
    SoundData,
    TableData,
    TextData,
)
from equipoise.core.progress import Listener, Progress, silent
from equipoise.data.arrays import load_arrays
from equipoise.data.bundled import load_bundled
from equipoise.data.factory import load_factory
from equipoise.data.generated import load_generated
from equipoise.data.huggingface import load_huggingface
from equipoise.data.samples import Splits
from equipoise.data.table import load_table
from equipoise.data.text import load_text


def load(plan: DataPlan, seed: int, *, workspace: Path | None = None, on_progress: Listener = silent) -> Splits:
    """Return the data that a plan names, read, decoded and divided.

    Args:
        plan: The data part of a plan.
        seed: Seed of the division, when the split has none of its own.
        workspace: Folder for generated files; without it, a temporary folder that is gone afterwards.
        on_progress: Told how far reading is; the last message counts the samples of each part.

    Raises:
        FileNotFoundError: A file or folder that was named is not there.
        ValueError: The data cannot be used; the message says what came, what was expected and the cure.
    """
    splits = _load(plan, seed, workspace, on_progress)
    sizes = [len(splits.part(part)) for part in ("train", "validation", "test")]
    note = f"{splits.name}: {sizes[0]:,} train, {sizes[1]:,} validation, {sizes[2]:,} test"
    on_progress(Progress("data", sum(sizes), sum(sizes), note, finished=True))
    return splits


def _load(plan: DataPlan, seed: int, workspace: Path | None, on_progress: Listener) -> Splits:
    if isinstance(plan, BundledData):
        return load_bundled(plan, seed)
    if isinstance(plan, GeneratedData):
        return load_generated(plan, seed, workspace=workspace, on_progress=on_progress)
    if isinstance(plan, TableData):
        return load_table(plan, seed)
    if isinstance(plan, TextData):
        return load_text(plan, seed)
    if isinstance(plan, ArrayFile):
        return load_arrays(plan, seed)
    if isinstance(plan, FactoryData):
        return load_factory(plan, seed)
    if isinstance(plan, HuggingFaceData):
        return load_huggingface(plan, seed)
    # Not at the top: pictures and sound cost an import that most data do not need.
    if isinstance(plan, ImageData):
        from equipoise.data.images import load_images

        return load_images(plan, seed, on_progress=on_progress)
    if isinstance(plan, SoundData):
        from equipoise.data.sound import load_sound

        return load_sound(plan, seed, on_progress=on_progress)
    raise ValueError(
        "got a plan for data that were handed over in Python; expected data that can be read again. "
        "Hand the same data over once more: fit(plan, splits=splits_from(data))."
    )
