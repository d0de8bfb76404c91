"""The verb `plans`."""

from equipoise.core.plan import read_plan
from equipoise.run.bundled import bundled_plans


def list_plans() -> str:
    """Return every bundled plan with what it is for."""
    plans = {name: read_plan(path) for name, path in bundled_plans().items()}
    width = max(len(name) for name in plans)
    lines = [f"  {name:<{width}}  {plan.about}" for name, plan in plans.items()]
    return "\n".join([*lines, "", "Run one with: equipoise run NAME"])
