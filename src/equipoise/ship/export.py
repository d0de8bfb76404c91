"""Export: the network as one file that others can run, opened again and compared before it is kept."""

from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import get_args

from torch import Tensor

from equipoise.core.atomic import write_with
from equipoise.core.network_plan import NetworkPlan
from equipoise.core.preprocessing import Preprocessing
from equipoise.networks.network import Network
from equipoise.ship import onnx_file, pt2_file, safetensors_file
from equipoise.ship.answering import evaluating, innermost, quiet
from equipoise.ship.parity import Format, Parity, agreement, allowed_difference, answer_in_batches, differences

RUN_KEY = "equipoise.run"
"""Metadata key under which every exported file names the run that made it."""

_RUNTIMES = {"onnx": "ONNX Runtime", "pt2": "torch.export", "safetensors": "equipoise"}


class _ParityError(Exception):
    """Carries a comparison that did not pass out of the atomic write, so that the file is thrown away."""

    def __init__(self, parity: Parity) -> None:
        super().__init__(parity.sentence())
        self.parity = parity


def export(
    network: Network,
    to: Format,
    path: Path,
    inputs: Tensor,
    *,
    run: str,
    plan: NetworkPlan | None = None,
    preprocessing: Preprocessing | None = None,
    trust: bool = False,
) -> Parity:
    """Write the network as one file, open it in its own runtime, and keep it only if it answers the same.

    The file takes raw inputs, any number at once, and gives `network.answer`: probabilities, or values in the user's
    units; pre-processing is inside. Its metadata names the run, this package's version and the signature.

    Args:
        network: The network, on the CPU; it is run in evaluation mode and its mode put back.
        to: `onnx` (ONNX Runtime; the extra `onnx`), `pt2` (torch alone) or `safetensors` (this package).
        path: The file to write, with the format's suffix; its folder must exist. Replaced in one step.
        inputs: Raw inputs (n, ...) to compare on, n at least 1: the test part.
        run: Name of the run, written into the file.
        plan: The network's plan; `safetensors` needs it to build the network again.
        preprocessing: The fitted numbers; `safetensors` needs them too.
        trust: Whether code that the plan names (a factory) may be run when a `safetensors` file is opened again.

    Returns:
        The comparison. When it did not pass, no file was written and what stood at `path` is untouched.

    Raises:
        ValueError: An unknown format, a wrong suffix, no inputs, or a network that this format cannot hold.
        FileNotFoundError: The folder of `path` does not exist.
        ModuleNotFoundError: The format's extra is not installed.
    """
    _check(network, to, path, inputs)
    metadata = {
        RUN_KEY: run,
        "equipoise.version": version("equipoise"),
        "equipoise.signature": network.signature.model_dump_json(),
    }
    write = _writer(network, to, inputs, metadata, plan, preprocessing)
    found: list[Parity] = []

    def write_and_compare(temporary: Path) -> None:
        write(temporary)
        parity = compare(network, to, temporary, inputs, trust=trust).replace(path=str(path))
        found.append(parity)
        if not parity.passed:
            raise _ParityError(parity)

    with evaluating(network), quiet():
        try:
            write_with(path, write_and_compare)
        except _ParityError as failure:
            return failure.parity
    return found[0]


def compare(network: Network, to: Format, path: Path, inputs: Tensor, *, trust: bool = False) -> Parity:
    """Return how an exported file's answers compare with the network's on the same raw inputs (n, ...).

    Raises:
        ValueError: The file cannot be opened or run in its runtime.
    """
    task = network.signature.task
    with evaluating(network), quiet():
        answer, metadata = _open(network, to, path, trust=trust)
        expected = answer_in_batches(network.answer, inputs)
        try:
            got = answer_in_batches(answer, inputs)
        except Exception as problem:
            raise ValueError(
                f"got a file that {_RUNTIMES[to]} opens but cannot run ({innermost(problem)}); expected answers for "
                f"inputs of shape {tuple(inputs.shape)}. Export in another format, such as --to safetensors."
            ) from problem
    tolerance = allowed_difference(expected, task)
    largest = differences(expected, got).max().item()
    return Parity(
        format=to,
        path=str(path),
        run=metadata.get(RUN_KEY, ""),
        n=len(inputs),
        largest_difference=largest,
        tolerance=tolerance,
        agreement=agreement(expected, got, task, tolerance),
        runtime=_RUNTIMES[to],
        versions={"equipoise": version("equipoise")} | _versions(to),
        file_bytes=path.stat().st_size,
        passed=largest <= tolerance,
    )


def _writer(
    network: Network,
    to: Format,
    inputs: Tensor,
    metadata: Mapping[str, str],
    plan: NetworkPlan | None,
    preprocessing: Preprocessing | None,
) -> Callable[[Path], None]:
    if to == "onnx":
        return lambda temporary: onnx_file.write(network, inputs, temporary, metadata)
    if to == "pt2":
        return lambda temporary: pt2_file.write(network, inputs, temporary, metadata)
    if plan is None or preprocessing is None:
        raise ValueError(
            "got no plan and fitted numbers for a safetensors file; expected both, since the file holds weights "
            "only and the network is built again from them. Pass plan=fit.plan.network and "
            "preprocessing=fit.splits.preprocessing, or export to onnx or pt2."
        )
    return lambda temporary: safetensors_file.write(network, plan, preprocessing, temporary, metadata)


def _open(
    network: Network, to: Format, path: Path, *, trust: bool
) -> tuple[Callable[[Tensor], Tensor], dict[str, str]]:
    if to == "onnx":
        return onnx_file.open_file(path)
    if to == "pt2":
        return pt2_file.open_file(path)
    return safetensors_file.open_file(path, trust=trust, module=safetensors_file.module_to_fill(network))


def _versions(to: Format) -> dict[str, str]:
    return onnx_file.versions() if to == "onnx" else pt2_file.versions()


def _check(network: Network, to: Format, path: Path, inputs: Tensor) -> None:
    if to not in get_args(Format):
        raise ValueError(f"got format {to!r}; expected one of {', '.join(get_args(Format))}. Name one of these.")
    if path.suffix != f".{to}":
        raise ValueError(f"got file name {path.name!r}; expected one ending in .{to}. Rename it to {path.stem}.{to}.")
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"got {path}, whose folder does not exist; expected a folder to write into. "
            f"Make it with: mkdir -p {path.parent}"
        )
    if not len(inputs):
        raise ValueError("got no inputs; expected at least one raw sample to compare on. Pass the test part's inputs.")
    devices = {str(one.device) for one in (*network.parameters(), *network.buffers())} - {"cpu"}
    if devices:
        raise ValueError(f"got a network on {', '.join(sorted(devices))}; expected one on the CPU. Call network.cpu().")
