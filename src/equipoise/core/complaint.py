"""Turns a failed validation into sentences a user can act on."""

import difflib
from typing import Any

from pydantic import BaseModel, ValidationError


def nearest(name: str, valid: object) -> str:
    """Return ` Did you mean 'x'?` for the valid name most like `name`, or the list of valid names."""
    names = sorted(str(one) for one in valid) if isinstance(valid, (list, tuple, set, frozenset, dict)) else []
    close = difflib.get_close_matches(str(name), names, n=1, cutoff=0.5)
    if close:
        return f"Did you mean {close[0]!r}?"
    return f"Valid names: {', '.join(names)}." if names else ""


def complaints(problem: ValidationError, model: type[BaseModel], origin: str) -> str:
    """Return one line for each thing that is wrong, each with origin, key, what came and what was expected."""
    lines = [_complaint(error, model, origin) for error in problem.errors()]
    return "\n".join(dict.fromkeys(lines))


def _complaint(error: Any, model: type[BaseModel], origin: str) -> str:
    location = tuple(error["loc"])
    fields = _fields_at(model, location[:-1])
    key = ".".join(str(part) for part in _without_tags(model, location)) or "(the whole record)"
    if error["type"] == "extra_forbidden":
        cure = nearest(str(location[-1]), fields)
        return f"{origin}: unknown key {key!r} (got {error['input']!r}); expected a known key. {cure}".rstrip()
    if error["type"] == "missing":
        return f"{origin}: got no key {key!r}; expected one. Add it."
    if error["type"] in ("union_tag_invalid", "literal_error"):
        context = error.get("ctx", {})
        expected = str(context.get("expected_tags") or context.get("expected"))
        names = [name.strip().strip("'") for name in expected.replace(" or ", ", ").split(",")]
        got = context.get("tag", error["input"])
        field = str(context.get("discriminator", "")).strip("'")
        where = f"{key}.{field}" if field else key
        return f"{origin}: {where} got {got!r}; expected one of {expected}. {nearest(str(got), names)}"
    if error["type"] == "union_tag_not_found":
        field = str(error["ctx"]["discriminator"]).strip("'")
        return f"{origin}: got no key '{key}.{field}'; expected one, since it says which kind of {key} this is. Add it."
    expected = error["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    return f"{origin}: {key} got {error['input']!r} ({type(error['input']).__name__}); expected {expected}."


def _without_tags(model: type[BaseModel], location: tuple[Any, ...]) -> list[Any]:
    """Drop the tag of a tagged union from a location: the user wrote `data.path`, not `data.table.path`."""
    kept: list[Any] = []
    fields: Any = model
    for part in location:
        members = _members(fields)
        if isinstance(part, str) and not any(part in one.model_fields for one in members) and len(members) > 1:
            chosen = [one for one in members if _tag(one) == part]
            if chosen:
                fields = chosen[0]
                continue
        kept.append(part)
        fields = _annotation(members, part)
    return kept


def _fields_at(model: type[BaseModel], location: tuple[Any, ...]) -> list[str]:
    current: Any = model
    for part in location:
        members = _members(current)
        chosen = [one for one in members if _tag(one) == part]
        current = chosen[0] if chosen and len(members) > 1 else _annotation(members, part)
    return [name for one in _members(current) for name in one.model_fields]


def _tag(model: type[BaseModel]) -> str | None:
    for name in ("source", "family", "kind"):
        field = model.model_fields.get(name)
        if field is not None and isinstance(field.default, str):
            return field.default
    return None


def _annotation(members: list[type[BaseModel]], part: Any) -> Any:
    for one in members:
        if part in one.model_fields:
            return one.model_fields[part].annotation
    return None


def _members(annotation: Any) -> list[type[BaseModel]]:
    """Return every record class inside an annotation: itself, or the members of a union, list or tuple."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    found: list[type[BaseModel]] = []
    for inner in getattr(annotation, "__args__", ()):
        found.extend(_members(inner))
    return found
