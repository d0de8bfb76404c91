"""What pre-processing hands to a network's body: its kind and its shape."""

import math
from dataclasses import dataclass
from typing import Literal

from equipoise.core.preprocessing import InputNumbers, SoundNumbers, TableNumbers
from equipoise.core.signature import ImageInput, InputSpec, SoundInput, TableInput, TextInput

FeatureKind = Literal["vector", "image", "sequence", "tokens"]


@dataclass(frozen=True, slots=True)
class Features:
    """Kind and shape of one sample's features.

    Attributes:
        kind: `vector` (numbers without neighbourhood; any rank), `image` (channels, height, width), `sequence` (steps,
            features) or `tokens` (length,) of int64 ids, 0 = padding.
        shape: Shape of one sample.
        vocabulary: Number of token ids; 0 unless `tokens`.
    """

    kind: FeatureKind
    shape: tuple[int, ...]
    vocabulary: int = 0

    @property
    def size(self) -> int:
        """How many numbers one sample has."""
        return math.prod(self.shape)

    def __str__(self) -> str:
        """Return the kind with its shape, such as `image of shape 1x8x8`."""
        return f"{self.kind} of shape {'x'.join(str(side) for side in self.shape)}"


def raw_features(spec: InputSpec) -> Features:
    """Return kind and shape of raw inputs, as they come without any pre-processing."""
    if isinstance(spec, TableInput):
        return Features("vector", (len(spec.columns),))
    if isinstance(spec, ImageInput):
        return Features("image", (spec.channels, spec.height, spec.width))
    if isinstance(spec, SoundInput):
        return Features("vector", (spec.samples,))
    if isinstance(spec, TextInput):
        return Features("tokens", (spec.length,), spec.vocabulary)
    return Features("sequence" if spec.axes == "steps,features" else "vector", spec.shape)


def features_of(spec: InputSpec, numbers: InputNumbers) -> Features:
    """Return kind and shape of what the pre-processing of `preprocess.preprocess_module` gives.

    Raises:
        ValueError: The sound is shorter than one window of the spectrum.
    """
    if isinstance(numbers, TableNumbers):
        return Features("vector", (sum(numbers.widths) + sum(numbers.missing),))
    if isinstance(numbers, SoundNumbers) and isinstance(spec, SoundInput):
        return Features("sequence", (frames(spec.samples, numbers), numbers.bands))
    return raw_features(spec)


def frames(samples: int, numbers: SoundNumbers) -> int:
    """Return how many whole windows fit into a sound.

    Raises:
        ValueError: Not even one fits.
    """
    if samples < numbers.window:
        raise ValueError(
            f"got sounds of {samples} samples; expected at least {numbers.window}, the window of the spectrum. "
            "Use longer sounds (`data.seconds`) or a shorter window."
        )
    return 1 + (samples - numbers.window) // numbers.hop
