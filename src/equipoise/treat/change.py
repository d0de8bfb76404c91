"""A treatment as a change of a plan."""

from collections.abc import Callable
from dataclasses import dataclass

from equipoise.core.plan import Plan


@dataclass(frozen=True, slots=True)
class Change:
    """A treatment: one difference between two plans.

    Attributes:
        id: Its name, in kebab-case.
        title: What is done, in a few words.
        treats: Ids of the questions, and names of the faults, that it answers.
        change: Returns the plan with the difference made; raises ValueError where it cannot be done, saying why.
        longer: Whether it is nothing but a larger budget, so that at equal cost there would be nothing to compare.
    """

    id: str
    title: str
    treats: tuple[str, ...]
    change: Callable[[Plan], Plan]
    longer: bool = False

    def apply(self, plan: Plan) -> Plan:
        """Return the plan with the difference made; `plan` is left as it is.

        Raises:
            ValueError: It cannot be done to this plan, or it is done already.
        """
        changed = self.change(plan)
        if changed == plan:
            raise ValueError(
                f"got a plan in which {self.title!r} is done already; expected one without it. Choose another."
            )
        return changed
