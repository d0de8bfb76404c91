"""A plan: everything that, with a seed, makes a trained network; and its file."""

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from equipoise.core.atomic import write_text
from equipoise.core.data_plan import DataPlan
from equipoise.core.network_plan import NetworkPlan
from equipoise.core.recipe import Recipe
from equipoise.core.record import Record

Finish = Literal["temperature", "clusters"]
Ensemble = Literal["deep", "bagged", "stacked"]


class Plan(Record):
    """Data, network, recipe and claims.

    Attributes:
        name: Short name; run folders carry it.
        about: What the plan is for, in a sentence or two.
        why: For a plan chosen from bare data: each choice with its reason.
        seed: Draws initialisation, order and split.
        data: Where samples come from and how they are split.
        network: The network.
        recipe: How it is trained.
        members: Networks that are trained and answer together; 1 is a single network.
        ensemble: How several differ and count: `deep` in their seeds (Lakshminarayanan et al., NeurIPS 2017), `bagged`
            in the rows they see too (Breiman, Machine Learning 1996), `stacked` in their activations, with weights
            fitted on predictions for rows they have not seen (Wolpert, Neural Networks 1992).
        finish: Steps after fitting: `temperature` scaling on validation data, `clusters` on the embedding.
        claims: Thresholds by question and estimate name, such as
            `claims.overfitting.gap = {warn = 0.05, fail = 0.1}`; they replace the question's own.
    """

    name: Annotated[str, Field(min_length=1, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    about: str = ""
    why: tuple[str, ...] = ()
    seed: Annotated[int, Field(ge=0)] = 0
    data: DataPlan
    network: NetworkPlan
    recipe: Recipe = Recipe()
    members: Annotated[int, Field(ge=1)] = 1
    ensemble: Ensemble = "deep"
    finish: tuple[Finish, ...] = ()
    claims: dict[str, dict[str, dict[str, float]]] = Field(default_factory=dict)


def read_plan(path: Path) -> Plan:
    """Return the plan in a TOML file; relative paths in it are taken from the file's folder.

    Raises:
        ValueError: Not TOML, an unknown key or a wrong type; the message names file, key and what was expected.
        FileNotFoundError: There is no such file.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise ValueError(f"{path}: got text that is not TOML ({problem}); expected a plan. Mend that line.") from None
    plan = Plan.read(values, origin=str(path))
    return _with_paths(plan, path.parent)


def write_plan(plan: Plan, path: Path) -> None:
    """Write a plan as TOML that `read_plan` reads back equal; options at their defaults are left out."""
    write_text(path, plan_text(plan))


def plan_text(plan: Plan) -> str:
    """Return a plan as the TOML that `write_plan` writes."""
    values = plan.model_dump(mode="json", exclude_none=True)
    shortened = plan.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    for section in ("data", "network"):
        tag = "source" if section == "data" else "family"
        shortened[section] = {tag: values[section][tag], **shortened.get(section, {})}
    return _toml(shortened)


def _with_paths(plan: Plan, folder: Path) -> Plan:
    changes: dict[str, object] = {}
    for section in ("data", "network"):
        for name in ("path", "labels", "related"):
            value = getattr(getattr(plan, section), name, None)
            if value and not Path(value).is_absolute():
                changes[f"{section}__{name}"] = str((folder / value).resolve())
    return plan.replace(**changes) if changes else plan


def _toml(values: dict[str, Any], prefix: str = "") -> str:
    """Return plain values as TOML: scalars first, then a section a table."""
    lines = [f"{_key(key)} = {_value(value)}" for key, value in values.items() if not _is_section(value)]
    for key, value in values.items():
        if _is_section(value):
            path = f"{prefix}{_key(key)}"
            body = _toml(value, f"{path}.")
            head = f"\n[{path}]\n" if any(not _is_section(one) for one in value.values()) or not value else ""
            lines.append(f"{head}{body}".rstrip("\n"))
    return "\n".join(lines) + "\n"


def _is_section(value: object) -> bool:
    return isinstance(value, dict)


def _key(key: str) -> str:
    bare = key.replace("-", "").replace("_", "").isalnum() and key.isascii()
    return key if bare else _value(key)


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return {"inf": "inf", "-inf": "-inf", "nan": "nan"}.get(str(value), repr(value))
    if isinstance(value, int):
        return str(value)
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_value(one) for one in value)}]"
    return _string(str(value))


def _string(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    controls = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}
    return '"' + "".join(controls.get(c, c if c >= " " and c != "\x7f" else f"\\u{ord(c):04x}") for c in escaped) + '"'
