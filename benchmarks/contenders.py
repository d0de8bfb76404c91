"""The contenders: each trains one workload until told to stop, and says so at the end of every epoch.

Every contender holds the same network, the same data in memory, Adam at 1e-3, the same batch size and a new order every
epoch. Validation, logging, progress bars, summaries and checkpoints are switched off wherever they can be.
"""

import contextlib
import importlib.util
import io
import os
import tempfile
from collections.abc import Callable
from types import ModuleType
from typing import Any, Protocol
from unittest import mock

from benchmarks.workloads import Workload


class Turns(Protocol):
    """The clock of a contender, which stands still while other contenders have their turns."""

    def epoch_ended(self, epochs: int = 1) -> bool:
        """Hear that epochs are over, and wait for the next turn when this one is; true means stop."""

    def pause(self) -> None:
        """Stop the clock for something that the others do not do."""

    def resume(self) -> None:
        """Let the clock run on."""


class FinishedError(Exception):
    """Leaves a framework's loop."""


def train_plain(workload: Workload, turns: Turns) -> None:
    """PyTorch's tutorial loop: the baseline."""
    from benchmarks.workloads import plain_loop

    plain_loop(workload, epoch_ended=turns.epoch_ended)


def train_equipoise(workload: Workload, turns: Turns) -> None:
    """`equipoise.fit.fit.fit` with the family network of the same layers."""
    from benchmarks.workloads import plan_and_splits

    from equipoise.fit.fit import fit
    from equipoise.fit.stopping import round_epochs
    from equipoise.networks.network import Network

    plan, splits = plan_and_splits(workload, epochs=10**6)
    epochs = round_epochs(plan.recipe, workload.samples // workload.batch_size)

    class Clocked(Network):
        """Knows when the loop trains: it puts the network in training mode for a round and judges it in the other."""

        def train(self, mode: bool = True) -> Network:
            if not mode and self.training:
                stop = turns.epoch_ended(epochs)
                if stop:
                    raise FinishedError
                turns.pause()
            elif mode:
                turns.resume()
            return super().train(mode)

    with contextlib.suppress(FinishedError), mock.patch("equipoise.networks.build.Network", Clocked):
        fit(plan, splits=splits)


def train_keras(workload: Workload, turns: Turns, backend: str) -> None:
    """Keras `fit` on arrays, at its defaults (`jit_compile="auto"`)."""
    os.environ["KERAS_BACKEND"] = backend
    import keras
    from benchmarks.workloads import data

    inputs, targets = (one.numpy() for one in data(workload))
    if inputs.ndim == 4:
        inputs = inputs.transpose(0, 2, 3, 1).copy()
    model = keras_network(keras, workload)
    loss = (
        keras.losses.BinaryCrossentropy(from_logits=True)
        if workload.name == "w1"
        else keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    model.compile(optimizer=keras.optimizers.Adam(1e-3), loss=loss)

    class EpochEnd(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
            self.model.stop_training = turns.epoch_ended()

    model.fit(inputs, targets, batch_size=workload.batch_size, epochs=10**9, verbose=0, callbacks=[EpochEnd()])


def keras_network(keras: ModuleType, workload: Workload) -> Any:
    """Return the workload's network in Keras layers, channels last."""
    layers = keras.layers
    if workload.name == "w1":
        return keras.Sequential([keras.Input((2,)), layers.Dense(4, activation="tanh"), layers.Dense(1)])
    if workload.name == "w2":
        return keras.Sequential([keras.Input((784,)), layers.Dense(32, activation="relu"), layers.Dense(10)])
    if workload.name == "w3":
        return keras.Sequential(
            [
                keras.Input((28, 28, 1)),
                *(layers.Conv2D(32, 3, activation="relu"), layers.MaxPooling2D(2)),
                *(layers.Conv2D(64, 3, activation="relu"), layers.MaxPooling2D(2)),
                *(layers.Conv2D(64, 3, activation="relu"), layers.Flatten()),
                *(layers.Dense(64, activation="relu"), layers.Dense(10)),
            ]
        )
    if workload.name in ("w4", "w4-gru"):
        cell = layers.LSTM if workload.name == "w4" else layers.GRU
        return keras.Sequential([keras.Input((50, 16)), cell(64), layers.Dense(10)])
    return _keras_residual(keras)


def _keras_residual(keras: ModuleType) -> Any:
    layers = keras.layers

    def convolve(features: Any, outgoing: int, kernel: int, stride: int) -> Any:
        features = layers.Conv2D(outgoing, kernel, stride, padding="same", use_bias=False)(features)
        return layers.BatchNormalization()(features)

    inputs = keras.Input((32, 32, 3))
    features = layers.ReLU()(convolve(inputs, 64, 3, 1))
    for outgoing, stride in ((64, 1), (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1)):
        shortcut = features
        if stride != 1 or features.shape[-1] != outgoing:
            shortcut = convolve(features, outgoing, 1, stride)
        hidden = layers.ReLU()(convolve(features, outgoing, 3, stride))
        features = layers.ReLU()(convolve(hidden, outgoing, 3, 1) + shortcut)
    return keras.Model(inputs, layers.Dense(10)(layers.GlobalAveragePooling2D()(features)))


def train_lightning(workload: Workload, turns: Turns) -> None:
    """Lightning's `Trainer` with a `DataLoader` over tensors."""
    import pytorch_lightning as lightning
    import torch
    from benchmarks.workloads import data, loss_function, network
    from torch.utils.data import DataLoader, TensorDataset

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.network = network(workload)
            self.criterion = loss_function(workload)

        def training_step(self, batch: Any, index: int) -> Any:  # noqa: ARG002
            inputs, targets = batch
            return self.criterion(self.network(inputs), targets)

        def configure_optimizers(self) -> Any:
            return torch.optim.Adam(self.network.parameters(), lr=1e-3)

        def on_train_epoch_end(self) -> None:
            if turns.epoch_ended():
                self.trainer.should_stop = True

    with tempfile.TemporaryDirectory() as folder:
        trainer = lightning.Trainer(
            accelerator="cpu",
            devices=1,
            max_epochs=-1,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=folder,
        )
        loader = DataLoader(TensorDataset(*data(workload)), batch_size=workload.batch_size, shuffle=True)
        trainer.fit(Module(), loader)


def train_skorch(workload: Workload, turns: Turns) -> None:
    """Skorch's `NeuralNet.fit` without a validation split and without its printing and scoring callbacks."""
    import skorch
    import torch
    from benchmarks.workloads import data, loss_function, network

    class EpochEnd(skorch.callbacks.Callback):
        def on_epoch_end(self, net: Any, **_: Any) -> None:  # noqa: ARG002
            if turns.epoch_ended():
                raise FinishedError

    inputs, targets = data(workload)
    net = skorch.NeuralNet(
        network(workload),
        criterion=loss_function(workload),
        optimizer=torch.optim.Adam,
        lr=1e-3,
        max_epochs=10**9,
        batch_size=workload.batch_size,
        iterator_train__shuffle=True,
        train_split=None,
        verbose=0,
        callbacks=[("epoch_end", EpochEnd())],
        callbacks__epoch_timer=None,
        callbacks__train_loss=None,
        callbacks__valid_loss=None,
        callbacks__print_log=None,
    )
    with contextlib.suppress(FinishedError):
        net.fit(inputs, targets)


def train_fastai(workload: Workload, turns: Turns) -> None:
    """Fastai's `Learner.fit` with its `DataLoader` over tensors and torch's Adam; validation is skipped."""
    from functools import partial

    import torch
    from benchmarks.workloads import data, loss_function, network
    from fastai import callback, learner, optimizer
    from fastai import data as loading
    from torch.utils.data import TensorDataset

    class EpochEnd(callback.core.Callback):
        def before_validate(self) -> None:
            raise callback.core.CancelValidException

        def after_epoch(self) -> None:
            if turns.epoch_ended():
                raise callback.core.CancelFitException

    samples = TensorDataset(*data(workload))
    loader = loading.load.DataLoader(samples, bs=workload.batch_size, shuffle=True, num_workers=0)
    learning = learner.Learner(
        loading.core.DataLoaders(loader, loader, device=torch.device("cpu")),
        network(workload),
        loss_func=loss_function(workload),
        opt_func=partial(optimizer.OptimWrapper, opt=torch.optim.Adam),
        lr=1e-3,
        cbs=[EpochEnd()],
    )
    with learning.no_logging():  # its progress bar comes with `fastai.callback.progress`, which is not imported
        learning.fit(10**9)


CONTENDERS: dict[str, tuple[str, Callable[[Workload, Turns], None]]] = {
    "plain": ("torch", train_plain),
    "equipoise": ("equipoise", train_equipoise),
    "keras-torch": ("keras", lambda workload, turns: train_keras(workload, turns, "torch")),
    "keras-tensorflow": ("tensorflow", lambda workload, turns: train_keras(workload, turns, "tensorflow")),
    "keras-jax": ("jax", lambda workload, turns: train_keras(workload, turns, "jax")),
    "lightning": ("pytorch_lightning", train_lightning),
    "skorch": ("skorch", train_skorch),
    "fastai": ("fastai", train_fastai),
}
"""By name: the package that it needs, and how it trains."""


def absent() -> dict[str, str]:
    """Return the contenders whose package is not installed, with the package's name."""
    return {name: package for name, (package, _) in CONTENDERS.items() if importlib.util.find_spec(package) is None}


def swallow() -> contextlib.ExitStack:
    """Return a context that swallows what frameworks print on standard output and standard error."""
    stack = contextlib.ExitStack()
    stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
    stack.enter_context(contextlib.redirect_stderr(io.StringIO()))
    return stack
