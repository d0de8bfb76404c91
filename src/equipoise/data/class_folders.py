"""Folders with one sub-folder a class: what lies in them, and what of it can be used."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from equipoise.core.data_plan import ImageData, SoundData
from equipoise.core.signature import Task

UNLABELLED = ("reconstruction", "generation", "clustering")
"""Tasks that need no class folders; files may then lie directly in the folder."""


@dataclass(frozen=True, slots=True, eq=False)
class Listing:
    """Files of a folder in a fixed order: by class, then by path.

    Attributes:
        root: The folder.
        files: Paths of all files with a fitting suffix.
        labels: Index into `classes` of each file, int64; -1 without classes.
        classes: Names of the sub-folders, sorted (numbers by size); empty without classes.
        notes: What was left out, counted.
    """

    root: Path
    files: tuple[Path, ...]
    labels: np.ndarray
    classes: tuple[str, ...]
    notes: tuple[str, ...]


def folder_task(plan: ImageData | SoundData, classes: Sequence[str]) -> Task:
    """Return what a folder of classes can be asked to predict.

    Raises:
        ValueError: The plan asks for a task that a folder of classes has no targets for, there is one class only, or
            the number of clusters is not known.
    """
    kind = plan.task
    if kind == "clustering":
        clusters = plan.clusters or len(classes)
        if clusters < 2:
            raise ValueError(
                f"got clustering of {plan.path} without a number of clusters; expected at least 2. Set `clusters` in "
                "the data section, or sort the files into one sub-folder a cluster."
            )
        return Task(kind=kind, clusters=clusters)
    if kind in UNLABELLED:
        return Task(kind=kind)
    if kind not in (None, "binary", "multiclass"):
        raise ValueError(
            f"got task {kind!r} for the folder {plan.path}; expected binary, multiclass, {', '.join(UNLABELLED)}, "
            "since its only targets are the names of the sub-folders. Choose one of these, or give the "
            "targets in a table."
        )
    if len(classes) < 2:
        raise ValueError(
            f"got one class only ({', '.join(classes)}) in {plan.path}; expected at least two sub-folders. Add another "
            "class, or set the task to reconstruction."
        )
    if kind == "binary" and len(classes) != 2:
        raise ValueError(
            f"got {len(classes)} classes in {plan.path} and task 'binary'; expected two classes. Leave the task out."
        )
    return Task(kind="binary" if len(classes) == 2 and kind is None else kind or "multiclass", classes=tuple(classes))


def folder_targets(task: Task, labels: np.ndarray) -> np.ndarray:
    """Return the encoded targets of files, as `Samples` defines them, from the index of their sub-folder."""
    return labels if task.classifies or task.kind == "clustering" else np.zeros((len(labels), 0), np.float32)


def list_folder(root: Path, suffixes: Sequence[str], what: str, *, labelled: bool) -> Listing:
    """Return the files of a folder with one sub-folder a class; deeper folders belong to their class.

    Args:
        root: The folder, which must exist.
        suffixes: Lower-case suffixes of files that count.
        what: What the files are called in messages, in the plural: `images`.
        labelled: Whether classes are needed; without, files directly in the folder count too.

    Raises:
        ValueError: No sub-folders, no files, or a class without files.
    """
    folders = sorted((one for one in root.iterdir() if one.is_dir() and not one.name.startswith(".")), key=_order)
    if labelled and not folders:
        raise ValueError(
            f"got {root} without sub-folders; expected one sub-folder a class, named as the class. Move the {what} "
            "into such sub-folders, or set the task to reconstruction, which needs no classes."
        )
    found = {folder: _visible(folder) for folder in folders}
    beside = sorted(one for one in root.iterdir() if one.is_file())
    if not labelled and any(_fits(one, suffixes) for one in beside):
        return _without_classes(root, [*beside, *(one for files in found.values() for one in files)], suffixes, what)
    files: list[Path] = []
    labels: list[int] = []
    other = [one for one in beside if not one.name.startswith(".")]
    for label, folder in enumerate(folders):
        fitting = [one for one in found[folder] if _fits(one, suffixes)]
        other += [one for one in found[folder] if not _fits(one, suffixes)]
        if not fitting:
            raise ValueError(
                f"got the class folder {folder} without {what} ({len(found[folder])} other files); expected at least "
                f"one file of {', '.join(suffixes)} in it. Fill the folder or remove it."
            )
        files += fitting
        labels += [label] * len(fitting)
    if not files:
        raise ValueError(f"got {root} without {what}; expected files of {', '.join(suffixes)}. Put some into it.")
    return Listing(root, tuple(files), np.array(labels, np.int64), _names(folders), _left_out(other, suffixes, what))


def keep_readable(listing: Listing, broken: Mapping[int, str], what: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return the positions of readable files, and a note that counts and names the others with their reason.

    Raises:
        ValueError: More than half are broken, or a class has none left.
    """
    n = len(listing.files)
    named = [f"{within(listing.files[one], listing.root)} ({reason})" for one, reason in sorted(broken.items())]
    if 2 * len(broken) > n:
        raise ValueError(
            f"got {len(broken)} unreadable files of {n} in {listing.root}: {several(named)}; expected at most half. "
            f"Repair or remove them, and check that these are {what}."
        )
    readable = np.array([one for one in range(n) if one not in broken], np.int64)
    for label, name in enumerate(listing.classes):
        if label not in listing.labels[readable]:
            raise ValueError(
                f"got no readable file in the class {name!r} of {listing.root}; expected at least one. Repair its "
                f"{what} or remove the class: {several(named)}."
            )
    note = f"{len(broken)} of {n} files could not be read and were left out: {several(named)}."
    return readable, (note,) if broken else ()


