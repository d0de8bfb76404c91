"""Where a fault is, in the grammar of `Cause.where`: by hand for the programs shown, from the prose for any other.

`diagnosis_places.toml` is the table by hand. `derived` reads the prose of a program clause by clause with rules that
were written for the prose as such; `disagreements` says where it differs from the table.
"""

import re
import tomllib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor, nn

TABLE = Path(__file__).with_name("diagnosis_places.toml")

NOT_ACTIVATIONS = re.compile(r"Dropout|Pool|Flatten|Unflatten|Pad|Norm|Embedding|Upsample")
NORMALISATION = re.compile(r"Norm")


@dataclass(frozen=True, slots=True)
class Layers:
    """The modules of a network in the order in which they run.

    Attributes:
        kinds: Class name by path, every module but the root.
        leaves: Paths of the modules without children that run, in order of execution; all where it cannot run.
        weights: Those of them that hold parameters and are no normalisation.
        lists: Paths that modules would have that hide in plain lists of the network.
    """

    kinds: dict[str, str]
    leaves: tuple[str, ...]
    weights: tuple[str, ...]
    lists: tuple[str, ...]

    def after(self, weight: str) -> list[str]:
        """Return the leaves between a layer with weights and the next one."""
        rest = self.leaves[self.leaves.index(weight) + 1 :]
        following = [name for name in rest if name in self.weights]
        return list(rest[: rest.index(following[0])] if following else rest)

    def with_activation(self, weights: Iterable[str]) -> set[str]:
        """Return layers with weights and the activations right behind them."""
        found = set()
        for weight in weights:
            found |= {weight, *(one for one in self.after(weight) if not NOT_ACTIVATIONS.search(self.kinds[one]))}
        return self.with_wrappers(found)

    def of_kind(self, pattern: str) -> set[str]:
        """Return the modules whose class name matches, and wrappers around just one of them."""
        return self.with_wrappers({name for name, kind in self.kinds.items() if re.search(pattern, kind, re.I)})

    def with_wrappers(self, names: set[str]) -> set[str]:
        """Return the modules and those that wrap one leaf and nothing else."""
        wrappers = {
            parent
            for parent in self.kinds
            if len(inner := [one for one in self.leaves if one.startswith(parent + ".")]) == 1 and inner[0] in names
        }
        return names | wrappers


def layers(network: nn.Module, inputs: Tensor) -> Layers:
    """Return the modules of a network, ordered by a forward pass over `inputs`."""
    paths = {module: name for name, module in network.named_modules() if name}
    ran: list[str] = []
    hooks = [
        one.register_forward_hook(lambda module, _, __: ran.append(paths[module]))
        for one in paths
        if not [*one.children()]
    ]
    was = network.training
    try:
        with torch.no_grad():
            network.eval()(inputs)
    except Exception:  # order of registration must do
        ran.clear()
    finally:
        network.train(was)
        for hook in hooks:
            hook.remove()
    leaves = tuple(dict.fromkeys(ran)) or tuple(name for one, name in paths.items() if not [*one.children()])
    kinds = {name: type(one).__name__ for one, name in paths.items()}
    held = {name for one, name in paths.items() if [*one.parameters(recurse=False)]}
    weights = tuple(name for name in leaves if name in held and not NORMALISATION.search(kinds[name]))
    hidden = [
        path
        for name, value in vars(network).items()
        if isinstance(value, list | tuple) and value and all(isinstance(one, nn.Module) for one in value)
        for path in (name, *(f"{name}.{index}" for index in range(len(value))))
    ]
    return Layers(kinds, leaves, weights, tuple(hidden))


def derived(prose: str, found: Layers) -> frozenset[str]:
    """Return the places that a sentence such as `last layer (softmax); loss` allows; empty when no rule reads it."""
    return frozenset(place for clause in prose.split(";") for place in _clause(clause.strip(), found))


def _clause(clause: str, found: Layers) -> set[str]:
    head, _, inside = clause.partition("(")
    head, inside = head.strip(), inside.rstrip(")")
    named = {name for name in found.kinds if name in head.split() and not name.isdigit()}
    if named:
        inner = {one for one in found.kinds if any(one.startswith(name + ".") for name in named)}
        return {f"layer:{name}" for name in named | inner}
    for pattern, rule in RULES:
        if re.search(pattern, head, re.I):
            return rule(head.lower(), inside.lower(), found)
    return set()


Rule = Callable[[str, str, Layers], set[str]]


def _fixed(*places: str) -> Rule:
    return lambda _head, _inside, _found: set(places)


FIELDS = (
    (r"learning rate|\blr\b|schedul|warm", {"optimizer.lr"}),
    (r"\beps\b|epsilon", {"optimizer.eps"}),
    (r"weight.decay|regular", {"optimizer.weight_decay"}),
    (r"momentum", {"optimizer.momentum"}),
    (r"\bbetas?\d?\b", {"optimizer.betas"}),
    (r"param|only|bias|head|layer|stale|another|old|copy|made|creat|before", {"optimizer.params", "loop.step"}),
)

STAGES = (
    (r"zero_grad.*backward", {"loop.zero_grad", "loop.backward"}),
    (r"zero_grad|accumul", {"loop.zero_grad"}),
    (r"clip", {"loop.clip"}),
    (r"order|shuffl|sort", {"loop.order"}),
    (r"batch.size|last batch", {"loop.batch_size"}),
    (r"evaluat", {"loop.evaluate", "loop.mode"}),
    (r"\bmode\b|train\(|eval\(", {"loop.mode"}),
    (r"learning rate|\blr\b|schedul|warm", {"optimizer.lr"}),
    (r"optimi[sz]er", {"optimizer.params", "loop.step"}),
    (r"backward|retain", {"loop.backward"}),
    (r"detach|no_grad|forward|network", {"loop.forward"}),
    (r"epoch", {"loop.epochs"}),
    (r"step", {"loop.step"}),
)


