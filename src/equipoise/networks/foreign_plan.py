"""From a plan's reference to a network made elsewhere to the network."""

from pathlib import Path

from equipoise.core.network_plan import ForeignNetwork
from equipoise.core.preprocessing import Preprocessing
from equipoise.core.signature import Signature
from equipoise.networks.adopt import adopt
from equipoise.networks.factory import call_factory
from equipoise.networks.foreign_files import file_digest
from equipoise.networks.network import Network


def build_foreign(
    plan: ForeignNetwork, signature: Signature, preprocessing: Preprocessing, *, seed: int = 0, trust: bool = False
) -> Network:
    """Return the network that a plan refers to; see `adopt` for how it is fitted in; `seed` draws for its surgeries.

    Raises:
        ValueError: The plan names neither file nor factory, or the file is not the one the plan was made with.
        FileNotFoundError: There is no such file.
    """
    if not plan.path and not plan.factory:
        raise ValueError(
            "got a foreign network with neither path nor factory; expected at least one. "
            "Set `network.path` to its file or `network.factory` to the 'module:function' that builds it."
        )
    path = Path(plan.path)
    if plan.path and plan.digest and path.is_file() and file_digest(path) != plan.digest:
        raise ValueError(
            f"{path}: got a file with the SHA-256 {file_digest(path)[:12]}...; expected {plan.digest[:12]}..., the one "
            "this plan was made with. Restore that file, or remove `network.digest` to use the new one."
        )
    return adopt(
        path if plan.path else call_factory(plan.factory),
        signature,
        output=plan.output,
        factory=plan.factory,
        preprocessing=preprocessing,
        standardise=plan.standardise,
        standardise_targets=plan.standardise_targets,
        surgeries=plan.surgeries,
        seed=seed,
        trust=trust,
    )
