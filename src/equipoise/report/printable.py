"""Text from data made safe to show: control and direction-changing characters cannot reach a terminal or a file."""

import re
import unicodedata

_KEPT = "\n\t"
# Bidirectional overrides reorder the text around them, so that a name could disguise a verdict.
_DIRECTION = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")

_INTERVAL = re.compile(r"\[[^\[\]]{1,28}\]")
_UNIT = re.compile(r"(?<=\d) (?=(?:%|pt|ms|s|µs|kB|MB|GB)(?!\w))|(?<=\w) = (?=[\d−-])")


def printable(text: str) -> str:
    """Return the text with every control, override, surrogate and non-character replaced by U+FFFD."""
    if text.isascii() and text.isprintable():
        return text
    return "".join("\ufffd" if _hidden(one) else one for one in text)


def one_line(text: str) -> str:
    """Return the printable text with each run of white space, line ends included, as one space."""
    return " ".join(printable(text).split())


def tied(text: str) -> str:
    """Return the text with no-break spaces where a line must not end: inside intervals and before units."""
    kept = _INTERVAL.sub(lambda match: match[0].replace(" ", "\u00a0"), text)
    return _UNIT.sub(lambda match: match[0].replace(" ", "\u00a0"), kept)


def shortened(text: str, most: int) -> str:
    """Return the text, or its beginning and end around an ellipsis when it has more than `most` characters."""
    if len(text) <= most:
        return text
    end = max(1, most // 3)
    return f"{text[: most - end - 1].rstrip()}…{text[-end:].lstrip()}"


def _hidden(character: str) -> bool:
    if character in _KEPT:
        return False
    code = ord(character)
    return unicodedata.category(character) in ("Cc", "Cs") or character in _DIRECTION or (code & 0xFFFE) == 0xFFFE
