"""A network in one safetensors file whose header holds everything needed to build it again."""

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError, safe_open
from torch import nn

from equipoise.core.atomic import write_with
from equipoise.core.network_plan import ForeignNetwork, NetworkPlan
from equipoise.core.plan import Ensemble
from equipoise.core.preprocessing import Preprocessing
from equipoise.core.signature import Signature
from equipoise.networks.adopt import assemble, operated, strip
from equipoise.networks.build import build
from equipoise.networks.ensemble import Members, join, member_plan
from equipoise.networks.factory import call_factory
from equipoise.networks.foreign import ForeignBody
from equipoise.networks.foreign_files import file_digest, open_foreign
from equipoise.networks.keras_models import from_keras_json, is_keras
from equipoise.networks.keras_torch import rebuild_torch
from equipoise.networks.network import Network
from equipoise.networks.origin import Origin
from equipoise.networks.tensors import load_tensors, save_tensors, unique_tensors

FORMAT = "1"

KEY = "equipoise"
"""The one metadata key, which holds everything as JSON."""
"""Version of the header's layout."""

_PLAN: TypeAdapter[NetworkPlan] = TypeAdapter(NetworkPlan)
_ENSEMBLE: TypeAdapter[Ensemble] = TypeAdapter(Ensemble)


@dataclass(frozen=True, slots=True)
class Header:
    """What the header of a saved network says.

    Attributes:
        plan: The network's plan.
        signature: What goes in and comes out.
        preprocessing: Numbers fitted on the training part.
        origin: How a foreign network was fitted in; None for a family.
        aliases: For tensors known by several names: each further name, and the one it is stored under.
        notes: `Network.notes`.
        extra: What the writer added.
        members: Number of networks that answer together; 0 for a single one.
        ensemble: How these differ.
    """

    plan: NetworkPlan
    signature: Signature
    preprocessing: Preprocessing
    origin: Origin | None
    aliases: Mapping[str, str]
    notes: tuple[str, ...]
    extra: Mapping[str, str]
    members: int
    ensemble: Ensemble


def save_network(
    network: Network,
    plan: NetworkPlan,
    preprocessing: Preprocessing,
    path: Path,
    *,
    extra: Mapping[str, str] | None = None,
) -> None:
    """Write a network atomically as one `.safetensors` file.

    Tensors with several names are stored once. A network handed over as a module in Python is saved with its weights;
    to load it, its module must be handed over again.

    Args:
        network: What to save.
        plan: The plan it was built by.
        preprocessing: The numbers it was built with.
        path: The file.
        extra: Added to the header, such as the run that made it.

    Raises:
        OSError: The disk is full or the folder cannot be written; what stood at `path` is untouched.
    """
    tensors, aliases = unique_tensors(network)
    several = network.body if isinstance(network.body, Members) else None
    body = several.bodies[0] if several is not None else network.body
    origin = body.origin if isinstance(body, ForeignBody) else None
    header = {
        "format": FORMAT,
        "plan": plan.model_dump_json(),
        "signature": network.signature.model_dump_json(),
        "preprocessing": preprocessing.model_dump_json(),
        "origin": origin.model_dump_json() if origin else "",
        "aliases": json.dumps(aliases),
        "notes": json.dumps(network.notes),
        "extra": json.dumps(dict(extra or {})),
        "members": str(len(several.bodies) if several is not None else 0),
        "ensemble": several.ensemble if several is not None else "deep",
    }
    # One key, since safetensors writes several in a random order: the same network is the same bytes.
    metadata = {KEY: json.dumps(header)}
    write_with(path, lambda temporary: save_tensors(tensors, temporary, metadata))