def within(path: Path, root: Path) -> str:
    """Return a path as seen from the folder, or the whole path when it lies elsewhere."""
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)


def several(names: Sequence[str], limit: int = 5) -> str:
    """Return the first names and how many more there are."""
    more = len(names) - limit
    return ", ".join(names[:limit]) + (f" and {more} more" if more > 0 else "")


def groups_within(listing: Listing, readable: np.ndarray) -> np.ndarray:
    """Return the group of each readable file: the path of the folder in which it lies, below its class folder.

    Two folders of the same name in two classes are one group (a person, a device, a day).

    Raises:
        ValueError: A file lies directly in its class folder.
    """
    depth = 1 if listing.classes else 0
    groups = ["/".join(Path(within(listing.files[one], listing.root)).parts[depth:-1]) for one in readable]
    if "" in groups:
        lonely = listing.files[int(readable[groups.index("")])]
        raise ValueError(
            f"got split method 'group', and {within(lonely, listing.root)} in no group; expected one folder a group "
            "inside each class folder. Move the files into such folders, or split 'stratified'."
        )
    return np.array(groups)


def _without_classes(root: Path, files: list[Path], suffixes: Sequence[str], what: str) -> Listing:
    visible = [one for one in files if not one.name.startswith(".")]
    fitting = sorted(one for one in visible if _fits(one, suffixes))
    other = [one for one in visible if not _fits(one, suffixes)]
    return Listing(root, tuple(fitting), np.full(len(fitting), -1, np.int64), (), _left_out(other, suffixes, what))


def _order(folder: Path) -> tuple[bool, float, str]:
    """Sort numbers by size before words by alphabet."""
    number = folder.name.isdecimal()
    return not number, float(folder.name) if number else 0.0, folder.name


def _visible(folder: Path) -> list[Path]:
    inside = (one for one in folder.rglob("*") if one.is_file())
    return sorted(one for one in inside if not any(part.startswith(".") for part in one.relative_to(folder).parts))


def _fits(path: Path, suffixes: Sequence[str]) -> bool:
    return path.suffix.lower() in suffixes and not path.name.startswith(".")


def _names(folders: Sequence[Path]) -> tuple[str, ...]:
    return tuple(folder.name for folder in folders)


def _left_out(other: Sequence[Path], suffixes: Sequence[str], what: str) -> tuple[str, ...]:
    """Return notes on files of another kind, and on files of the right kind that belong to no class."""
    stray = [one.name for one in other if one.suffix.lower() in suffixes]
    kinds = Counter(one.suffix.lower() or "no suffix" for one in other if one.suffix.lower() not in suffixes)
    notes = []
    if stray:
        notes.append(f"Left out, since in no class folder: {len(stray)} {what} ({several(stray)}).")
    if kinds:
        listed = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
        notes.append(f"Left out, since no {what}: {listed}.")
    return tuple(notes)
