"""Modules that turn raw inputs into features, and back where that is possible."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from equipoise.core.preprocessing import (
    ArrayNumbers,
    ImageNumbers,
    InputNumbers,
    NoNumbers,
    Preprocessing,
    SoundNumbers,
    TableNumbers,
)
from equipoise.core.signature import ArrayInput, ImageInput, InputSpec, Signature, SoundInput, TableInput
from equipoise.networks.log_mel import LogMel

_VALUE, _ONE_HOT, _INDICATOR = 0, 1, 2


class Standardise(nn.Module):
    """Subtract a mean and divide by a scale, both broadcast against one sample."""

    mean: Tensor
    scale: Tensor

    def __init__(self, mean: Tensor, scale: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("scale", scale)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return (inputs - mean) / scale, same shape."""
        return (inputs - self.mean) / self.scale


class Unstandardise(nn.Module):
    """Undo `Standardise`."""

    mean: Tensor
    scale: Tensor

    def __init__(self, mean: Tensor, scale: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean.clone())
        self.register_buffer("scale", scale.clone())

    def forward(self, features: Tensor) -> Tensor:
        """Return features * scale + mean, same shape."""
        return features * self.scale + self.mean


class TableFeatures(nn.Module):
    """Impute, standardise and one-hot encode the rows of a table.

    Features come in the order of the columns (a category column gives one feature a category, all zero where it is
    missing or unseen), followed by one 0/1 indicator for each column that had missing values in the training part.
    """

    source: Tensor
    role: Tensor
    code: Tensor
    fill: Tensor
    mean: Tensor
    scale: Tensor

    def __init__(self, numbers: TableNumbers, spec: TableInput, *, standardise: bool) -> None:
        super().__init__()
        rows = _table_rows(numbers, spec)
        source = torch.tensor([row[0] for row in rows])
        self.register_buffer("source", source)
        self.register_buffer("role", torch.tensor([row[1] for row in rows]))
        self.register_buffer("code", torch.tensor([float(row[2]) for row in rows]))
        self.register_buffer("fill", _numbers(numbers.fill)[source])
        plain = torch.tensor([row[1] != _VALUE for row in rows])
        keep = torch.ones_like(plain) if not standardise else plain
        self.register_buffer("mean", _numbers(numbers.mean)[source].masked_fill(keep, 0.0))
        self.register_buffer("scale", _numbers(numbers.scale)[source].masked_fill(keep, 1.0))

    def forward(self, inputs: Tensor) -> Tensor:
        """Return features (n, features) of raw rows (n, columns) with NaN where missing."""
        picked = inputs.index_select(1, self.source)
        missing = picked.isnan()
        values = (torch.where(missing, self.fill, picked) - self.mean) / self.scale
        one_hot = (picked == self.code).to(values.dtype)
        coded = torch.where(self.role == _ONE_HOT, one_hot, missing.to(values.dtype))
        return torch.where(self.role == _VALUE, values, coded)


class TableValues(nn.Module):
    """Undo `TableFeatures`: raw columns from features; a category is the one with the largest feature."""

    mean: Tensor
    scale: Tensor

    def __init__(self, table: TableFeatures, numbers: TableNumbers, spec: TableInput) -> None:
        super().__init__()
        self.widths = numbers.widths
        self.categories = tuple(column.kind == "category" for column in spec.columns)
        self.register_buffer("mean", table.mean.clone())
        self.register_buffer("scale", table.scale.clone())

    def forward(self, features: Tensor) -> Tensor:
        """Return raw rows (n, columns) of features (n, features)."""
        values = features * self.scale + self.mean
        parts = values[:, : sum(self.widths)].split(self.widths, dim=1)
        columns = [_category(part) if category else part for part, category in zip(parts, self.categories, strict=True)]
        return torch.cat(columns, dim=1)


