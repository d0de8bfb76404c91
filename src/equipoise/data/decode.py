"""Turns what the user has into the raw tensor that a network takes."""

from typing import Any

from torch import Tensor

from equipoise.core.signature import ArrayInput, ImageInput, Signature, SoundInput, TableInput
from equipoise.data.arrays import decode_array
from equipoise.data.table import decode_table
from equipoise.data.text import decode_text


def decode(signature: Signature, raw: Any) -> Tensor:
    """Return raw inputs as the tensor that the network of this signature takes.

    Args:
        signature: The network's signature.
        raw: What the user has: rows (DataFrame, dicts), paths or arrays of images, paths or waveforms, texts, arrays.

    Raises:
        ValueError: Another kind of data, or another shape, than the network was made for.
    """
    spec = signature.inputs
    if isinstance(spec, TableInput):
        return decode_table(spec, raw)
    if isinstance(spec, ArrayInput):
        return decode_array(spec, raw)
    # Not at the top: pictures and sound cost an import that most networks do not need.
    if isinstance(spec, ImageInput):
        from equipoise.data.images import decode_images

        return decode_images(spec, raw)
    if isinstance(spec, SoundInput):
        from equipoise.data.sound import decode_sound

        return decode_sound(spec, raw)
    return decode_text(spec, raw)
