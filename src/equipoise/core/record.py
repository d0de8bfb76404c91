"""The frozen record that every object crossing a seam is made of, and how records are read and written."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, WithJsonSchema

from equipoise.core.atomic import write_text
from equipoise.core.complaint import complaints

NOT_FINITE = {"Infinity": math.inf, "-Infinity": -math.inf, "NaN": math.nan}
"""JSON has no such numbers, so files hold these words in their place."""

Number = Annotated[
    float,
    BeforeValidator(lambda value: NOT_FINITE.get(value, value) if isinstance(value, str) else value),
    WithJsonSchema({"anyOf": [{"type": "number"}, {"enum": list(NOT_FINITE)}]}),
]
"""A float that may be infinite or not a number, also after a trip through a file."""


class Record(BaseModel):
    """A frozen, strictly checked, JSON-able value without tensors.

    Unknown keys and wrong types are refused; nothing is coerced silently. Two records are equal when
    their fields are.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=True, ser_json_inf_nan="constants")

    @classmethod
    def read(cls, values: Mapping[str, Any], *, origin: str = "record") -> Self:
        """Return the record that plain values (as JSON or TOML give them) describe.

        Args:
            values: Nested mappings, lists, strings, numbers and booleans.
            origin: Where the values came from; error messages begin with it.

        Raises:
            ValueError: An unknown key, a missing key or a wrong type; the message names the origin, the key,
                what came, what was expected and the nearest valid name.
        """
        try:
            return cls.model_validate_json(json.dumps(values, default=str), strict=True)
        except ValidationError as problem:
            raise ValueError(complaints(problem, cls, origin)) from None

    @classmethod
    def load(cls, path: Path) -> Self:
        """Return the record in a JSON file; see `read` for what is refused."""
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except json.JSONDecodeError as problem:
            raise ValueError(
                f"{path}: got text that is not JSON ({problem.msg} at line {problem.lineno}); expected a "
                f"{cls.__name__} record. Write the file anew or restore it from the run that made it."
            ) from None
        return cls.read(values, origin=str(path))

    def plain(self) -> dict[str, Any]:
        """Return the record as nested plain values, ready for JSON: infinities and NaN become words."""
        values: dict[str, Any] = _finite(self.model_dump(mode="json"))
        return values

    def save(self, path: Path) -> None:
        """Write the record as indented JSON, atomically: the old file stays whole if the writing fails."""
        write_text(path, json.dumps(self.plain(), indent=2, ensure_ascii=False, allow_nan=False) + "\n")

    def replace(self, **changes: object) -> Self:
        """Return a copy with some fields changed, checked as strictly as a new record.

        A dotted name reaches a nested record when written with double underscores:
        `plan.replace(recipe__learning_rate=0.01)`.
        """
        values = self.plain()
        for name, value in changes.items():
            inner = values
            *path, last = name.split("__")
            for key in path:
                inner = inner[key]
            inner[last] = value.plain() if isinstance(value, Record) else value
        return type(self).read(values, origin=type(self).__name__)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_finite(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value
