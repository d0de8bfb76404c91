"""Writes a table of made-up reviews whose sentiment turns on negation and contrast, not on single words."""

import csv
import io
from pathlib import Path

import numpy as np

from equipoise.core.atomic import write_text

SUBJECTS = (
    "the film", "this book", "the new phone", "our hotel", "the restaurant", "that concert", "the game",
    "this camera", "the train ride", "the course", "her second novel", "the coffee machine",
)  # fmt: skip
PRAISE = (
    "good", "wonderful", "excellent", "charming", "reliable", "worth the money", "a delight", "funny", "well made",
    "thoughtful", "fast", "pleasant",
)  # fmt: skip
BLAME = (
    "bad", "awful", "terrible", "boring", "broken", "a waste of money", "a mess", "dull", "badly made",
    "careless", "slow", "unpleasant",
)  # fmt: skip
OPENINGS = ("", "honestly , ", "to my surprise , ", "after two weeks , ", "as my sister says , ", "all in all , ")
PLAIN = ("was {}", "turned out {}", "is really {}", "seemed {} from start to end")
NEGATED = ("was not {}", "is never {}", "was anything but {}", "is hardly {}")
ENDINGS = ("", " , and i told my friends", " , so i wrote this", " , even on a rainy day", " , says everyone i know")


def write_reviews(path: Path, n: int, seed: int) -> None:
    """Write a CSV with the columns `text` and `sentiment` (positive or negative, half each).

    A quarter of the reviews deny the opposite ("was not bad"), a quarter set one judgement against another, the second
    of which decides ("was slow at first , but is now excellent"). Words of praise and blame are equally frequent in
    both classes of those, so a network must read their order. No sentence occurs twice while there are others left
    (there are about 100,000).

    Args:
        path: The file to write.
        n: Number of reviews, at least 8.
        seed: Draws the sentences.
    """
    if n < 8:
        raise ValueError(f"got n = {n} reviews; expected at least 8, to divide into three parts. Raise n.")
    generator = np.random.default_rng(seed)
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(("text", "sentiment"))
    seen: set[str] = set()
    for is_positive in generator.permutation(np.arange(n) % 2 == 0):
        review = _review(bool(is_positive), generator)
        for _ in range(100):
            if review not in seen:
                break
            review = _review(bool(is_positive), generator)
        seen.add(review)
        writer.writerow((review, "positive" if is_positive else "negative"))
    write_text(path, buffer.getvalue())


def _review(positive: bool, generator: np.random.Generator) -> str:
    def one_of(words: tuple[str, ...]) -> str:
        return words[int(generator.integers(len(words)))]

    right, wrong = (PRAISE, BLAME) if positive else (BLAME, PRAISE)
    form = int(generator.integers(4))
    if form == 0:
        judgement = one_of(NEGATED).format(one_of(wrong))
    elif form == 1:
        judgement = f"was {one_of(wrong)} at first , but is now {one_of(right)}"
    else:
        judgement = one_of(PLAIN).format(one_of(right))
    return f"{one_of(OPENINGS)}{one_of(SUBJECTS)} {judgement}{one_of(ENDINGS)}"
