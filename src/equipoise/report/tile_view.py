"""Samples as a person would look at them: what the page needs to show one tile."""

import math
import re
from dataclasses import dataclass

from equipoise.core.figure import Tile
from equipoise.report.numbers import number

_BASE64 = re.compile(r"^[A-Za-z0-9+/]+={0,2}$")
WAVE_WIDTH, WAVE_HEIGHT = 200.0, 56.0


@dataclass(frozen=True, slots=True)
class Marked:
    """A word or a cell with its attribution: `shade` in percent, `sign` in words and as a mark."""

    name: str
    text: str
    shade: int
    sign: str
    weight: str


@dataclass(frozen=True, slots=True)
class TileView:
    """One tile, ready for the page; empty parts are not shown."""

    caption: str
    pictures: tuple[tuple[str, str], ...]
    wave: str
    wave_label: str
    cells: tuple[Marked, ...]
    words: tuple[Marked, ...]
    left_out: str


def tile_view(tile: Tile, *, most_cells: int = 14, most_words: int = 90) -> TileView:
    """Return a tile as the page shows it.

    A row of a table shows at most `most_cells` cells (those of largest attribution when it has any), a text at most
    `most_words` words; what is left out is stated. Attributions are shown only when there is one for every part.
    """
    pictures = tuple(
        (picture, f"{kind}: {tile.caption}")
        for picture, kind in ((tile.picture, "sample"), (tile.overlay, "beside it"))
        if _BASE64.match(picture)
    )
    names = tuple(tile.cells)
    cells = _marked(names, tuple(tile.cells.values()), tile.weights)
    words = tuple(tile.text.split())
    marked_words = _marked(("",) * len(words), words, tile.weights)
    left_out = []
    if len(cells) > most_cells:
        left_out.append(f"{len(cells) - most_cells} more columns")
        cells = _strongest(cells, most_cells)
    if len(marked_words) > most_words:
        left_out.append(f"{len(marked_words) - most_words} more words")
        marked_words = marked_words[:most_words]
    return TileView(
        caption=tile.caption,
        pictures=pictures,
        wave=_wave(tile.wave),
        wave_label=f"waveform: {tile.caption}",
        cells=cells,
        words=marked_words,
        left_out=f"and {', '.join(left_out)}" if left_out else "",
    )


def _marked(names: tuple[str, ...], texts: tuple[str, ...], weights: tuple[float, ...]) -> tuple[Marked, ...]:
    known: tuple[float, ...] = weights if len(weights) == len(texts) else (0.0,) * len(texts)
    return tuple(_mark(name, text, weight) for name, text, weight in zip(names, texts, known, strict=True))


def _mark(name: str, text: str, weight: float) -> Marked:
    size = min(1.0, abs(weight)) if math.isfinite(weight) else 0.0
    shade = round(100 * size)
    if shade < 4:
        return Marked(name, text, 0, "", "")
    return Marked(name, text, shade, "for" if weight > 0 else "against", f"{'+' if weight > 0 else ''}{number(weight)}")


def _strongest(cells: tuple[Marked, ...], most: int) -> tuple[Marked, ...]:
    order = sorted(range(len(cells)), key=lambda one: (-cells[one].shade, one))[:most]
    return tuple(cells[one] for one in sorted(order))


def _wave(amplitudes: tuple[float, ...]) -> str:
    """Return the points of a polyline; amplitudes beyond [-1, 1] are cut, gaps stand at zero."""
    if len(amplitudes) < 2:
        return ""
    step, middle = WAVE_WIDTH / (len(amplitudes) - 1), WAVE_HEIGHT / 2
    heights = [middle - (middle - 2) * max(-1.0, min(1.0, one)) if math.isfinite(one) else middle for one in amplitudes]
    return " ".join(f"{place * step:.1f},{height:.1f}" for place, height in enumerate(heights))
