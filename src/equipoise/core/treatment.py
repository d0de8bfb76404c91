"""What a treatment is."""

from typing import Protocol

from equipoise.core.plan import Plan


class Treatment(Protocol):
    """One difference between two plans, to be proven in a paired trial."""

    @property
    def id(self) -> str:
        """Its name, in kebab-case."""
        ...

    @property
    def treats(self) -> tuple[str, ...]:
        """Ids of the questions whose findings it answers."""
        ...

    @property
    def longer(self) -> bool:
        """Whether it is nothing but a larger budget, so that at equal cost there would be nothing to compare."""
        ...

    def apply(self, plan: Plan) -> Plan:
        """Return the plan with the difference made; `plan` is left as it is.

        Raises:
            ValueError: It cannot be done to this plan; the message says why.
        """
        ...
