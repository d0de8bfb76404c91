"""Equipoise: train a network, ask whether it can be trusted, and answer with a number and an interval.

Five functions do it all from Python::

    plan = equipoise.plan("digits")          # whatever `equipoise run` takes
    fit = equipoise.fit(plan, seed=0)        # a trained network with its history
    fit.predict(raw)                         # raw input in, an answer in your units out
    report = equipoise.examine(fit)          # findings, each with numbers and intervals
    run = equipoise.load("runs/...")         # an earlier run
"""

import importlib
import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from equipoise.core.diagnosis import Diagnosis as Diagnosis
    from equipoise.core.plan import Plan as Plan
    from equipoise.core.recipe import Recipe as Recipe
    from equipoise.examine.diagnosis.diagnose import diagnose as diagnose
    from equipoise.examine.examine import examine as examine
    from equipoise.examine.probes.preflight import preflight as preflight
    from equipoise.fit.entry import fit as fit
    from equipoise.run.job import run as run
    from equipoise.run.loaded import load as load
    from equipoise.run.own_training import treat_training as treat_training
    from equipoise.run.what import plan as plan
    from equipoise.treat.treat import treat as treat
    from equipoise.trial.paired import paired_trial as paired_trial
    from equipoise.vitals.watch import watch as watch

__version__ = "0.1.0"

_WHERE = {
    "Diagnosis": "equipoise.core.diagnosis",
    "Plan": "equipoise.core.plan",
    "Recipe": "equipoise.core.recipe",
    "diagnose": "equipoise.examine.diagnosis.diagnose",
    "plan": "equipoise.run.what",
    "load": "equipoise.run.loaded",
    "paired_trial": "equipoise.trial.paired",
    "preflight": "equipoise.examine.probes.preflight",
    "treat_training": "equipoise.run.own_training",
    "watch": "equipoise.vitals.watch",
}
"""Public names that are loaded on first use, so that `import equipoise` is instant."""

_CALLABLE_ROOMS = ("fit", "examine", "run", "treat")

__all__ = [
    "Diagnosis",
    "Plan",
    "Recipe",
    "diagnose",
    "examine",
    "fit",
    "load",
    "paired_trial",
    "plan",
    "preflight",
    "run",
    "treat",
    "treat_training",
    "watch",
]


def __getattr__(name: str) -> object:
    """Return a public name, importing its module on first use."""
    if name in _CALLABLE_ROOMS:
        return importlib.import_module(f"equipoise.{name}")
    if name in _WHERE:
        drawn = random.getstate()
        try:
            return getattr(importlib.import_module(_WHERE[name]), name)
        finally:
            random.setstate(drawn)  # libraries draw from the global generator while they are loaded
    raise AttributeError(f"module 'equipoise' got no attribute {name!r}; expected one of {', '.join(__all__)}")
