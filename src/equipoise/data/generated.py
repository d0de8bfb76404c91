"""Data made from a seed: problems whose answer is known, and files for every kind of source."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from equipoise.core.data_plan import GeneratedData, ImageData, SoundData, TextData
from equipoise.core.progress import Listener, silent
from equipoise.core.signature import ArrayInput
from equipoise.data.arrays import array_splits
from equipoise.data.assemble import assemble
from equipoise.data.generated_reviews import write_reviews
from equipoise.data.samples import Splits
from equipoise.data.split import PARTS, Division
from equipoise.data.task import Aim
from equipoise.data.text import load_text

STEPS = 16
PATTERN = 3
"""Length of each of the two patterns in `sequences`, in steps."""


def load_generated(
    plan: GeneratedData, seed: int, *, workspace: Path | None = None, on_progress: Listener = silent
) -> Splits:
    """Return generated data. The plan's seed makes the samples; `seed` divides them.

    Args:
        plan: Which generator and how many samples.
        seed: Seed of the division.
        workspace: Folder for generated files; without it, a temporary folder that is gone afterwards.
        on_progress: Told how far reading is.

    Raises:
        ValueError: A number of samples that the generator cannot make.
    """
    if plan.name == "xor":
        return _xor(plan)
    arrays: dict[str, Callable[[int, int], tuple[np.ndarray, np.ndarray]]] = {
        "linear": linear,
        "noise": noise,
        "sequences": sequences,
    }
    if plan.name in arrays:
        inputs, targets = arrays[plan.name](plan.n or (2000 if plan.name == "sequences" else 1000), plan.seed)
        return array_splits(
            inputs,
            targets,
            Aim(plan.task, plan.clusters, ("first" if plan.name == "sequences" else "target",)),
            Division(plan.split, seed),
            axes="steps,features" if plan.name == "sequences" else "features",
            name=plan.name,
            notes=(f"{len(inputs):,} samples generated from seed {plan.seed}",),
        )
    if workspace is not None:
        return _from_files(plan, seed, workspace, plan.streamed, on_progress)
    with tempfile.TemporaryDirectory(prefix="equipoise-") as folder:
        # What lies in a folder that is about to vanish cannot be streamed.
        return _from_files(plan, seed, Path(folder), False, on_progress)


def linear(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return ten standard-normal inputs (n, 10) and a weighted sum of them plus normal noise of deviation 0.1 (n,).

    The weights have length 1, so that the target's variance is 1 + 0.01 and the best possible R2 is 1 / 1.01.
    """
    generator = np.random.default_rng(seed)
    weights = generator.standard_normal(10)
    inputs = generator.standard_normal((n, 10))
    targets = inputs @ (weights / np.linalg.norm(weights)) + 0.1 * generator.standard_normal(n)
    return inputs.astype(np.float32), targets.astype(np.float32)


def noise(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return ten standard-normal inputs (n, 10) and a standard-normal target (n,) that does not depend on them."""
    generator = np.random.default_rng(seed)
    return (
        generator.standard_normal((n, 10)).astype(np.float32),
        generator.standard_normal(n).astype(np.float32),
    )


def sequences(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return sequences with two patterns in noise, and which came first.

    The rising pattern lights features 0, 1, 2 in turn, the falling one 2, 1, 0; both occur once in each sequence, at
    random places that do not overlap. Sums over the steps hold nothing about the answer: only order does.

    Returns:
        Inputs (n, 16, 3) and words (n,), `rising` or `falling`.
    """
    generator = np.random.default_rng(seed)
    inputs = 0.2 * generator.standard_normal((n, STEPS, PATTERN))
    rising_first = generator.permutation(np.arange(n) % 2 == 0)
    rising = 2.0 * np.eye(PATTERN)
    for sample, first in zip(inputs, rising_first, strict=True):
        early = generator.integers(0, STEPS - 2 * PATTERN + 1)
        late = generator.integers(early + PATTERN, STEPS - PATTERN + 1)
        sample[early : early + PATTERN] += rising if first else rising[::-1]
        sample[late : late + PATTERN] += rising[::-1] if first else rising
    return inputs.astype(np.float32), np.where(rising_first, "rising", "falling")


def _xor(plan: GeneratedData) -> Splits:
    """Return exclusive or: every part holds all four points by design, since there are no others to hold back."""
    n = plan.n or 4
    if n % 4:
        raise ValueError(f"got n = {n} for xor; expected a multiple of 4, the number of its points. Choose one.")
    points = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=np.float32)
    inputs = np.tile(points, (n // 4, 1))
    targets = (inputs[:, 0] != inputs[:, 1]).astype(np.int64)
    task, encoded, reason = Aim(plan.task, plan.clusters, ("xor",)).encode(targets, n)
    everything = np.arange(n)
    return assemble(
        "xor",
        torch.from_numpy(inputs),
        encoded,
        positions=dict.fromkeys(PARTS, everything),
        rows=everything,
        spec=ArrayInput(shape=(2,)),
        task=task,
        notes=("train, validation and test are the same four points by design: exclusive or has no others", reason),
    )


def _from_files(
    plan: GeneratedData, seed: int, workspace: Path, streamed: bool | None, on_progress: Listener
) -> Splits:
    """Write the files of a generator into the workspace and load them as a user's own would be."""
    # Not at the top: pictures and sound cost an import that most data do not need.
    from equipoise.data.generated_folders import write_photographs, write_tones

    folder = workspace / plan.name
    folder.mkdir(parents=True, exist_ok=True)
    if plan.name == "reviews":
        path = folder / "reviews.csv"
        write_reviews(path, plan.n or 600, plan.seed)
        source = TextData(path=str(path), text="text", target="sentiment", task=plan.task, split=plan.split)
        return load_text(source, seed)
    if plan.name == "photographs":
        from equipoise.data.images import load_images

        write_photographs(folder, plan.n or 400, plan.seed)
        pictures = ImageData(path=str(folder), task=plan.task, split=plan.split, streamed=streamed)
        return load_images(pictures, seed, on_progress=on_progress)
    from equipoise.data.sound import load_sound

    write_tones(folder, plan.n or 200, plan.seed)
    sounds = SoundData(path=str(folder), task=plan.task, split=plan.split, streamed=streamed)
    return load_sound(sounds, seed, on_progress=on_progress)
