"""Checkpoints that a crash at any moment cannot break: tensors and numbers beside each other, switched in one step."""

import contextlib
import hashlib
import json
import math
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from equipoise.core.atomic import write_text, write_with
from equipoise.fit.shard_files import read_shards
from equipoise.networks.tensors import save_tensors

POINTER = "latest.json"
FORMAT = 1


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """What a training needs to go on: tensors by name, and plain values ready for JSON."""

    tensors: dict[str, Tensor]
    values: dict[str, Any]


class Checkpoints:
    """The checkpoints in one folder.

    A checkpoint is two files, `<number>.safetensors` and `<number>.json`, which says the digest of the first. Both are
    whole before `latest.json` is replaced, in one atomic step, to name them; the last two checkpoints are kept, older
    ones are removed afterwards. Nothing is pickled.

    Args:
        folder: Made when it is not there.
        writes: Whether this process writes into it.

    Raises:
        ValueError: The folder cannot be made or written.
    """

    def __init__(self, folder: Path, *, writes: bool = True) -> None:
        self.folder = folder
        if not writes:
            return
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for left_over in folder.glob(".*.*"):  # temporary files of a process that was killed
                left_over.unlink(missing_ok=True)
            write_text(folder / "writable.json", "{}")
            (folder / "writable.json").unlink()
            self._remove_older(self._newest())  # a process may have been killed before it did
        except OSError as problem:
            raise ValueError(
                f"got the folder {folder}, which cannot be written ({problem.strerror or problem}); expected a folder "
                "for checkpoints. Choose another folder, free some space or change its permissions."
            ) from problem

    def write(self, checkpoint: Checkpoint) -> None:
        """Write a checkpoint and make it the newest.

        Raises:
            OSError: The disk is full or the folder cannot be written; earlier checkpoints stay whole and in force.
        """
        number = self.next_number()
        tensors = self.folder / f"{number:08d}.safetensors"
        try:
            write_with(tensors, lambda path: _save(checkpoint.tensors, path))
        except OSError:
            self._remove(number)  # give back the space that a half-written checkpoint takes
            raise
        self.switch(number, checkpoint.values)

    def next_number(self) -> int:
        """Return the number of the next checkpoint."""
        return max(self._numbers(), default=0) + 1

    def shards(self, number: int) -> Path:
        """Return the folder for tensors that several processes write, each its own part of them."""
        return self.folder / f"{number:08d}.shards"

    def switch(self, number: int, values: dict[str, Any]) -> None:
        """Make a checkpoint whose tensors are written the newest one.

        Raises:
            OSError: The disk is full or the folder cannot be written; earlier checkpoints stay whole and in force.
        """
        try:
            described = {"format": FORMAT, "digest": self._digest(number), "values": values}
            write_text(self.folder / f"{number:08d}.json", json.dumps(described))
            write_text(self.folder / POINTER, json.dumps({"newest": number}))
        except OSError:
            self._remove(number)
            raise
        self._remove_older(number)

    def _remove_older(self, newest: float) -> None:
        """Remove all checkpoints but the newest and the one before it; infinity stands for a newest one not known."""
        for path in self.folder.iterdir() if math.isfinite(newest) else ():
            if path.stem.isdigit() and int(path.stem) < newest - 1:
                self._remove(int(path.stem))

    def _remove(self, number: int) -> None:
        shutil.rmtree(self.shards(number), ignore_errors=True)
        for ending in ("safetensors", "json"):
            with contextlib.suppress(OSError):
                (self.folder / f"{number:08d}.{ending}").unlink(missing_ok=True)

    def _digest(self, number: int) -> str:
        """Return the digest of a checkpoint's tensors: of its file, or of the digests of several."""
        if not self.shards(number).is_dir():
            return _digest(self.folder / f"{number:08d}.safetensors")
        digests = "".join(_digest(path) for path in sorted(self.shards(number).iterdir()))
        return hashlib.sha256(digests.encode()).hexdigest()

    def read(self) -> tuple[Checkpoint | None, tuple[str, ...]]:
        """Return the newest checkpoint that is whole, or None, and a sentence for each that is not."""
        newest = self._newest()
        notes: list[str] = []
        for number in sorted(self._numbers(), reverse=True):
            if number > newest:
                continue  # written, but not switched to when the process ended
            try:
                return self._load(number), tuple(notes)
            except (OSError, ValueError, KeyError, SafetensorError) as problem:
                notes.append(f"Checkpoint {number} cannot be read ({problem}); the one before it is used.")
        return None, tuple(notes)

    def exist(self) -> bool:
        """Return whether there is a checkpoint, whole or not."""
        return bool(self._numbers())

    def _newest(self) -> float:
        try:
            return int(json.loads((self.folder / POINTER).read_text(encoding="utf-8"))["newest"])
        except (OSError, ValueError, KeyError, TypeError):
            return float("inf")  # the pointer is lost; every checkpoint says by itself whether it is whole

    def _numbers(self) -> list[int]:
        return [int(path.stem) for path in self.folder.glob("*.json") if path.stem.isdigit()]

    def _load(self, number: int) -> Checkpoint:
        described = json.loads((self.folder / f"{number:08d}.json").read_text(encoding="utf-8"))
        if described["format"] != FORMAT:
            raise ValueError(f"got format {described['format']}; expected {FORMAT}. Use the version that wrote it.")
        if self._digest(number) != described["digest"]:
            raise ValueError(
                f"got other content in checkpoint {number} than was written; expected it unchanged. Restore it."
            )
        shards = self.shards(number)
        tensors = read_shards(shards) if shards.is_dir() else load_file(self.folder / f"{number:08d}.safetensors")
        return Checkpoint(tensors, described["values"])


def _save(tensors: dict[str, Tensor], path: Path) -> None:
    save_tensors({name: _plain(tensor) for name, tensor in tensors.items()}, path)


def _plain(tensor: Tensor) -> Tensor:
    """Return a copy on the CPU whose elements lie in order, in memory of its own."""
    return tensor.detach().cpu().clone(memory_format=torch.contiguous_format)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
