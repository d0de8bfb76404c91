"""A plain recorder of vital signs with hooks and numpy: an oracle that shares no code with the real one."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from equipoise.vitals.window import Event, Layer, Weights, Window

ACTIVATIONS = {
    nn.ReLU: "relu",
    nn.ReLU6: "relu6",
    nn.Sigmoid: "sigmoid",
    nn.Tanh: "tanh",
    nn.GELU: "gelu",
    nn.SiLU: "silu",
    nn.SELU: "selu",
    nn.ELU: "elu",
    nn.LeakyReLU: "leaky_relu",
    nn.Softmax: "softmax",
}
ASYMPTOTES = {"sigmoid": (0.0, 1.0), "tanh": (-1.0, 1.0), "softmax": (0.0, 1.0)}
SIGNS = ("mean", "deviation", "maximum", "zeros", "saturated", "non_finite")


class ReferenceRecorder:
    """Records every step of one optimiser; `record(loss)` after each step, `windows()` for what is full."""

    def __init__(self, network: nn.Module, optimizer: torch.optim.Optimizer, window: int = 64) -> None:
        self.network, self.optimizer, self.window = network, optimizer, window
        self.step = 0
        self.names = dict(network.named_parameters())
        self.held = {id(p) for group in optimizer.param_groups for p in group["params"]}
        self.layers: list[Layer] = []
        self.rows: list[dict] = []
        self.events: list[Event] = []
        self.previous: dict = {}
        self.now: dict = {}
        self.calls: dict = {}
        self.touched = False
        self.handles = [
            m.register_forward_hook(self._hook(name))
            for name, m in network.named_modules()
            if not list(m.children()) or isinstance(m, nn.RNNBase)
        ]
        self.handles += [p.register_hook(self._leftover(name, p)) for name, p in self.names.items() if p.requires_grad]
        self.handles += [optimizer.register_step_pre_hook(self._before), optimizer.register_step_post_hook(self._after)]

    def close(self) -> None:
        for handle in self.handles:
            handle.remove()

    def record(self, loss: Tensor | float) -> None:
        self.now["loss"] = float(loss)
        if not np.isfinite(self.now["loss"]):
            self.events.append(Event(self.step, "non_finite", "loss", "the loss is not finite"))
        self.rows.append(self.now)
        self.now = {}

    def windows(self, *, rest: bool = False) -> Iterator[Window]:
        while len(self.rows) >= self.window or (rest and self.rows):
            rows, self.rows = self.rows[: self.window], self.rows[self.window :]
            last = rows[-1]["step"]
            events = tuple(event for event in self.events if event.step <= last)
            self.events = [event for event in self.events if event.step > last]
            yield self._window(rows, events)

    def _hook(self, name: str):
        module = dict(self.network.named_modules())[name]

        def hook(module_, inputs, output):
            if not self.network.training or not torch.is_grad_enabled():
                return
            out = output[0] if isinstance(output, tuple) else output
            if not isinstance(out, Tensor) or not out.is_floating_point():
                return
            call = name if name not in self.calls else f"{name}@{1 + sum(k.split('@')[0] == name for k in self.calls)}"
            values = out.detach()
            if (values.ndim > 2 and isinstance(module, (nn.Conv1d, nn.Conv2d, nn.BatchNorm2d))) or values.ndim == 4:
                values = values.movedim(1, -1)
            self.calls[call] = (
                type(module).__name__,
                ACTIVATIONS.get(type(module), ""),
                values.reshape(-1, values.shape[-1]),
            )

        return hook

    def _leftover(self, name: str, parameter: nn.Parameter):
        def hook(gradient):
            if not self.touched:
                self.touched = True
                if parameter.grad is not None and bool((parameter.grad != 0).any()) and self.step:
                    text = "the gradient of the step before was still there"
                    self.events.append(Event(self.step + 1, "stale_gradient", name, text))

        return hook

    def _before(self, optimizer, args, kwargs) -> None:
        self.step += 1
        self.touched = False
        self.now = {"step": self.step, "rate": float(optimizer.param_groups[0]["lr"])}
        self.now["gradient"], self.now["old"] = {}, {}
        if not self.network.training:
            self.events.append(Event(self.step, "wrong_mode", "loop.mode", "the network is in evaluation mode"))
        for name, p in self.names.items():
            self.now["old"][name] = p.detach().numpy().copy()
            if p.grad is None:
                continue
            g = p.grad.detach().numpy().astype(np.float64).ravel()
            before, was = self.previous.get(name, (None, 0.0))
            norm = float(np.sqrt(g @ g))
            cosine = float(g @ before / norm / was) if before is not None and norm > 0 and was > 0 else np.nan
            bad = 0 if np.isfinite(norm) else int((~np.isfinite(g)).sum())
            self.now["gradient"][name] = (norm, float(np.mean(g == 0)), cosine, bad)
            self.previous[name] = (g, norm)

    def _after(self, optimizer, args, kwargs) -> None:
        self.now["weight"] = {}
        for name, p in self.names.items():
            old, new = self.now["old"][name].astype(np.float64).ravel(), p.detach().numpy().astype(np.float64).ravel()
            step, size = new - old, float(np.sqrt(old @ old))
            self.now["weight"][name] = (
                float(np.sqrt(new @ new)),
                float(np.sqrt(step @ step)) / size if size else np.nan,
            )
        del self.now["old"]
        layers, signs, fired, seen = [], [], [], []
        for name, (kind, activation, values) in self.calls.items():
            layers.append(Layer(name, kind, activation, values.shape[1]))
            values = values.numpy().astype(np.float64)
            saturated, active = np.nan, values != 0
            zeros = 1.0 - float(active.mean())
            if activation in ASYMPTOTES:
                low, high = ASYMPTOTES[activation]
                active = (values >= low + 0.01 * (high - low)) & (values <= high - 0.01 * (high - low))
                saturated = 1.0 - float(active.mean())
            with np.errstate(all="ignore"):
                deviation, largest = float(values.std()), float(np.abs(values).max())
                bad = float((~np.isfinite(values)).sum())
                signs.append((float(values.mean()), deviation, largest, zeros, saturated, bad))
            fired.append(active.sum(0))
            seen.append(len(values))
        self.now |= {"signs": signs, "fired": fired, "seen": seen}
        self.layers = layers
        self.calls = {}

    def _window(self, rows: list[dict], events: tuple[Event, ...]) -> Window:
        signs = np.array([row["signs"] for row in rows], dtype=np.float64).reshape(
            len(rows), len(self.layers), len(SIGNS)
        )
        nothing = (np.nan,) * 4
        gradient = np.array([[row["gradient"].get(name, nothing) for name in self.names] for row in rows])
        weight = np.array([[row["weight"][name] for name in self.names] for row in rows])
        return Window(
            steps=np.array([row["step"] for row in rows], dtype=np.int64),
            loss=np.array([row["loss"] for row in rows]),
            learning_rate=np.array([row["rate"] for row in rows]),
            layers=tuple(self.layers),
            activation={name: signs[:, :, k] for k, name in enumerate(SIGNS)},
            fired=tuple(sum(row["fired"][k] for row in rows) for k in range(len(self.layers))),
            seen=np.array([sum(row["seen"][k] for row in rows) for k in range(len(self.layers))], dtype=np.int64),
            weights=tuple(
                Weights(name, name.rpartition(".")[0], p.numel(), p.numel(), p.requires_grad, id(p) in self.held)
                for name, p in self.names.items()
            ),
            gradient={name: gradient[:, :, k] for k, name in enumerate(("norm", "zeros", "cosine", "non_finite"))},
            weight={name: weight[:, :, k] for k, name in enumerate(("norm", "update_ratio"))},
            events=events,
        )
