"""References with their addresses made into links; nothing but https, http, DOI and arXiv becomes one."""

import re
from dataclasses import dataclass

_ADDRESS = re.compile(
    r"(?P<url>https?://[^\s<>\"']+)|(?:doi:\s*)?(?P<doi>\b10\.\d{4,9}/[^\s<>\"']+)|arXiv[:\s]\s*(?P<arxiv>\d{4}\.\d{4,5})(?:v\d+)?",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of text, with the address it leads to or an empty one."""

    text: str
    address: str


def pieces(text: str) -> tuple[Piece, ...]:
    """Return the text in order as plain stretches and links."""
    found: list[Piece] = []
    place = 0
    for match in _ADDRESS.finditer(text):
        whole = match[0]
        kept = whole.rstrip(".,;:)]") if not match["arxiv"] else whole
        found.append(Piece(text[place : match.start()], ""))
        found.append(Piece(kept, _address(match, len(whole) - len(kept))))
        place = match.start() + len(kept)
    found.append(Piece(text[place:], ""))
    return tuple(one for one in found if one.text)


def _address(match: re.Match[str], cut: int) -> str:
    if match["arxiv"]:
        return f"https://arxiv.org/abs/{match['arxiv']}"
    target = match["url"] or match["doi"]
    target = target[: len(target) - cut]
    return target if match["url"] else f"https://doi.org/{target}"
