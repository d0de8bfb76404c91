"""The Lightning callback: in Lightning where it is installed, and in a loop that does what Lightning's does."""

import importlib
import importlib.util
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace

import plain_training
import pytest
import torch
from torch import nn

ADAPTER = "equipoise.vitals.adapters.lightning"
INSTALLED = importlib.util.find_spec("pytorch_lightning") is not None


@pytest.fixture
def stand_in(monkeypatch):
    """Return the adapter's module over a package that has nothing but an empty `Callback`."""
    module = ModuleType("pytorch_lightning")
    module.__spec__ = ModuleSpec("pytorch_lightning", None)
    module.Callback = type("Callback", (), {})
    monkeypatch.setitem(sys.modules, "pytorch_lightning", module)
    monkeypatch.delitem(sys.modules, ADAPTER, raising=False)
    yield importlib.import_module(ADAPTER)
    sys.modules.pop(ADAPTER, None)


class Trained(nn.Module):
    """Stands in for a `LightningModule`: its training step is called, not itself."""

    def __init__(self):
        super().__init__()
        self.body = plain_training.network()

    def training_step(self, batch):
        inputs, targets = batch
        return ((self.body(inputs) - targets) ** 2).mean()


def fit(callback, module, batches, *, validate=None, broken_at=None):
    """Train as Lightning's automatic optimisation does: forward, zero_grad and backward inside `optimizer.step`."""
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    trainer = SimpleNamespace(optimizers=[optimizer])
    callback.on_train_start(trainer, module)
    try:
        for number, batch in enumerate(batches):

            def closure(batch=batch, number=number):
                loss = module.training_step(batch)
                if number == broken_at:
                    raise RuntimeError("the loader broke")
                optimizer.zero_grad()
                loss.backward()
                return loss

            optimizer.step(closure)
            if validate is not None:
                module.eval()
                with torch.no_grad():
                    module.training_step(validate)
                module.train()
    except RuntimeError as problem:
        callback.on_exception(trainer, module, problem)
        raise
    callback.on_train_end(trainer, module)


def batches(count=6):
    inputs, targets = plain_training.data()
    return list(zip(inputs.split(8), targets.split(8), strict=True)) * 2 if count == 8 else [(inputs, targets)] * count


def hooks(module):
    return sum(len(one._forward_hooks) + len(one._forward_pre_hooks) for one in module.modules())


def test_numbers_agree_with_a_training_by_hand(stand_in):
    windows = []
    callback, module = stand_in.WatchCallback(window=3, on_window=windows.append), Trained()
    fit(callback, module, batches(8), validate=plain_training.data())
    course = plain_training.train(plain_training.network(), batches(8))
    assert plain_training.agrees(windows, course)
    assert [len(one.steps) for one in windows] == [3, 3, 2]
    assert [one.name for one in windows[0].layers] == ["body.0", "body.1", "body.2"]
    assert {event.kind for event in callback.vitals.events} == set()
    assert windows[0].learning_rate.tolist() == [0.1] * 3
    for ours, theirs in zip(module.parameters(), course.weights, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-6)


def test_nothing_is_left_behind(stand_in):
    before = torch.autograd.backward
    callback, module = stand_in.WatchCallback(), Trained()
    fit(callback, module, batches(2))
    assert hooks(module) == 0
    assert torch.autograd.backward is before
    assert "loss" in {vital.name for vital in callback.vitals.history.vitals()}


def test_a_training_that_fails_is_let_go(stand_in):
    before = torch.autograd.backward
    callback, module = stand_in.WatchCallback(), Trained()
    with pytest.raises(RuntimeError, match="the loader broke"):
        fit(callback, module, batches(4), broken_at=2)
    assert hooks(module) == 0
    assert torch.autograd.backward is before


def test_one_callback_serves_two_trainings(stand_in):
    windows = []
    callback = stand_in.WatchCallback(on_window=windows.append)
    for _ in range(2):
        fit(callback, Trained(), batches(3))
    assert [one.steps.tolist() for one in windows] == [[1, 2, 3], [1, 2, 3]]


def test_with_several_optimisers_the_first_that_steps_counts(stand_in):
    windows = []
    callback, module = stand_in.WatchCallback(on_window=windows.append), Trained()
    inputs, targets = plain_training.data()
    one, two = (torch.optim.SGD(part.parameters(), lr=0.1) for part in (module.body[0], module.body[2]))
    trainer = SimpleNamespace(optimizers=[one, two])
    callback.on_train_start(trainer, module)
    for _ in range(4):
        loss = module.training_step((inputs, targets))
        module.zero_grad()
        loss.backward()
        one.step()
        two.step()
    callback.on_train_end(trainer, module)
    course = plain_training.train(plain_training.network(), batches(4))
    assert windows[0].steps.tolist() == [1, 2, 3, 4]
    assert windows[0].loss.tolist() == pytest.approx(course.losses, rel=1e-5)


def test_without_the_extra_it_says_which(monkeypatch):
    monkeypatch.setitem(sys.modules, "pytorch_lightning", None)
    monkeypatch.delitem(sys.modules, ADAPTER, raising=False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'equipoise\[lightning\]'"):
        importlib.import_module(ADAPTER)


@pytest.mark.skipif(not INSTALLED, reason="pytorch_lightning is not installed")
@pytest.mark.filterwarnings("ignore")
def test_in_lightning(tmp_path):
    import pytorch_lightning as lightning
    from torch.utils.data import DataLoader, TensorDataset

    sys.modules.pop(ADAPTER, None)
    adapter = importlib.import_module(ADAPTER)

    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.body = plain_training.network()

        def training_step(self, batch, index):
            inputs, targets = batch
            return ((self.body(inputs) - targets) ** 2).mean()

        def validation_step(self, batch, index):
            self.training_step(batch, index)

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1)

    windows = []
    callback, module = adapter.WatchCallback(window=3, on_window=windows.append), Module()
    loader = DataLoader(TensorDataset(*plain_training.data()), batch_size=8)
    trainer = lightning.Trainer(
        accelerator="cpu",
        max_epochs=2,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
        callbacks=[callback],
    )
    trainer.fit(module, loader, loader)
    course = plain_training.train(plain_training.network(), batches(8))
    assert plain_training.agrees(windows, course)
    assert [one.name for one in windows[0].layers] == ["body.0", "body.1", "body.2"]
    assert callback.vitals.events == ()
    assert hooks(module) == 0