def preprocess_module(signature: Signature, preprocessing: Preprocessing, *, standardise: bool = True) -> nn.Module:
    """Return the module from raw inputs to features.

    Args:
        signature: What the raw inputs are.
        preprocessing: Numbers fitted on the training part.
        standardise: False leaves raw units; tables are still imputed and one-hot encoded, sounds still become log-mel
            spectrograms.

    Raises:
        ValueError: The numbers do not fit the inputs.
    """
    spec, numbers = signature.inputs, preprocessing.inputs
    _check(spec, numbers)
    if isinstance(numbers, TableNumbers) and isinstance(spec, TableInput):
        return TableFeatures(numbers, spec, standardise=standardise)
    if isinstance(numbers, SoundNumbers):
        mel = LogMel(numbers)
        scale = Standardise(_numbers(numbers.mean), _numbers(numbers.scale))
        return nn.Sequential(mel, scale) if standardise else nn.Sequential(mel)
    if standardise and isinstance(numbers, ImageNumbers):
        return Standardise(_numbers(numbers.mean)[:, None, None], _numbers(numbers.scale)[:, None, None])
    if standardise and isinstance(numbers, ArrayNumbers):
        return Standardise(_numbers(numbers.mean), _numbers(numbers.scale))
    return nn.Identity()


def inverse_module(preprocess: nn.Module, signature: Signature, preprocessing: Preprocessing) -> nn.Module | None:
    """Return the module from features back to raw inputs, or None where there is none (sound)."""
    if isinstance(preprocess, Standardise):
        return Unstandardise(preprocess.mean, preprocess.scale)
    spec, numbers = signature.inputs, preprocessing.inputs
    if isinstance(preprocess, TableFeatures) and isinstance(numbers, TableNumbers) and isinstance(spec, TableInput):
        return TableValues(preprocess, numbers, spec)
    return nn.Identity() if isinstance(preprocess, nn.Identity) else None


def _category(one_hot: Tensor) -> Tensor:
    """Return the index (n, 1) of the largest of (n, categories); NaN where the column has no category at all."""
    if one_hot.shape[1] == 0:
        return torch.full_like(one_hot.sum(1, keepdim=True), torch.nan)
    return one_hot.argmax(1, keepdim=True).to(one_hot.dtype)


def _numbers(values: Sequence[float]) -> Tensor:
    return torch.tensor(tuple(values), dtype=torch.float32)


def _table_rows(numbers: TableNumbers, spec: TableInput) -> list[tuple[int, int, int]]:
    """Return (source column, role, category code) of each feature, in order."""
    rows: list[tuple[int, int, int]] = []
    for position, (column, width) in enumerate(zip(spec.columns, numbers.widths, strict=True)):
        one_hot = column.kind == "category"
        rows += [(position, _ONE_HOT if one_hot else _VALUE, code) for code in range(width)]
    rows += [(position, _INDICATOR, 0) for position, missing in enumerate(numbers.missing) if missing]
    return rows


def _check(spec: InputSpec, numbers: InputNumbers) -> None:
    if isinstance(numbers, NoNumbers):
        return
    if numbers.kind != spec.kind:
        raise ValueError(
            f"got numbers fitted on {numbers.kind} inputs for {spec.kind} inputs; expected the same kind. "
            "Fit the pre-processing on the same data as the signature."
        )
    length = len(numbers.mean)
    expected = _expected_length(spec, numbers)
    if length not in expected or len(numbers.scale) != length:
        raise ValueError(
            f"got {length} means and {len(numbers.scale)} scales for {spec.kind} inputs; expected "
            f"{' or '.join(str(one) for one in sorted(expected))} of each. "
            "Fit the pre-processing on the same data as the signature."
        )


def _expected_length(spec: InputSpec, numbers: InputNumbers) -> set[int]:
    if isinstance(spec, TableInput):
        return {len(spec.columns)}
    if isinstance(spec, ImageInput):
        return {spec.channels}
    if isinstance(spec, SoundInput) and isinstance(numbers, SoundNumbers):
        return {numbers.bands}
    if isinstance(spec, ArrayInput):
        return {1, spec.shape[-1] if spec.shape else 1}
    return {0}
