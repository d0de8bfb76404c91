"""ONNX files: written by torch's exporter, opened by ONNX Runtime."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from equipoise.core.extras import require
from equipoise.networks.network import Network
from equipoise.ship.answering import INPUT_NAME, OUTPUT_NAME, exported_program, innermost

LARGEST_BYTES = 2**31 - 1
"""What one ONNX file can hold: it is a protocol buffer."""


def write(network: Network, inputs: Tensor, path: Path, metadata: Mapping[str, str]) -> None:
    """Write `answer` as one ONNX file with `metadata` in its metadata properties.

    Raises:
        ValueError: The network cannot be traced, an operation has no ONNX form, or the file would pass 2 GiB.
        ModuleNotFoundError: The extra `onnx` is not installed.
    """
    for module in ("onnx", "onnxscript", "onnxruntime"):
        require(module, "onnx")
    exported = exported_program(network, inputs)
    try:
        program: Any = torch.onnx.export(
            exported, dynamo=True, input_names=[INPUT_NAME], output_names=[OUTPUT_NAME], verbose=False
        )
    except torch.onnx.OnnxExporterError as problem:
        raise _no_onnx_form(problem) from problem
    model = program.model_proto
    model.producer_name = "equipoise"
    for key, value in metadata.items():
        model.metadata_props.add(key=key, value=value)
    size = model.ByteSize()
    if size > LARGEST_BYTES:
        raise ValueError(
            f"got a network whose ONNX file would take {size:,} bytes; expected at most {LARGEST_BYTES:,}, the "
            "most one such file can hold. Export with --to pt2 or --to safetensors."
        )
    path.write_bytes(model.SerializeToString())


def open_file(path: Path) -> tuple[Callable[[Tensor], Tensor], dict[str, str]]:
    """Return the file's answer, as ONNX Runtime computes it on the CPU, and its metadata.

    Raises:
        ValueError: ONNX Runtime cannot open the file.
    """
    runtime = require("onnxruntime", "onnx")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    try:
        session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as problem:
        raise ValueError(
            f"{path}: got a file that ONNX Runtime cannot open ({innermost(problem)}); expected an ONNX network. "
            "Export it again."
        ) from problem

    def answer(inputs: Tensor) -> Tensor:
        return torch.from_numpy(session.run([OUTPUT_NAME], {INPUT_NAME: inputs.cpu().numpy()})[0])

    return answer, dict(session.get_modelmeta().custom_metadata_map)


def versions() -> dict[str, str]:
    """Return the versions of the libraries that write and open the file."""
    names = ("onnx", "onnxscript", "onnxruntime")
    return {"torch": str(torch.__version__)} | {name: str(require(name, "onnx").__version__) for name in names}


def _no_onnx_form(problem: Exception) -> ValueError:
    reason = innermost(problem)
    operator = re.search(r"op='([^']+)'", reason)
    what = f"the operation {operator.group(1)}" if operator else reason
    return ValueError(
        f"got a network with {what}, which has no ONNX form; expected operations that ONNX knows. Replace it in the "
        "network, or export with --to pt2 or --to safetensors."
    )