def read_header(path: Path) -> Header:
    """Return what the header of a saved network says, without reading its tensors.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is damaged, was not written by `save_network`, or by a newer version.
    """
    if not path.is_file():
        raise FileNotFoundError(f"got the network file {path}, which does not exist; expected a file. Check the path.")
    try:
        with safe_open(path, framework="pt") as file:
            raw = file.metadata() or {}
    except SafetensorError as problem:
        raise ValueError(
            f"{path}: got a damaged or wrong file ({problem}); expected a network saved as safetensors. "
            "Copy it anew from where it was made, or fit again."
        ) from problem
    try:
        raw = json.loads(raw.get(KEY, "{}"))
    except json.JSONDecodeError:
        raw = dict[str, str]()
    if raw.get("format") != FORMAT:
        raise ValueError(
            f"{path}: got safetensors with the format {raw.get('format', 'of another program')!r}; expected "
            f"{FORMAT!r}. Update Equipoise, or name the factory that builds the network of these weights."
        )
    try:
        return Header(
            plan=_PLAN.validate_json(raw["plan"]),
            signature=Signature.model_validate_json(raw["signature"]),
            preprocessing=Preprocessing.model_validate_json(raw["preprocessing"]),
            origin=Origin.model_validate_json(raw["origin"]) if raw["origin"] else None,
            aliases=json.loads(raw["aliases"]),
            notes=tuple(json.loads(raw["notes"])),
            extra=json.loads(raw["extra"]),
            members=int(raw.get("members", 0)),
            ensemble=_ENSEMBLE.validate_python(raw.get("ensemble", "deep")),
        )
    except (KeyError, ValidationError, json.JSONDecodeError) as problem:
        raise ValueError(
            f"{path}: got a header that cannot be read ({type(problem).__name__}: {str(problem).splitlines()[0]}); "
            "expected the one `save_network` writes. Restore the file from the run that made it."
        ) from problem


def load_network(path: Path, *, trust: bool = False, module: nn.Module | None = None) -> Network:
    """Return a saved network, in evaluation mode.

    Args:
        path: What `save_network` wrote.
        trust: Whether code that the file names may be run: the factory of a foreign network, a `.pt2` file.
        module: For a foreign network: the module that takes the weights, instead of the factory; it is changed.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is damaged or of another program, its tensors do not fit, or it names code to run and
            `trust` is False.
    """
    header = read_header(path)
    if header.members:
        several = [_built(header, i, path, trust=trust, module=copy.deepcopy(module)) for i in range(header.members)]
        network = join(several, header.ensemble)
    else:
        network = _built(header, 0, path, trust=trust, module=module)
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    load_tensors(network, tensors, str(path))
    return network.eval()


def _built(header: Header, position: int, path: Path, *, trust: bool, module: nn.Module | None) -> Network:
    """Return a network without its weights: the one of a file, or the one at a position of an ensemble."""
    if header.origin is None:
        plan = member_plan(header.plan, header.ensemble, position)
        return build(plan, header.signature, header.preprocessing, seed=0)
    body = _foreign_module(header.origin, path, trust=trust, module=module)
    body = operated(body, header.origin, header.signature, header.preprocessing)
    if header.origin.stripped:
        body = strip(body, header.signature.task) or body
    return assemble(body, header.origin, header.signature, header.preprocessing, notes=header.notes)


def foreign_plan_of(network: Network) -> ForeignNetwork:
    """Return the plan that stands for an adopted network.

    Raises:
        ValueError: The network is of a family.
    """
    if not isinstance(network.body, ForeignBody):
        raise ValueError(
            f"got a network whose body is {type(network.body).__name__}; expected an adopted one. "
            "Use the plan it was built by."
        )
    origin = network.body.origin
    return ForeignNetwork(
        path=origin.path,
        factory=origin.factory,
        output=origin.output,
        standardise=origin.standardise,
        surgeries=origin.surgeries,
        standardise_targets=origin.standardise_targets,
        digest=origin.digest,
    )


def _foreign_module(origin: Origin, path: Path, *, trust: bool, module: nn.Module | None) -> nn.Module:
    if module is None and origin.kind == "keras" and origin.keras:
        return rebuild_torch(from_keras_json(origin.keras), converted=origin.converted)
    if module is None and origin.kind == "factory":
        if not trust:
            raise ValueError(
                f"{path}: got a network that only its factory {origin.factory!r} can build; expected leave to run that "
                "code. Pass --trust (trust=True), or hand the module over: load_network(path, module=...)."
            )
        module = call_factory(origin.factory)
    if module is None and origin.kind == "pt2":
        source = Path(origin.path)
        if source.is_file() and file_digest(source) != origin.digest:
            raise ValueError(
                f"{source}: got another file than the one {path} was saved from; expected the same SHA-256. Restore it."
            )
        return open_foreign(source, "", trust=trust)[0]
    if module is None:
        raise ValueError(
            f"{path}: got a network that was handed over in Python; expected its module again, since the file holds "
            "only its weights. Call load_network(path, module=...) with a module of the same class."
        )
    return rebuild_torch(module, converted=origin.converted) if is_keras(module) else module
