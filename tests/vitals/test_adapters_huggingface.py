"""The Hugging Face callback: in the `Trainer` where it is installed, and in a loop that calls it as that does."""

import importlib
import importlib.util
import sys
from types import ModuleType, SimpleNamespace

import plain_training
import pytest
import torch
from torch import nn

ADAPTER = "equipoise.vitals.adapters.huggingface"
INSTALLED = all(importlib.util.find_spec(one) is not None for one in ("transformers", "accelerate"))


@pytest.fixture
def stand_in(monkeypatch):
    """Return the adapter's module over a package that has nothing but an empty `TrainerCallback`."""
    module = ModuleType("transformers")
    module.TrainerCallback = type("TrainerCallback", (), {})
    monkeypatch.setitem(sys.modules, "transformers", module)
    monkeypatch.delitem(sys.modules, ADAPTER, raising=False)
    yield importlib.import_module(ADAPTER)
    sys.modules.pop(ADAPTER, None)


class Model(nn.Module):
    """Returns its loss in a dictionary, as the trainer wants it."""

    def __init__(self):
        super().__init__()
        self.body = plain_training.network()

    def forward(self, inputs, labels):
        answer = self.body(inputs)
        return {"loss": ((answer - labels) ** 2).mean(), "logits": answer}


class Accelerated:
    """Stands in for accelerate's wrapper around the optimiser that really steps."""

    def __init__(self, optimizer):
        self.optimizer = optimizer

    def step(self):
        self.optimizer.step()


def fit(callback, model, steps, *, accumulate=1, end=True):
    inputs, targets = plain_training.data()
    inner = torch.optim.SGD(model.parameters(), lr=0.1)
    optimizer = Accelerated(inner)
    given = {"model": model, "optimizer": optimizer, "lr_scheduler": None, "processing_class": None}
    callback.on_train_begin(SimpleNamespace(), SimpleNamespace(), SimpleNamespace(), **given)
    for _ in range(steps):
        for some, others in zip(inputs.chunk(accumulate), targets.chunk(accumulate), strict=True):
            (model(some, others)["loss"] / accumulate).backward()
        optimizer.step()
        inner.zero_grad()
        model.eval()
        with torch.no_grad():
            model(inputs, targets)
        model.train()
    if end:
        callback.on_train_end(SimpleNamespace(), SimpleNamespace(), SimpleNamespace(), **given)


def by_hand(steps):
    return plain_training.train(plain_training.network(), [plain_training.data()] * steps)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_numbers_agree_with_a_training_by_hand(stand_in, accumulate):
    windows = []
    callback, model = stand_in.WatchCallback(window=4, on_window=windows.append), Model()
    fit(callback, model, 6, accumulate=accumulate)
    assert plain_training.agrees(windows, by_hand(6))
    assert [one.name for one in windows[0].layers] == ["body.0", "body.1", "body.2"]
    assert callback.vitals.events == ()


def test_a_training_that_fails_is_let_go_by_the_with_statement(stand_in):
    before, model = torch.autograd.backward, Model()
    with stand_in.WatchCallback() as callback:
        fit(callback, model, 2, end=False)
    assert torch.autograd.backward is before
    assert sum(len(one._forward_hooks) for one in model.modules()) == 0
    assert len(callback.vitals.read().steps) == 0


def test_close_before_a_training_does_nothing(stand_in):
    callback = stand_in.WatchCallback()
    callback.close()
    assert callback.vitals is None


def test_without_the_extra_it_says_which(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    monkeypatch.delitem(sys.modules, ADAPTER, raising=False)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'equipoise\[transformers\]'"):
        importlib.import_module(ADAPTER)


@pytest.mark.skipif(not INSTALLED, reason="transformers or accelerate is not installed")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("accumulate", [1, 2])
def test_in_the_trainer(tmp_path, accumulate):
    import transformers

    sys.modules.pop(ADAPTER, None)
    adapter = importlib.import_module(ADAPTER)
    inputs, targets = plain_training.data()
    rows = [{"inputs": x, "labels": y} for x, y in zip(inputs, targets, strict=True)]
    windows = []
    callback, model = adapter.WatchCallback(window=4, on_window=windows.append), Model()
    arguments = transformers.TrainingArguments(
        output_dir=str(tmp_path),
        num_train_epochs=6,
        per_device_train_batch_size=32 // accumulate,
        gradient_accumulation_steps=accumulate,
        eval_strategy="epoch",
        save_strategy="no",
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
        max_grad_norm=0.0,
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    constant = torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0)
    trainer = transformers.Trainer(
        model=model,
        args=arguments,
        train_dataset=rows,
        eval_dataset=rows,
        optimizers=(optimizer, constant),
        callbacks=[callback],
    )
    trainer.train()
    course = by_hand(6)
    assert [step for one in windows for step in one.steps] == list(range(1, 7))
    assert [loss for one in windows for loss in one.loss] == pytest.approx(course.losses, rel=1e-4)
    gradients = [row for one in windows for row in one.gradient["norm"].tolist()]
    for row, wanted in zip(gradients, course.gradients, strict=True):
        assert row == pytest.approx(wanted, rel=1e-3)
    assert callback.vitals.events == ()
    assert sum(len(one._forward_hooks) for one in model.modules()) == 0
