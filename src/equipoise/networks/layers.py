"""The layer table: shapes, parameters, operations and memory."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from equipoise.networks.network import Network
from equipoise.networks.probe import run_once
from equipoise.networks.walk import is_layer

_ROWS_PER_GATE = {"LSTM": 4, "GRU": 3}


@dataclass(frozen=True, slots=True)
class Layer:
    """One row of the layer table.

    Attributes:
        path: The module's path in the network.
        kind: Its class.
        output_shape: Shape of its output for one sample; empty when it gives no tensor.
        parameters: Numbers it trains or could train, those already counted in an earlier row left out.
        operations: Multiply-adds for one sample, of all its calls.
        memory_bytes: Bytes of its outputs for one sample, of all its calls.
    """

    path: str
    kind: str
    output_shape: tuple[int, ...]
    parameters: int
    operations: int
    memory_bytes: int


def layer_table(network: Network, inputs: Tensor) -> tuple[Layer, ...]:
    """Return a row for each layer that ran or holds parameters, in the order of running.

    Multiply-adds are those of matrix products, convolutions and attention as torch's own counter sees them, and of
    recurrent layers by formula; element-wise work is not counted. Operations that a module computes outside its
    sub-modules get a row of that module. The network is run once, in evaluation mode, and left as it was.

    Args:
        network: Any network.
        inputs: Raw inputs (n, ...), n >= 1.
    """
    tally = _Tally(dict(_unique_modules(network)))
    handles = tally.attach()
    try:
        with tally.counter:
            run_once(network, inputs)
    finally:
        for handle in handles:
            handle()
    return tally.rows(len(inputs))


def total(layers: Sequence[Layer]) -> Layer:
    """Return the sum over a layer table, with the path `total`; its parameters are each counted once."""
    return Layer(
        path="total",
        kind="",
        output_shape=layers[-1].output_shape if layers else (),
        parameters=sum(layer.parameters for layer in layers),
        operations=sum(layer.operations for layer in layers),
        memory_bytes=sum(layer.memory_bytes for layer in layers),
    )


def layer_rows(network: Network, inputs: Tensor) -> tuple[dict[str, str], ...]:
    """Return the table with its total as text: columns `layer kind output parameters operations memory`.

    Args:
        network: Any network.
        inputs: Raw inputs (n, ...), n >= 1.
    """
    layers = layer_table(network, inputs)
    return tuple(
        {
            "layer": layer.path,
            "kind": layer.kind,
            "output": " x ".join(str(side) for side in layer.output_shape) or "-",
            "parameters": f"{layer.parameters:,}",
            "operations": f"{layer.operations:,}",
            "memory": _bytes(layer.memory_bytes),
        }
        for layer in (*layers, total(layers))
    )


def layer_text(network: Network, inputs: Tensor) -> str:
    """Return the table as aligned lines for a terminal; see `layer_rows`."""
    rows = layer_rows(network, inputs)
    names = list(rows[0])
    table = [dict(zip(names, names, strict=True)), *rows]
    widths = {name: max(len(row[name]) for row in table) for name in names}
    lines = [
        "  ".join(
            row[name].ljust(widths[name]) if name in ("layer", "kind", "output") else row[name].rjust(widths[name])
            for name in names
        ).rstrip()
        for row in table
    ]
    rule = "-" * max(len(line) for line in lines)
    return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]])


class _Tally:
    """Counts what each module does during one forward pass."""

    def __init__(self, modules: dict[str, nn.Module]) -> None:
        self.modules = modules
        self.counter = FlopCounterMode(display=False)
        self.order: list[str] = []
        self.own: dict[str, int] = {}
        self.bytes: dict[str, int] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.running: list[list[int]] = []

    def attach(self) -> list[Callable[[], None]]:
        """Hook every module; return what removes the hooks."""
        removers: list[Callable[[], None]] = []
        for path, module in self.modules.items():
            before, after = self._hooks(path, module)
            removers.append(module.register_forward_pre_hook(before).remove)
            removers.append(module.register_forward_hook(after).remove)
        return removers

    def _hooks(self, path: str, module: nn.Module) -> tuple[Callable[..., None], Callable[..., None]]:
        def before(_module: nn.Module, _inputs: object) -> None:
            self.running.append([self.counter.get_total_flops(), 0])

        def after(_module: nn.Module, inputs: tuple[object, ...], outputs: object) -> None:
            start, inside = self.running.pop()
            spent = self.counter.get_total_flops() - start
            if self.running:
                self.running[-1][1] += spent
            own = (spent - inside) // 2
            if isinstance(module, nn.RNNBase) and isinstance(inputs[0], Tensor):
                own = _recurrent_operations(module, inputs[0])
            if path not in self.own:
                self.order.append(path)
            self.own[path] = self.own.get(path, 0) + own
            output = _first_tensor(outputs)
            if output is not None:
                self.shapes.setdefault(path, tuple(output.shape[1:]))
                size = output.numel() * output.element_size()
                self.bytes[path] = self.bytes.get(path, 0) + size

        return before, after

    def rows(self, n: int) -> tuple[Layer, ...]:
        """Return the table for one of n samples, in the order in which modules finished running."""
        counted: set[int] = set()
        silent = [path for path in self.modules if path not in self.own]
        table: list[Layer] = []
        for path in [*self.order, *silent]:
            module = self.modules[path]
            layer = is_layer(module)
            fresh = {
                id(one): one.numel()
                for one in module.parameters(recurse=layer)
                if id(one) not in counted and not _is_state(one)
            }
            counted |= set(fresh)
            own = self.own.get(path, 0) // n
            if not (layer and path in self.own) and not fresh and not own:
                continue
            memory = self.bytes.get(path, 0) // n if layer else 0
            shape = self.shapes.get(path, ())
            table.append(Layer(path, type(module).__name__, shape, sum(fresh.values()), own, memory))
        return tuple(table)


def _unique_modules(network: nn.Module) -> list[tuple[str, nn.Module]]:
    """Return all modules that may count, each once; inside a layer that computes as a whole there are none."""
    found: list[tuple[str, nn.Module]] = []
    whole: list[str] = []
    for path, module in network.named_modules():
        if any(path.startswith(f"{one}.") for one in whole):
            continue
        found.append((path or "network", module))
        if path and is_layer(module):
            whole.append(path)
    return found


def _is_state(parameter: nn.Parameter) -> bool:
    """Whether a parameter is no number to train: Keras keeps the seeds of dropout among parameters."""
    return not parameter.is_floating_point()


def _recurrent_operations(module: nn.RNNBase, inputs: Tensor) -> int:
    """Return the multiply-adds of torch's recurrent layers, whose fused kernels the counter does not see."""
    samples_and_steps = inputs.shape[0] * inputs.shape[1]
    rows = _ROWS_PER_GATE.get(module.mode, 1) * module.hidden_size
    directions = 2 if module.bidirectional else 1
    width, products = module.input_size, 0
    for _ in range(module.num_layers):
        products += directions * rows * (width + (module.proj_size or module.hidden_size))
        width = directions * (module.proj_size or module.hidden_size)
    return samples_and_steps * products


def _first_tensor(outputs: object) -> Tensor | None:
    if isinstance(outputs, torch.Tensor):
        return outputs
    if isinstance(outputs, (tuple, list)) and outputs:
        return _first_tensor(outputs[0])
    return None


def _bytes(count: int) -> str:
    if count < 1024:
        return f"{count} B"
    return f"{count / 1024:.1f} KiB" if count < 1024**2 else f"{count / 1024**2:.1f} MiB"
