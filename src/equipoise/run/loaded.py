"""An earlier run, opened again."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from equipoise.core.plan import Plan, read_plan
from equipoise.core.report import Report
from equipoise.data.load import load as load_data
from equipoise.data.samples import Splits
from equipoise.fit.fitted import predict, probabilities
from equipoise.networks.archive import load_network
from equipoise.networks.network import Network
from equipoise.run.folder import open_folder


@dataclass(frozen=True, slots=True, eq=False)
class LoadedRun:
    """A run folder, opened.

    Attributes:
        folder: Where it lies.
        network: The trained network, in evaluation mode.
        plan: The plan it was trained by.
        report: Its report, or None when the run was cut off before it.
    """

    folder: Path
    network: Network
    plan: Plan
    report: Report | None

    def predict(self, raw: Any) -> np.ndarray:
        """Return the answer in the user's words and units for raw inputs; see `fit.fitted.predict`."""
        return predict(self.network, raw)

    def probabilities(self, raw: Any) -> np.ndarray:
        """Return class probabilities, shape (n, classes), for raw inputs."""
        return probabilities(self.network, raw)

    def splits(self) -> Splits:
        """Return the data, read again and divided as they were."""
        return load_data(self.plan.data, self.plan.seed, workspace=self.folder / "data")


def load(directory: str | Path, *, trust: bool = False) -> LoadedRun:
    """Open a run folder.

    Args:
        directory: The run folder, or the `network.safetensors` in it.
        trust: Whether a network whose factory or file may run code is allowed.

    Raises:
        FileNotFoundError: There is no run in that folder, or it holds no trained network yet.
        ValueError: A file in it is damaged; the message names it.
    """
    path = Path(directory)
    folder = open_folder(path.parent if path.is_file() else path)
    if not folder.network.is_file():
        raise FileNotFoundError(
            f"got {str(path)!r}, a run without a trained network; expected a finished run. "
            f"Finish it with: equipoise run --resume {path}"
        )
    return LoadedRun(
        folder=folder.path,
        network=load_network(folder.network, trust=trust).eval(),
        plan=read_plan(folder.plan),
        report=Report.load(folder.json) if folder.json.is_file() else None,
    )
