"""Samples that are decoded batch by batch, because all of them together do not fit in memory."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from PIL.Image import Image
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset

from equipoise.core.progress import Listener, Progress, silent

Decode = Callable[[int], Tensor]


def worker_count() -> int:
    """Return how many threads decode files: one a core, at most 8."""
    return min(8, os.cpu_count() or 1)


class StreamedSamples:
    """Samples decoded when they are asked for; the same positions always give the same tensors.

    With `workers`, threads decode the samples of a batch side by side, and those of an announced order ahead of time;
    never more than `ahead` decoded samples wait. One caller at a time.

    Attributes:
        resident: False.
        targets: Targets of all samples, in memory, as in `Samples`.
    """

    def __init__(
        self,
        decode: Decode,
        targets: Tensor,
        *,
        name_of: Callable[[int], str] = "sample {}".format,
        workers: int = 0,
        ahead: int = 64,
    ) -> None:
        """Make samples out of a function.

        Args:
            decode: Position to raw tensor, all of one shape and type; must depend on nothing but the position. With
                `workers` it is called from several threads.
            targets: One target a sample (n, ...).
            name_of: Position to the name that an error message shows.
            workers: Threads that decode; 0 decodes in the caller's thread.
            ahead: Most samples that are decoded ahead of time.
        """
        if workers < 0 or ahead < 1:
            raise ValueError(
                f"got workers {workers} and ahead {ahead}; expected workers >= 0 and ahead >= 1. Raise the smaller one."
            )
        self.resident = False
        self.targets = targets
        self._decode = decode
        self._name_of = name_of
        self._workers = workers
        self._ahead = ahead
        self._pool: ThreadPoolExecutor | None = None
        self._pending: dict[int, Future[Tensor]] = {}
        self._waiting: deque[int] = deque()

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.targets)

    def announce(self, index: Tensor | Sequence[int]) -> None:
        """Say in which order samples will be asked for, so that they are decoded ahead; replaces a former order."""
        if self._workers == 0:
            return
        for future in self._pending.values():
            future.cancel()
        self._pending = {}
        self._waiting = deque(self._positions(index))
        self._refill()

    def batch(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Return raw inputs and targets of the samples at `index` (int64, 1-d), on the CPU.

        Raises:
            IndexError: A position outside the samples.
            ValueError: A sample cannot be decoded, or has another shape than the rest; the message names it.
        """
        positions = self._positions(index)
        if not positions:
            return self._named(0)[None][:0], self.targets[:0]
        return self._stack(positions, self._fetch(positions)), self.targets[torch.tensor(positions)]

    def select(self, positions: np.ndarray) -> "StreamedSamples":
        """Return the samples at these positions, in this order, as a part of its own."""
        chosen = [int(one) for one in positions]
        return StreamedSamples(
            lambda position: self._decode(chosen[position]),
            self.targets[torch.tensor(chosen, dtype=torch.int64)],
            name_of=lambda position: self._name_of(chosen[position]),
            workers=self._workers,
            ahead=self._ahead,
        )

    def with_targets(self, targets: Tensor) -> "StreamedSamples":
        """Return the same samples with other targets (n, ...).

        Raises:
            ValueError: Not one target a sample.
        """
        if len(targets) != len(self):
            raise ValueError(f"got {len(targets)} targets; expected {len(self)}, one a sample. Give one for each.")
        return StreamedSamples(self._decode, targets, name_of=self._name_of, workers=self._workers, ahead=self._ahead)

    def close(self) -> None:
        """Stop the threads; a later `batch` starts them again."""
        self._waiting.clear()
        self._pending = {}
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None

    def _positions(self, index: Tensor | Sequence[int]) -> list[int]:
        positions = [int(one) for one in (index.tolist() if isinstance(index, Tensor) else index)]
        for position in positions:
            if not 0 <= position < len(self):
                raise IndexError(
                    f"got position {position}; expected 0 to {len(self) - 1}. Ask for positions of this part only."
                )
        return positions

    def _named(self, position: int) -> Tensor:
        try:
            return self._decode(position)
        except MemoryError:
            raise
        except Exception as problem:
            raise ValueError(
                f"got {type(problem).__name__} ({problem}) from {self._name_of(position)}; expected a readable sample. "
                "Repair it or leave it out, then load the data again."
            ) from problem

    def _fetch(self, positions: list[int]) -> list[Tensor]:
        distinct = dict.fromkeys(positions)
        if self._workers == 0:
            decoded = {position: self._named(position) for position in distinct}
        else:
            futures = {position: self._pending.pop(position, None) for position in distinct}
            started = {position: future or self._submit(position) for position, future in futures.items()}
            self._refill()
            decoded = {position: future.result() for position, future in started.items()}
        return [decoded[position] for position in positions]

    def _submit(self, position: int) -> Future[Tensor]:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._workers, thread_name_prefix="equipoise-decode")
        return self._pool.submit(self._named, position)

    def _refill(self) -> None:
        while self._waiting and len(self._pending) < self._ahead:
            position = self._waiting.popleft()
            if position not in self._pending:
                self._pending[position] = self._submit(position)

    def _stack(self, positions: list[int], decoded: list[Tensor]) -> Tensor:
        first = decoded[0]
        for position, one in zip(positions, decoded, strict=True):
            if one.shape != first.shape or one.dtype != first.dtype:
                raise ValueError(
                    f"got shape {tuple(one.shape)} ({one.dtype}) from {self._name_of(position)}; expected "
                    f"{tuple(first.shape)} ({first.dtype}) as from {self._name_of(positions[0])}. Bring all samples to "
                    "one shape and type."
                )
        return torch.stack(decoded)


