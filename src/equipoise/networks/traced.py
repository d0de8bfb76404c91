"""A network whose activations and dropout are modules, whatever its code calls them as: found by tracing."""

import copy
from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx, nn

from equipoise.networks.calls import activation_name

_DROPOUTS: dict[str, type[nn.Module]] = {
    "dropout": nn.Dropout,
    "dropout1d": nn.Dropout1d,
    "dropout2d": nn.Dropout2d,
    "dropout3d": nn.Dropout3d,
    "alpha_dropout": nn.AlphaDropout,
}


class UntraceableError(Exception):
    """The forward pass of a network cannot be read ahead of running it; the message says why."""


class Called(nn.Module):
    """A function that the code of a network called, as a module.

    Args:
        function: Takes a tensor and what follows.
        rest: Positional arguments after the tensor.
        options: Arguments by name.
    """

    def __init__(self, function: Callable[..., Tensor], rest: tuple[Any, ...], options: dict[str, Any]) -> None:
        super().__init__()
        self.function = function
        self.rest = rest
        self.options = options

    def extra_repr(self) -> str:
        """Return the function's name, for printing."""
        return str(getattr(self.function, "__name__", self.function))

    def forward(self, inputs: Tensor) -> Tensor:
        """Return what the function returns."""
        return self.function(inputs, *self.rest, **self.options)


def traced(network: nn.Module) -> fx.GraphModule:
    """Return a copy whose activation functions and dropout are modules of their own, one a call.

    The forward pass is read by symbolic tracing (Reed et al., torch.fx, MLSys 2022), in training and in evaluation
    mode: they may differ in nothing but dropout.

    Raises:
        UntraceableError: The forward pass depends on the values that flow through it, or on the mode in another way.
    """
    training, evaluation = (_graph(copy.deepcopy(network).train(mode)) for mode in (True, False))
    _check_modes(training.graph, evaluation.graph)
    dropouts = _mode_dependent(training.graph, evaluation.graph)
    uses = Counter(node.target for node in training.graph.nodes if node.op == "call_module")
    for position, node in enumerate(list(training.graph.nodes)):
        module = _as_module(training, node, uses, in_mode=node.name in dropouts)
        if module is not None:
            path = f"called_{position}"
            training.add_submodule(path, module)
            with training.graph.inserting_before(node):
                made = training.graph.call_module(path, (node.args[0],))
            node.replace_all_uses_with(made)
            training.graph.erase_node(node)
    training.delete_all_unused_submodules()
    training.recompile()
    return training.train(network.training)


def _graph(network: nn.Module) -> fx.GraphModule:
    try:
        return fx.symbolic_trace(network)
    except Exception as problem:  # whatever the user's code raises when it is given a proxy
        reason = (str(problem).splitlines() or [""])[0][:160]
        raise UntraceableError(f"its forward pass cannot be traced ({type(problem).__name__}: {reason})") from problem


def _check_modes(training: fx.Graph, evaluation: fx.Graph) -> None:
    """Refuse a forward pass that takes another way in training.

    Raises:
        UntraceableError: It does.
    """
    told = [[(node.op, _name(node)) for node in graph.nodes] for graph in (training, evaluation)]
    if told[0] != told[1]:
        raise UntraceableError("its forward pass takes other ways in training than in evaluation")


def _mode_dependent(training: fx.Graph, evaluation: fx.Graph) -> set[str]:
    """Return the names of dropout calls that are on in training only.

    Raises:
        UntraceableError: Another call has other arguments in training.
    """
    found: set[str] = set()
    for one, other in zip(training.nodes, evaluation.nodes, strict=True):
        if str(one.args) == str(other.args) and str(one.kwargs) == str(other.kwargs):
            continue
        if _name(one) not in _DROPOUTS:
            raise UntraceableError(f"its call of {_name(one)} has other arguments in training than in evaluation")
        found.add(one.name)
    return found


def _name(node: fx.Node) -> str:
    return str(node.target if isinstance(node.target, str) else getattr(node.target, "__name__", node.target))


def _as_module(network: fx.GraphModule, node: fx.Node, uses: Counter[Any], *, in_mode: bool) -> nn.Module | None:
    """Return the module that does what a node does, or None where the node stays as it is."""
    if not node.args or not isinstance(node.args[0], fx.Node):
        return None
    if node.op == "call_module" and isinstance(node.target, str):
        module = network.get_submodule(node.target)
        bare = next(module.children(), None) is None and not [*module.parameters(), *module.buffers()]
        return copy.deepcopy(module) if bare and uses[node.target] > 1 and len(node.all_input_nodes) == 1 else None
    if node.op not in ("call_function", "call_method") or len(node.all_input_nodes) > 1 or not node.users:
        return None
    rest, options = node.args[1:], dict(node.kwargs)
    if in_mode:
        rate: Any = options.get("p", rest[0] if rest else 0.5)
        return _DROPOUTS[_name(node)](float(rate))
    function = getattr(torch.Tensor, _name(node), None) if node.op == "call_method" else node.target
    if not activation_name(function) or not callable(function):
        return None
    return Called(function, rest, options)
