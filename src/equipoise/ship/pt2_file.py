"""`.pt2` files: torch.export's own format, opened by torch without this package."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from equipoise.networks.network import Network
from equipoise.ship.answering import exported_program, innermost

METADATA_FILE = "equipoise.json"
"""Name of the extra file inside the archive that holds the metadata."""


def write(network: Network, inputs: Tensor, path: Path, metadata: Mapping[str, str]) -> None:
    """Write `answer` as a `.pt2` archive with `metadata` as an extra file inside.

    Raises:
        ValueError: The network cannot be traced.
    """
    exported = exported_program(network, inputs)
    torch.export.save(exported, path, extra_files={METADATA_FILE: json.dumps(dict(metadata), ensure_ascii=False)})


def open_file(path: Path) -> tuple[Callable[[Tensor], Tensor], dict[str, str]]:
    """Return the file's answer and its metadata.

    Raises:
        ValueError: torch cannot open the file.
    """
    extra_files = {METADATA_FILE: ""}
    try:
        module = torch.export.load(path, extra_files=extra_files).module()
    except Exception as problem:
        raise ValueError(
            f"{path}: got a file that torch cannot open ({innermost(problem)}); expected a .pt2 archive. "
            "Export it again."
        ) from problem
    metadata: dict[str, str] = json.loads(extra_files[METADATA_FILE] or "{}")

    @torch.no_grad()
    def answer(inputs: Tensor) -> Tensor:
        result: Tensor = module(inputs)
        return result

    return answer, metadata


def versions() -> dict[str, str]:
    """Return the version of the library that writes and opens the file."""
    return {"torch": str(torch.__version__)}