def decode_each(
    count: int, decode: Decode, keep: Callable[[int, Tensor], None], phase: str, on_progress: Listener = silent
) -> dict[int, str]:
    """Decode every sample once, in threads, and hand each to `keep` in order.

    At most four samples a thread are held at a time.

    Args:
        count: Number of samples.
        decode: Position to tensor; called from several threads.
        keep: Takes position and tensor, in the caller's thread.
        phase: What the progress messages call this.
        on_progress: Hears of every hundredth.

    Returns:
        Position and reason of each sample that cannot be decoded.
    """
    broken: dict[int, str] = {}
    pending: deque[tuple[int, Future[Tensor]]] = deque()
    step = max(1, count // 100)
    with ThreadPoolExecutor(worker_count()) as pool:
        for position in range(count + 4 * worker_count()):
            if position < count:
                pending.append((position, pool.submit(decode, position)))
            if not pending or (position < count and len(pending) < 4 * worker_count()):
                continue
            ready, future = pending.popleft()
            problem = future.exception()
            if problem is None:
                keep(ready, future.result())
            elif isinstance(problem, MemoryError) or not isinstance(problem, Exception):
                raise problem
            else:
                broken[ready] = one_line(problem)
            if (ready + 1) % step == 0 or ready + 1 == count:
                on_progress(Progress(phase, ready + 1, count, finished=ready + 1 == count))
    return broken


def stream_dataset(
    dataset: Dataset[Any], *, name: str | None = None, on_progress: Listener = silent
) -> StreamedSamples:
    """Wrap a map-style dataset; every item is read once, to collect the targets and to find what is broken.

    Items are read in the caller's thread, one after the other, because a dataset may not be safe to share between
    threads. An item is `(input, target)`, or an input alone when there is nothing to predict.

    Args:
        dataset: Anything with `__len__` and `__getitem__`.
        name: What error messages call it; without it, the name of its class.
        on_progress: Hears of every hundredth item.

    Returns:
        Samples with targets int64 (n,) or (n, k) for whole numbers and booleans, float32 (n, k) for others (a single
        number has k = 1), and float32 (n, 0) when the items have none.

    Raises:
        ValueError: No length, no items, an item that fails or whose target is no number; the message names the item.
    """
    name = name or type(dataset).__name__
    length = _length(dataset, name)

    def name_of(position: int) -> str:
        return f"item {position} of {name}"

    targets = []
    for position in range(length):
        targets.append(_target(_item(dataset, position, name_of), name_of(position)))
        if (position + 1) % max(1, length // 100) == 0:
            on_progress(Progress(f"read {name}", position + 1, length, finished=position + 1 == length))
    return StreamedSamples(
        lambda position: _input(dataset[position]), _stacked_targets(targets, name_of), name_of=name_of
    )


def _length(dataset: Any, name: str) -> int:
    if isinstance(dataset, IterableDataset) or not hasattr(dataset, "__getitem__"):
        raise ValueError(
            f"got {name}, which is read from front to back only; expected a map-style dataset, since splitting and "
            "shuffling need items by position. Give it __len__ and __getitem__, or hand over its items as arrays."
        )
    try:
        length = len(dataset)
    except (TypeError, NotImplementedError):
        raise ValueError(
            f"got {name} without a length; expected a map-style dataset. Add __len__ that returns the number of items."
        ) from None
    if length == 0:
        raise ValueError(f"got {name} with no items; expected some. Hand over a dataset that is not empty.")
    return length


def _item(dataset: Any, position: int, name_of: Callable[[int], str]) -> Any:
    try:
        item = dataset[position]
        if not isinstance(item, dict):
            _input(item)
    except MemoryError:
        raise
    except Exception as problem:
        raise ValueError(
            f"got {one_line(problem)} from {name_of(position)}; expected (input, target) with a numeric input. Repair "
            "that item, or leave it out with torch.utils.data.Subset."
        ) from problem
    if isinstance(item, dict):
        raise ValueError(
            f"got a dict with the keys {', '.join(map(str, item))} from {name_of(position)}; expected (input, target). "
            "Wrap the dataset so that it returns two of these."
        )
    return item


def _input(item: Any) -> Tensor:
    """Return an item's input: float32, or int64 for whole numbers wider than a byte (token ids); pictures (C, H, W)."""
    value = item[0] if isinstance(item, (tuple, list)) else item
    if isinstance(value, Image):
        pixels = np.array(value)
        value = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
    tensor = value if isinstance(value, Tensor) else torch.as_tensor(np.array(value))
    whole = tensor.dtype in (torch.int16, torch.int32, torch.int64)
    return tensor.to(torch.int64 if whole else torch.float32)


def _target(item: Any, name: str) -> np.ndarray:
    if not isinstance(item, (tuple, list)) or len(item) == 1:
        return np.zeros(0, np.float32)
    if len(item) != 2:
        raise ValueError(
            f"got {len(item)} values from {name}; expected (input, target). Wrap the dataset so that it returns two."
        )
    target = item[1].detach().cpu().numpy() if isinstance(item[1], Tensor) else np.asarray(item[1])
    if target.dtype.kind not in "biuf":
        raise ValueError(
            f"got the target {item[1]!r} from {name}; expected a number or an array of numbers. Map classes to whole "
            "numbers in the dataset."
        )
    return target


def _stacked_targets(targets: Iterable[np.ndarray], name_of: Callable[[int], str]) -> Tensor:
    kept = list(targets)
    for position, one in enumerate(kept):
        if one.shape != kept[0].shape:
            raise ValueError(
                f"got a target of shape {one.shape} from {name_of(position)}; expected {kept[0].shape} as from "
                f"{name_of(0)}. Give all items targets of one shape."
            )
    stacked = np.stack(kept)
    if stacked.dtype.kind in "biu":
        return torch.as_tensor(stacked.astype(np.int64))
    return torch.as_tensor(stacked.astype(np.float32).reshape(len(kept), -1))


def one_line(problem: BaseException) -> str:
    """Return what went wrong in one line of at most 200 characters."""
    text = " ".join(str(problem).split())
    return f"{type(problem).__name__}: {text[:160]}" if text else type(problem).__name__
