"""Keras 3 models on the torch backend: recognising, opening, rebuilding and turning them into torch modules."""

import importlib
import os
import sys
import tempfile
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from equipoise.core.extras import require


def keras_module() -> ModuleType:
    """Return Keras, imported on the torch backend.

    Raises:
        ModuleNotFoundError: The extra `keras` is not installed.
        RuntimeError: Keras was imported with another backend before.
    """
    if "keras" not in sys.modules:
        os.environ["KERAS_BACKEND"] = "torch"
        with tempfile.TemporaryDirectory() as folder:
            # Keras writes a settings file into the home folder when there is none; here it writes into one that goes.
            strange = "KERAS_HOME" not in os.environ and not (Path.home() / ".keras").exists()
            if strange:
                os.environ["KERAS_HOME"] = folder
            try:
                keras = require("keras", "keras")
            finally:
                if strange:
                    del os.environ["KERAS_HOME"]
    else:
        keras = importlib.import_module("keras")
    backend = str(keras.backend.backend())
    if backend != "torch":
        raise RuntimeError(
            f"got Keras on the backend {backend!r}; expected 'torch'. "
            "Set the environment variable KERAS_BACKEND=torch before Keras is first imported."
        )
    return keras


def is_keras(module: object) -> bool:
    """Whether a module is a Keras model; does not import Keras."""
    keras = sys.modules.get("keras")
    return keras is not None and hasattr(keras, "Model") and isinstance(module, keras.Model)


def open_keras(path: Path) -> nn.Module:
    """Return the model of a `.keras` or `.h5` file; nothing in it is compiled or unpickled.

    Raises:
        ValueError: The file is no Keras model, or holds layers that only its own program knows.
    """
    keras = keras_module()
    require("h5py", "keras")
    try:
        with warnings.catch_warnings():
            # Keras 3.15 reads its own variables in a way that numpy 2 warns about; the user can do nothing about it.
            warnings.filterwarnings("ignore", message="__array__ implementation", category=DeprecationWarning)
            model: nn.Module = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as problem:
        raise ValueError(
            f"{path}: got a file that Keras does not open ({first_line(problem)}); expected a model saved with "
            "`model.save`, without Lambda layers. Save it anew, or give a factory that builds it."
        ) from problem
    return model


def keras_json(model: nn.Module) -> str:
    """Return the configuration of a Keras model as JSON, or nothing when only its own program can rebuild it."""
    keras = keras_module()
    try:
        text = str(_keras(model).to_json())
        keras.models.model_from_json(text)
    except Exception:
        return ""
    return text


def from_keras_json(text: str) -> nn.Module:
    """Return a Keras model, with weights to be set, of its configuration.

    Raises:
        ValueError: Keras cannot rebuild it.
    """
    keras = keras_module()
    try:
        model: nn.Module = keras.models.model_from_json(text)
    except Exception as problem:
        raise ValueError(
            f"got a Keras configuration that cannot be rebuilt ({first_line(problem)}); expected one of built-in "
            "layers. Load the network with the module that holds its weights: `load_network(path, module=...)`."
        ) from problem
    return model


def is_keras_layer(module: object) -> bool:
    """Whether a module is a Keras layer (a model is one, too); does not import Keras."""
    keras = sys.modules.get("keras")
    return keras is not None and hasattr(keras, "Layer") and isinstance(module, keras.Layer)


def _keras(model: nn.Module) -> Any:
    # Keras ships no types; everything read from a model is checked where it is used.
    return model


def first_line(problem: Exception) -> str:
    """Return an error's class and the first line of its message."""
    lines = [line for line in str(problem).splitlines() if line.strip()]
    return f"{type(problem).__name__}: {lines[0][:200]}" if lines else type(problem).__name__
