"""Which treatments there are: one a module of `treatments`, and those of installed packages."""

import importlib
import inspect
import pkgutil
import re
from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points

from equipoise.core.complaint import nearest
from equipoise.core.plan import Plan
from equipoise.core.treatment import Treatment
from equipoise.treat import treatments as folder
from equipoise.treat.change import Change

ENTRY_POINTS = "equipoise.treatments"
SECTIONS = ("Source", "Benefit", "Cost", "Interactions")
"""What the docstring of a treatment says after its first paragraph."""


def treatments(plugins: Sequence[Treatment] = ()) -> tuple[Treatment, ...]:
    """Return all treatments: those of the package by id, those that installed packages register, then `plugins`.

    A package registers one with an entry point in the group `equipoise.treatments` that names a treatment. One that
    cannot be loaded is kept as a treatment that can be done to no plan, with the reason, so that it stops nothing.

    Raises:
        ValueError: Two treatments with one id, or an id that is not kebab-case.
    """
    found = (*built_in(), *(_loaded(one) for one in entry_points(group=ENTRY_POINTS)), *plugins)
    seen: set[str] = set()
    for one in found:
        if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", one.id):
            raise ValueError(f"got the treatment id {one.id!r}; expected kebab-case, such as weight-decay. Rename it.")
        if one.id in seen:
            raise ValueError(f"got two treatments with the id {one.id!r}; expected ids to be unique. Rename one.")
        seen.add(one.id)
    return found


def built_in() -> tuple[Treatment, ...]:
    """Return the treatments that come with the package, by id."""
    names = [one.name for one in pkgutil.iter_modules(folder.__path__)]
    modules = [importlib.import_module(f"{folder.__name__}.{name}") for name in names]
    found = [getattr(module, "TREATMENT", None) for module in modules]
    return tuple(sorted((one for one in found if one is not None), key=lambda one: str(one.id)))


def treatment_named(name: str, plugins: Sequence[Treatment] = ()) -> Treatment:
    """Return the treatment with an id.

    Raises:
        ValueError: There is none; the message names the nearest id.
    """
    by_id = {one.id: one for one in treatments(plugins)}
    if name not in by_id:
        raise ValueError(f"got the treatment {name!r}; expected the id of one. {nearest(name, list(by_id))}")
    return by_id[name]


def described(treatment: Treatment) -> dict[str, str]:
    """Return what the module of a treatment of the package says of it: `What`, and each of `SECTIONS` that it has."""
    module = importlib.import_module(f"{folder.__name__}.{treatment.id.replace('-', '_')}")
    said: dict[str, list[str]] = {"What": []}
    current = "What"
    for line in (inspect.getdoc(module) or "").splitlines():
        lead, colon, rest = line.partition(":")
        if colon and lead in SECTIONS:
            current, line = lead, rest
        said.setdefault(current, []).append(line.strip())
    return {name: " ".join(" ".join(lines).split()) for name, lines in said.items()}


def _loaded(entry: EntryPoint) -> Treatment:
    try:
        found = entry.load()
        made = found() if isinstance(found, type) else found
        if not (isinstance(made.id, str) and isinstance(made.treats, tuple) and callable(made.apply)):
            raise TypeError(
                f"got {type(made).__name__}; expected a treatment with `id`, `treats`, `longer` and `apply`. "
                "See `equipoise.core.treatment.Treatment`."
            )
        loaded: Treatment = made
    except Exception as problem:
        return _broken(entry, f"{type(problem).__name__}: {problem}")
    return loaded


def _broken(entry: EntryPoint, problem: str) -> Change:
    def refuse(plan: Plan) -> Plan:
        del plan
        raise ValueError(
            f"got the entry point {entry.value!r}, which failed with {problem}; expected a treatment. Reinstall or "
            "remove the package that registers it."
        )

    name = re.sub(r"[^a-z0-9]+", "-", entry.name.lower()).strip("-") or "plug-in"
    return Change(name, f"the plug-in {entry.name!r}, which could not be loaded", (), refuse)
