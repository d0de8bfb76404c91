"""Opening files that hold a network made elsewhere."""

import hashlib
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from equipoise.networks.factory import call_factory
from equipoise.networks.keras_models import is_keras, open_keras
from equipoise.networks.origin import Origin
from equipoise.networks.tensors import load_tensors


class ExportedNetwork(nn.Module):
    """A network read from a `.pt2` file: it computes as exported, whatever mode it is put into."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, inputs: Tensor) -> Tensor:
        """Return what the exported program returns."""
        outputs: Tensor = self.module(inputs)
        return outputs

    def train(self, mode: bool = True) -> "ExportedNetwork":
        """Note the mode; an exported program has no modes and refuses to be told."""
        self.training = mode
        return self


def open_foreign(path: Path, factory: str, *, trust: bool) -> tuple[nn.Module, Origin]:
    """Return the module in a file and where it came from.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file's format is refused or unknown, or it is damaged.
    """
    if not path.is_file():
        raise FileNotFoundError(f"got the network file {path}, which does not exist; expected a file. Check the path.")
    suffix = path.suffix.lower()
    if suffix == ".onnx":
        raise ValueError(
            f"{path}: got an ONNX file; expected a network that torch can differentiate. Export the original with "
            "torch.export.save to .pt2, or save its weights as .safetensors and name the factory that builds it."
        )
    if suffix in (".keras", ".h5", ".hdf5") and not factory:
        return open_keras(path), Origin(kind="keras")
    if suffix == ".pt2":
        return _exported(path, trust=trust)
    if factory:
        module = call_factory(factory)
        if suffix in (".keras", ".h5", ".hdf5"):
            _keras_weights(module, path)
        else:
            load_tensors(module, _unwrapped(_read_tensors(path)), str(path))
        return module, Origin(kind="factory", factory=factory)
    if suffix in (".pt", ".pth", ".bin", ".pkl"):
        return _pickled(path, trust=trust), Origin(kind="module")
    what = (
        "weights without the network they belong to" if suffix == ".safetensors" else f"a {suffix or 'nameless'} file"
    )
    raise ValueError(
        f"{path}: got {what}; expected .keras, .h5, .pt2, or .safetensors with a factory. "
        "Set `network.factory` to the 'module:function' that builds the network."
    )


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _exported(path: Path, *, trust: bool) -> tuple[nn.Module, Origin]:
    if not trust:
        raise ValueError(
            f"{path}: got a .pt2 file, which torch opens with pickle and which can therefore run any code; expected a "
            "file that cannot. Pass --trust (trust=True) if you know who made it, or save the weights as .safetensors "
            "and name the factory that builds the network."
        )
    try:
        module = torch.export.load(path).module()
    except Exception as problem:
        raise ValueError(
            f"{path}: got a file that torch cannot open ({type(problem).__name__}: {str(problem)[:200]}); expected one "
            "written by torch.export.save of this torch version. Export it anew."
        ) from problem
    return ExportedNetwork(module), Origin(kind="pt2", path=str(path.resolve()), digest=file_digest(path))


def _pickled(path: Path, *, trust: bool) -> nn.Module:
    if not trust:
        raise ValueError(
            f"{path}: got a pickle, which can run any code when opened; expected a file that cannot. Save the weights "
            "with safetensors and name the factory that builds the network, give the factory for this file (then only "
            "tensors are read), or pass --trust (trust=True) if you know who made it."
        )
    if _is_torchscript(path):
        raise ValueError(
            f"{path}: got a TorchScript archive; expected a pickled nn.Module. "
            "Export the original with torch.export.save to .pt2."
        )
    module = torch.load(path, map_location="cpu", weights_only=not trust)
    if not isinstance(module, nn.Module):
        raise ValueError(
            f"{path}: got a pickle of {type(module).__name__}; expected an nn.Module. "
            "Name the factory that builds the network these weights belong to."
        )
    return module


def _read_tensors(path: Path) -> Mapping[str, object]:
    """Return the tensors of a `.safetensors` file or of a pickle from which nothing but tensors is read."""
    if path.suffix.lower() == ".safetensors":
        try:
            with safe_open(path, framework="pt") as file:
                return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        except SafetensorError as problem:
            raise ValueError(
                f"{path}: got a damaged or wrong file ({problem}); expected safetensors. Copy or save it anew."
            ) from problem
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as problem:
        raise ValueError(
            f"{path}: got a file from which tensors alone cannot be read ({type(problem).__name__}); expected a state "
            "dict. Save `network.state_dict()` as .safetensors."
        ) from problem
    if isinstance(content, Mapping):
        return content
    raise ValueError(
        f"{path}: got {type(content).__name__}; expected a state dict. Save `network.state_dict()` as .safetensors."
    )


def _unwrapped(content: Mapping[str, object]) -> dict[str, Tensor]:
    """Return the tensors of a state dict, out of a `state_dict` entry and without the prefix `module.`."""
    inner = content.get("state_dict")
    if isinstance(inner, Mapping):
        content = inner
    tensors = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    if tensors and all(name.startswith("module.") for name in tensors):
        return {name.removeprefix("module."): value for name, value in tensors.items()}
    return tensors


def _keras_weights(module: nn.Module, path: Path) -> None:
    if not is_keras(module):
        raise ValueError(
            f"{path}: got a Keras file for a factory that returns {type(module).__name__}; expected a Keras model from "
            "the factory. Leave the factory out, or name one that builds the Keras model."
        )
    model: Any = module
    try:
        model.load_weights(path)
    except Exception as problem:
        raise ValueError(
            f"{path}: got weights that do not fit the factory's model ({str(problem).splitlines()[0][:200]}); expected "
            "those of the same model. Use the file together with the program that wrote it."
        ) from problem


def _is_torchscript(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any("/code/" in name for name in archive.namelist())
