"""The plans that Equipoise brings."""

from importlib.resources import files
from pathlib import Path


def bundled_plans() -> dict[str, Path]:
    """Return the plans that Equipoise brings, by name."""
    folder = Path(str(files("equipoise.run") / "plans"))
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}
