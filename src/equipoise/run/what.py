"""Finds out what the user handed over, and makes a plan of it."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from equipoise.core.complaint import nearest
from equipoise.core.data_plan import (
    ArrayFile,
    DataPlan,
    FactoryData,
    GivenData,
    HuggingFaceData,
    ImageData,
    SoundData,
    TableData,
    TextData,
)
from equipoise.core.factory import factory_function, is_factory
from equipoise.core.network_plan import ForeignNetwork
from equipoise.core.plan import Plan, read_plan
from equipoise.core.progress import Listener, silent
from equipoise.data.given import splits_from
from equipoise.data.load import load
from equipoise.data.samples import Splits
from equipoise.data.text import is_text_table
from equipoise.run.bundled import bundled_plans
from equipoise.run.choose import choose_plan

IMAGES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff"}
SOUNDS = {".wav", ".flac", ".ogg"}
TABLES = {".csv", ".tsv", ".parquet"}
NETWORKS = {".keras", ".h5", ".pt2", ".pt", ".pth", ".onnx", ".safetensors"}


@dataclass(frozen=True, slots=True, eq=False)
class Resolved:
    """A plan, and its data when they had to be read to choose it."""

    plan: Plan
    splits: Splits | None = None


def resolve(
    what: Any,
    *,
    target: str | None = None,
    task: str | None = None,
    network: str | None = None,
    seed: int | None = None,
    workspace: Path | None = None,
    on_progress: Listener = silent,
) -> Resolved:
    """Return the plan for whatever the user names or hands over.

    Args:
        what: A bundled plan's name, a `plan.toml`, a run folder, a table, a folder of images, sounds or texts, an
            `.npz`, `module:function`; or, from Python, a `Plan`, a `DataFrame`, (inputs, targets) or a `Dataset`.
        target: Column or array to predict, for bare data.
        task: The task, for bare data, when it cannot be told from the target.
        network: A network to use instead of the plan's: a file, or `module:function`.
        seed: Replaces the plan's seed.
        workspace: Where generated files may be written.
        on_progress: Told how far reading is.

    Raises:
        ValueError: Nothing of that name is known, or the data cannot be used; the message says what to do.
        FileNotFoundError: A file that was named is not there.
    """
    found = _named(what) if isinstance(what, (str, Path)) else what
    if isinstance(found, Plan):
        resolved = Resolved(found)
        given = {"--target": target, "--task": task}
        for flag, value in given.items():
            if value is not None:
                raise ValueError(
                    f"got {flag} {value!r} with the plan {found.name!r}; expected it only with bare data. "
                    "Set it in the plan's data section."
                )
    else:
        resolved = _from_data(found, target, task, seed or 0, workspace, on_progress)
    plan = resolved.plan
    if seed is not None:
        plan = plan.replace(seed=seed)
    if network is not None:
        plan = plan.replace(network=_foreign(network))
    return Resolved(plan, resolved.splits)


def plan(
    what: Any,
    *,
    target: str | None = None,
    task: str | None = None,
    network: str | None = None,
    seed: int | None = None,
) -> Plan:
    """Return the plan for whatever `equipoise run` takes; bare data are read, and the choices explained in `why`.

    Args:
        what: A bundled plan's name, a path, `module:function`, or data: a `DataFrame`, (inputs, targets), a `Dataset`.
        target: Column or array to predict, for bare data.
        task: The task, for bare data, when it cannot be told from the target.
        network: A network to use instead of the plan's: a file, or `module:function`.
        seed: Replaces the plan's seed.

    Raises:
        ValueError: Nothing of that name is known, or the data cannot be used.
        FileNotFoundError: A file that was named is not there.
    """
    return resolve(what, target=target, task=task, network=network, seed=seed).plan


def _from_data(
    found: Any,
    target: str | None,
    task: str | None,
    seed: int,
    workspace: Path | None,
    on_progress: Listener,
) -> Resolved:
    if isinstance(found, _DATA_PLANS):
        data: DataPlan = _with_target(found, target).replace(task=task)
        splits = load(data, seed, workspace=workspace, on_progress=on_progress)
        return Resolved(choose_plan(splits, data, seed), splits)
    given = GivenData(targets=(target,) if target else ()).replace(task=task)
    splits = splits_from(found, seed=seed, split=given.split, task=given.task, targets=given.targets)
    data = given.replace(digest=splits.digest, task=splits.signature.task.kind)
    return Resolved(choose_plan(splits, data, seed), splits)


_DATA_PLANS = (ArrayFile, FactoryData, HuggingFaceData, ImageData, SoundData, TableData, TextData)


def _with_target(data: Any, target: str | None) -> Any:
    if isinstance(data, TableData) and is_text_table(data.path, target):
        return TextData(path=data.path, target=target)
    if target is None:
        return data
    if isinstance(data, (TableData, FactoryData)):
        return data.replace(targets=[name.strip() for name in target.split(",")])
    if isinstance(data, ImageData):
        raise ValueError(
            f"got --target {target!r} for a folder of images; expected none, since the sub-folders are the classes. "
            "Leave --target out."
        )
    return data.replace(target=target)


def _named(what: str | Path) -> Any:
    """Return the plan or the data plan that a name or a path stands for."""
    text, path = str(what), Path(what).expanduser()
    plans = bundled_plans()
    if text in plans:
        return read_plan(plans[text])
    if path.is_dir():
        return _folder(path)
    if path.is_file():
        return _file(path)
    if is_factory(text):
        return _made_by(text)
    suffix = path.suffix.lower()
    if suffix in TABLES | NETWORKS | {".toml", ".npz"} or "/" in text:
        there = nearest(path.name, [one.name for one in path.parent.iterdir()]) if path.parent.is_dir() else ""
        raise FileNotFoundError(f"got {text!r}, which is not there; expected a file or folder. {there} Check the path.")
    raise ValueError(
        f"got {text!r}; expected a bundled plan, a plan.toml, a table (.csv, .parquet), an .npz, a folder of images, "
        f"sounds or texts, or module:function. {nearest(text, list(plans))}"
    )


def _file(path: Path) -> Any:
    suffix = path.suffix.lower()
    if suffix == ".toml":
        return read_plan(path)
    if suffix in TABLES:
        return TableData(path=str(path.resolve()))
    if suffix == ".npz":
        return ArrayFile(path=str(path.resolve()))
    if suffix in NETWORKS:
        raise ValueError(
            f"got a network, {path.name!r}, without data; expected data to train or examine it on. "
            f"Run: equipoise run DATA --network {path}"
        )
    raise ValueError(
        f"got {path.name!r} with the ending {suffix!r}; expected .toml, .csv, .tsv, .parquet or .npz, or a folder. "
        "Convert the data to one of these."
    )


def _folder(path: Path) -> Any:
    if (path / "plan.toml").is_file():
        return read_plan(path / "plan.toml")
    if (path / "dataset_info.json").is_file() or (path / "dataset_dict.json").is_file():
        return HuggingFaceData(path=str(path.resolve()))
    kinds = Counter(_kind(one) for one in path.rglob("*") if one.is_file() and not one.name.startswith("."))
    kinds.pop("", None)
    if not kinds:
        raise ValueError(
            f"got the folder {str(path)!r} without any image, sound or text file; expected one sub-folder a class with "
            "such files in it. Put the files into sub-folders named after their classes."
        )
    kind = kinds.most_common(1)[0][0]
    made: dict[str, Callable[[str], Any]] = {
        "image": lambda place: ImageData(path=place),
        "sound": lambda place: _sound(Path(place)),
        "text": lambda place: TextData(path=place),
    }
    return made[kind](str(path.resolve()))


def _sound(path: Path) -> SoundData:
    tables = sorted(path.glob("*.csv"))
    has_classes = any(one.is_dir() for one in path.iterdir() if not one.name.startswith("."))
    if tables and not has_classes:
        return SoundData(path=str(path), labels=tables[0].name)
    return SoundData(path=str(path))


def _kind(path: Path) -> str:
    suffix = path.suffix.lower()
    return "image" if suffix in IMAGES else "sound" if suffix in SOUNDS else "text" if suffix == ".txt" else ""


def _made_by(text: str) -> Any:
    """Return the plan that `module:function` returns, or a plan for the data that it returns."""
    found = factory_function(text)()
    if isinstance(found, Plan):
        return found
    return FactoryData(factory=text)


def _foreign(network: str) -> dict[str, Any]:
    """Return the network section for a file or `module:function`, as plain values."""
    if is_factory(network):
        return ForeignNetwork(factory=network).plain()
    weights, _, factory = network.partition("@")
    path = Path(weights).expanduser()
    if not path.is_file():
        raise FileNotFoundError(
            f"got --network {network!r}, which is not there; expected a .keras, .h5, .pt2 or .safetensors file, "
            "or module:function. Check the path."
        )
    return ForeignNetwork(path=str(path.resolve()), factory=factory).plain()
