"""Windows of vital signs as MLflow metrics."""

import re
import time

from equipoise.core.extras import require
from equipoise.vitals.sinks.readings import readings
from equipoise.vitals.window import Window

MOST_METRICS = 1000
"""Most metrics that an MLflow server takes in one call."""

LONGEST_KEY, LONGEST_TAG = 250, 5000
"""Most characters of a metric's name, and of a tag's value, that every MLflow store keeps."""

_FORBIDDEN = re.compile(r"[^\w\-. /]", re.ASCII)


class MLflowSink:
    """Logs windows as metrics of one MLflow run; events of a window become tags `vitals.<kind>`.

    Calls go to the tracking server that MLflow is set to, and wait for it: nothing is logged in the background. MLflow
    itself may report its usage to its makers; its environment variable `MLFLOW_DISABLE_TELEMETRY=true` turns that off.

    Args:
        run_id: The run; without it the run that `mlflow.start_run` began.
        tracking_uri: Where runs are kept; without it where MLflow is set to.

    Raises:
        ModuleNotFoundError: The extra `mlflow` is not installed.
        ValueError: No run was given and none is active.
    """

    def __init__(self, run_id: str | None = None, *, tracking_uri: str | None = None) -> None:
        mlflow = require("mlflow", "mlflow")
        if run_id is None:
            active = mlflow.active_run()
            if active is None:
                raise ValueError(
                    "got no run_id while no MLflow run is active; expected one of the two. "
                    "Call mlflow.start_run() first or hand in a run_id."
                )
            run_id = str(active.info.run_id)
        self._entities = require("mlflow.entities", "mlflow")
        self._client = mlflow.MlflowClient(tracking_uri=tracking_uri)
        self._run_id = run_id

    def __call__(self, window: Window) -> None:
        """Log a window's numbers and events."""
        now = int(time.time() * 1000)
        metrics = [self._entities.Metric(_key(one.name), one.value, now, one.step) for one in readings(window)]
        tags = {
            f"vitals.{event.kind}": f"step {event.step}, {event.where}: {event.text}"[:LONGEST_TAG]
            for event in window.events
        }
        for start in range(0, len(metrics), MOST_METRICS):
            self._client.log_batch(self._run_id, metrics=metrics[start : start + MOST_METRICS])
        for name, text in tags.items():
            self._client.set_tag(self._run_id, name, text)

    def close(self) -> None:
        """Do nothing: the run is whose it was."""


def _key(name: str) -> str:
    """Return a name in MLflow's alphabet: `fc@2`, a layer's second call, becomes `fc.call2`."""
    key = _FORBIDDEN.sub("_", name.replace("@", ".call"))
    return key if len(key) <= LONGEST_KEY else f"{key[:100]}_{key[-(LONGEST_KEY - 101) :]}"  # paths differ at the end
