"""Features fit for simple methods: few, standardised numbers, whatever the inputs are."""

import numpy as np
import torch
from sklearn.preprocessing import StandardScaler

from equipoise.core.signature import ImageInput, TextInput
from equipoise.examine.scoring import features_of
from equipoise.examine.subject import Subject

MOST_FEATURES = 256


def simple_features(subject: Subject) -> dict[str, np.ndarray]:
    """Return standardised features (n, at most `MOST_FEATURES`) of each part, fit for simple methods; computed once.

    What reaches the network's body, flat; images averaged to at most 16 pixels a side and texts as counts of their
    commonest words; anything longer is projected at random.
    """
    return subject.once("simple features", lambda: _simple_features(subject))


def _simple_features(subject: Subject) -> dict[str, np.ndarray]:
    parts = {part: _numbers_of(subject, part) for part in ("train", "validation", "test")}
    if isinstance(subject.splits.signature.inputs, TextInput):
        counts = parts["train"].sum(0)
        common = np.sort(np.argsort(-counts, kind="stable")[:MOST_FEATURES])
        parts = {part: np.log1p(values[:, common]) for part, values in parts.items()}
    width = parts["train"].shape[1]
    if width > MOST_FEATURES:
        mix = np.random.default_rng(0).standard_normal((width, MOST_FEATURES)).astype(np.float32) / np.sqrt(width)
        parts = {part: values @ mix for part, values in parts.items()}
    scaler = StandardScaler().fit(parts["train"])
    return {part: np.asarray(scaler.transform(values)) for part, values in parts.items()}


def _numbers_of(subject: Subject, part: str) -> np.ndarray:
    spec = subject.splits.signature.inputs
    if isinstance(spec, TextInput):
        tokens = subject.answers(part).inputs.numpy()
        counts = np.zeros((len(tokens), spec.vocabulary), dtype=np.float32)
        np.add.at(counts, (np.arange(len(tokens))[:, None], tokens.clip(0, spec.vocabulary - 1)), 1.0)
        # Padding says how long a text is, which is not a word of it.
        counts[:, 0] = 0.0
        return counts
    if isinstance(spec, ImageInput) and max(spec.height, spec.width) > 16:
        inputs = subject.answers(part).inputs
        small = torch.nn.functional.adaptive_avg_pool2d(inputs, (min(16, spec.height), min(16, spec.width)))
        return np.nan_to_num(small.flatten(1).numpy())
    return np.nan_to_num(features_of(subject, part).astype(np.float64), posinf=0.0, neginf=0.0)