def _first_match(text: str, table: Iterable[tuple[str, set[str]]], otherwise: str) -> set[str]:
    return next((set(places) for pattern, places in table if re.search(pattern, text, re.I)), {otherwise})


def _optimizer(head: str, inside: str, _found: Layers) -> set[str]:
    return _first_match(f"{head} {inside}", FIELDS, "optimizer.*")


def _loop(head: str, inside: str, _found: Layers) -> set[str]:
    return _first_match(inside or head, STAGES, "loop.*")


def _numbers(head: str) -> list[int]:
    span = re.search(r"(\d+)\s*(?:-|–|to)\s*(\d+)", head)
    return list(range(int(span[1]), int(span[2]) + 1)) if span else [int(one) for one in re.findall(r"\d+", head)]


def _numbered(head: str, _inside: str, found: Layers) -> set[str]:
    blocks = sorted({n for n, kind in found.kinds.items() if re.search("Residual|Block|EncoderLayer", kind)})
    if "block" in head and blocks:
        picked = [blocks[one] for one in _numbers(head) if one < len(blocks)]
        return {f"layer:{n}" for n in found.kinds if any(n == one or n.startswith(one + ".") for one in picked)}
    picked = [found.weights[one] for one in _numbers(head) if one < len(found.weights)]
    return {f"layer:{name}" for name in found.with_activation(picked)}


def _hidden(_head: str, inside: str, found: Layers) -> set[str]:
    if "list" in inside and found.lists:
        return {f"layer:{name}" for name in found.lists} | {"optimizer.params", "loop.step"}
    return {f"layer:{name}" for name in found.with_activation(found.weights[:-1])}


def _last(_head: str, _inside: str, found: Layers) -> set[str]:
    if not found.weights:
        return set()
    last = found.weights[-1]
    return {f"layer:{name}" for name in found.with_wrappers({last, *found.after(last)})}


def _first(_head: str, _inside: str, found: Layers) -> set[str]:
    return {f"layer:{name}" for name in found.with_activation(found.weights[:1])}


def _dropout(_head: str, inside: str, found: Layers) -> set[str]:
    modes = {"loop.evaluate", "loop.mode"} if re.search("mode|eval", inside) else set()
    return {f"layer:{name}" for name in found.of_kind("dropout")} | modes


def _kind(pattern: str, mode_too: bool = False) -> Rule:
    def rule(_head: str, inside: str, found: Layers) -> set[str]:
        modes = {"loop.evaluate", "loop.mode"} if mode_too and re.search("mode|eval", inside) else set()
        return {f"layer:{name}" for name in found.of_kind(pattern)} | modes

    return rule


def _everything(_head: str, _inside: str, found: Layers) -> set[str]:
    return {f"layer:{name}" for name in found.kinds}


RULES: tuple[tuple[str, Rule], ...] = (
    (r"batch size", _fixed("loop.batch_size")),
    (r"epoch", _fixed("loop.epochs")),
    (r"optimi[sz]er|learning rate|weight.decay|regularisation|momentum", _optimizer),
    (r"^loop|^step|zero_grad|clip|order|shuffl", _loop),
    (r"validation", _fixed("validation")),
    (r"^evaluation|\bmode\b", _fixed("loop.evaluate", "loop.mode")),
    (r"\binputs?\b|features", _fixed("inputs")),
    (r"targets?|labels?", _fixed("targets")),
    (r"\bloss\b", _fixed("loss")),
    (r"dropout", _dropout),
    (r"hidden", _hidden),
    (r"last layer|output|\bhead\b", _last),
    (r"first layer", _first),
    (r"(layers?|blocks?) \d", _numbered),
    (r"recurrent|\brnn\b|lstm|gru", _kind(r"RNN|LSTM|GRU")),
    (r"normali[sz]ation|batch.?norm|layer.?norm", _kind(r"Norm", mode_too=True)),
    (r"attention", _kind(r"attention")),
    (r"embedding", _kind(r"embed")),
    (r"convolution", _kind(r"^Conv")),
    (r"activation|relu|sigmoid|tanh", _hidden),
    (r"network|all layers|^layers$|weights|initiali[sz]ation", _everything),
)


def by_hand() -> dict[str, frozenset[str]]:
    """Return the table by hand: allowed places by id."""
    return {name: frozenset(places) for name, places in tomllib.loads(TABLE.read_text())["programs"].items()}


def by_rule(package: ModuleType, case: str) -> frozenset[str]:
    """Return the places that the prose of a program allows."""
    program = package.build(case, "faulty", 0)
    return derived(package.facts()[case]["where"], layers(program.network, program.train[0][:4]))


def places(package: ModuleType, case: str) -> frozenset[str]:
    """Return the allowed places of a faulty program: by hand where the table has it, else from the prose."""
    table = by_hand()
    return table[case] if case in table else by_rule(package, case)


def allowed(where: str, places: Iterable[str]) -> bool:
    """Return whether a place is one of the allowed ones; `optimizer.*` allows every field."""
    return any(where == one or (one.endswith("*") and where.startswith(one[:-1])) for one in places)


def disagreements(package: ModuleType) -> dict[str, dict[str, list[str]]]:
    """Return where the rules and the table differ on the programs of a package: places only one of them allows."""
    differing = {}
    for case, hand in by_hand().items():
        if case in package.cases() and (rule := by_rule(package, case)) != hand:
            differing[case] = {"only by hand": sorted(hand - rule), "only by rule": sorted(rule - hand)}
    return differing
