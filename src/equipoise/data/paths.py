"""Finds the files and folders that a plan names, or says what is there instead."""

from pathlib import Path

from equipoise.core.complaint import nearest


def existing_file(path: str, suffixes: tuple[str, ...]) -> Path:
    """Return the path of a file that is there, is not empty and has one of the endings (lower case, with dot).

    Raises:
        FileNotFoundError: There is no such file; the message names the nearest file beside it.
        ValueError: It is a folder, is empty or has another ending.
    """
    place = Path(path).expanduser()
    endings = ", ".join(suffixes)
    if place.is_dir():
        raise ValueError(f"{path}: got a folder; expected a file ending in {endings}. Name the file inside it.")
    if not place.is_file():
        raise FileNotFoundError(
            f"got {path!r}, which is not there; expected a file ending in {endings}.{_beside(place)} Check the path."
        )
    if place.suffix.lower() not in suffixes:
        raise ValueError(
            f"{path}: got a file with the ending {place.suffix!r}; expected one of {endings}. "
            "Convert the file, or rename it if only its ending is wrong."
        )
    if place.stat().st_size == 0:
        raise ValueError(f"{path}: got an empty file (0 bytes); expected data. Write the file anew.")
    return place


def existing_folder(path: str, holds: str) -> Path:
    """Return the path of a folder that is there; `holds` says in words what should be inside.

    Raises:
        FileNotFoundError: There is no such folder; the message names the nearest one beside it.
        ValueError: It is a file.
    """
    place = Path(path).expanduser()
    if place.is_file():
        raise ValueError(f"{path}: got a file; expected a folder that holds {holds}. Name the folder.")
    if not place.is_dir():
        raise FileNotFoundError(
            f"got {path!r}, which is not there; expected a folder that holds {holds}.{_beside(place)} Check the path."
        )
    return place


def _beside(place: Path) -> str:
    """Return a hint at the name most like the one that is missing."""
    if not place.parent.is_dir():
        return f" There is no folder {str(place.parent)!r} either."
    hint = nearest(place.name, [one.name for one in sorted(place.parent.iterdir())[:1000]])
    return f" {hint}" if hint.startswith("Did") else ""
