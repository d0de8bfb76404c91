"""Sinks: what a window becomes, against the windows' own numbers; real trackers where they are installed."""

import importlib.util
import math
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from equipoise.vitals.sinks.mlflow import MLflowSink
from equipoise.vitals.sinks.readings import readings
from equipoise.vitals.sinks.tensorboard import TensorBoardSink
from equipoise.vitals.window import Event, Layer, Weights, Window

NAN = float("nan")


def window(first=1, events=()):
    """Return a window of three steps, two layers (one called twice) and one parameter."""
    steps = np.arange(first, first + 3)
    two = np.array([[0.1, 5.0], [0.3, NAN], [0.2, 7.0]])
    return Window(
        steps=steps,
        loss=np.array([2.0, NAN, 1.0]),
        learning_rate=np.full(3, 1e-3),
        layers=(Layer("fc", "Linear", "relu", 4), Layer("fc@2", "Linear", "", 4)),
        activation={"mean": two, "maximum": two, "non_finite": np.array([[0.0, 1.0], [0.0, 2.0], [0.0, 0.0]])},
        fired=(np.array([0, 5, 0, 1]), np.array([1, 1, 1, 1])),
        seen=np.array([96, 0]),
        weights=(Weights("fc.weight", "fc", 16, 16),),
        gradient={"norm": np.array([[3.0], [math.inf], [1.0]]), "cosine": np.full((3, 1), NAN)},
        weight={"norm": np.ones((3, 1)), "update_ratio": np.array([[NAN], [2e-3], [1e-3]])},
        events=tuple(events),
    )


EXPECTED = {
    ("loss", 1): 2.0,
    ("loss", 3): 1.0,
    ("learning_rate", 1): 1e-3,
    ("learning_rate", 2): 1e-3,
    ("learning_rate", 3): 1e-3,
    ("activation_mean/fc", 3): 0.2,
    ("activation_mean/fc@2", 3): 5.0,
    ("activation_maximum/fc", 3): 0.3,
    ("activation_maximum/fc@2", 3): 7.0,
    ("activation_non_finite/fc", 3): 0.0,
    ("activation_non_finite/fc@2", 3): 3.0,
    ("dead_units/fc", 3): 0.5,
    ("gradient_norm/fc.weight", 3): 3.0,
    ("weight_norm/fc.weight", 3): 1.0,
    ("weight_update_ratio/fc.weight", 3): 1e-3,
}
"""Written down by hand: medians of an even number take the lower middle, what was not measured is left out."""


def found(window):
    return {(one.name, one.step): one.value for one in readings(window)}


def test_readings_are_the_windows_numbers():
    assert found(window()) == EXPECTED


def test_an_empty_window_has_none():
    empty = window()
    nothing = {name: values[:0] for name, values in empty.activation.items()}
    bare = Window(empty.steps[:0], empty.loss[:0], empty.learning_rate[:0], (), nothing, (), empty.seen[:0], (), {}, {})
    assert list(readings(bare)) == []


@pytest.mark.parametrize("seed", range(5))
def test_medians_against_numpy(seed):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(7, 2))
    one = window()
    odd = Window(
        steps=np.arange(1, 8),
        loss=rng.normal(size=7),
        learning_rate=np.ones(7),
        layers=one.layers,
        activation={"deviation": values},
        fired=one.fired,
        seen=one.seen,
        weights=(),
        gradient={},
        weight={},
    )
    got = found(odd)
    for index, layer in enumerate(odd.layers):
        assert got[f"activation_deviation/{layer.name}", 7] == np.median(values[:, index])


class Writer:
    """Stands in for `torch.utils.tensorboard.SummaryWriter`."""

    def __init__(self, folder):
        self.folder, self.scalars, self.texts, self.flushed, self.closed = folder, {}, [], 0, False

    def add_scalar(self, name, value, step):
        self.scalars[name, step] = value

    def add_text(self, name, text, step):
        self.texts.append((name, text, step))

    def flush(self):
        self.flushed += 1

    def close(self):
        self.closed = True


EVENT = Event(2, "non_finite", "fc", "Linear put out 3 NaN.")


def module(monkeypatch, name, **contents):
    made = ModuleType(name)
    for key, value in contents.items():
        setattr(made, key, value)
    monkeypatch.setitem(sys.modules, name, made)
    return made


def test_tensorboard_logic(monkeypatch, tmp_path):
    module(monkeypatch, "torch.utils.tensorboard", SummaryWriter=Writer)
    sink = TensorBoardSink(tmp_path / "vitals")
    sink(window(events=[EVENT]))
    assert sink._writer.folder == str(tmp_path / "vitals")
    assert sink._writer.scalars == EXPECTED
    assert sink._writer.texts == [("events/non_finite", "fc: Linear put out 3 NaN.", 2)]
    assert sink._writer.flushed == 1
    sink.close()
    assert sink._writer.closed


class Client:
    """Stands in for `mlflow.MlflowClient`."""

    def __init__(self, tracking_uri=None):
        self.uri, self.batches, self.tags = tracking_uri, [], {}

    def log_batch(self, run_id, metrics):
        self.batches.append((run_id, metrics))

    def set_tag(self, run_id, name, text):
        self.tags[name] = text


def fake_mlflow(monkeypatch, active=None):
    run = None if active is None else SimpleNamespace(info=SimpleNamespace(run_id=active))
    made = module(monkeypatch, "mlflow", MlflowClient=Client, active_run=lambda: run)
    made.entities = module(
        monkeypatch,
        "mlflow.entities",
        Metric=lambda key, value, timestamp, step: SimpleNamespace(key=key, value=value, step=step, at=timestamp),
    )


def test_mlflow_logic(monkeypatch):
    fake_mlflow(monkeypatch, active="abc")
    sink = MLflowSink(tracking_uri="http://tracker")
    sink(window(events=[EVENT]))
    ((run, metrics),) = sink._client.batches
    assert (run, sink._client.uri) == ("abc", "http://tracker")
    assert {(one.key.replace(".call", "@"), one.step): one.value for one in metrics} == EXPECTED
    assert sink._client.tags == {"vitals.non_finite": "step 2, fc: Linear put out 3 NaN."}
    sink.close()


def test_mlflow_sends_no_more_at_once_than_a_server_takes(monkeypatch):
    fake_mlflow(monkeypatch)
    many = window()
    layers = tuple(Layer(f"block.{i}", "Linear", "", 1) for i in range(1200))
    wide = Window(
        steps=many.steps,
        loss=many.loss,
        learning_rate=many.learning_rate,
        layers=layers,
        activation={"mean": np.zeros((3, 1200))},
        fired=tuple(np.ones(1) for _ in layers),
        seen=np.zeros(1200),
        weights=(),
        gradient={},
        weight={},
    )
    sink = MLflowSink("one")
    sink(wide)
    assert [len(metrics) for _, metrics in sink._client.batches] == [1000, 205]


def test_mlflow_names_keep_to_its_alphabet(monkeypatch):
    fake_mlflow(monkeypatch)
    sink = MLflowSink("one")
    one = window()
    names = ("a" * 300 + "1", "a" * 300 + "2", "größe:[0]")
    odd = Window(
        steps=one.steps,
        loss=one.loss,
        learning_rate=one.learning_rate,
        layers=tuple(Layer(name, "Linear", "", 1) for name in names),
        activation={"mean": np.zeros((3, 3))},
        fired=tuple(np.ones(1) for _ in names),
        seen=np.zeros(3),
        weights=(),
        gradient={},
        weight={},
    )
    sink(odd)
    keys = [metric.key for metric in sink._client.batches[0][1] if metric.key.startswith("activation")]
    assert len(set(keys)) == 3
    assert max(map(len, keys)) == 250
    assert keys[2] == "activation_mean/gr__e__0_"


def test_mlflow_without_a_run_says_so(monkeypatch):
    fake_mlflow(monkeypatch)
    with pytest.raises(ValueError, match="got no run_id.*expected.*Call mlflow.start_run"):
        MLflowSink()


@pytest.mark.parametrize(("name", "extra"), [("torch.utils.tensorboard", "tensorboard"), ("mlflow", "mlflow")])
def test_a_missing_extra_is_named(monkeypatch, tmp_path, name, extra):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ModuleNotFoundError, match=rf"pip install 'equipoise\[{extra}\]'"):
        TensorBoardSink(tmp_path) if extra == "tensorboard" else MLflowSink("one")


def absent(package):
    return pytest.mark.skipif(importlib.util.find_spec(package) is None, reason=f"{package} is not installed")


@absent("tensorboard")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard_reads_what_was_written(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    sink = TensorBoardSink(tmp_path)
    sink(window(events=[EVENT]))
    sink(window(first=4))
    written = EventAccumulator(str(tmp_path)).Reload()  # still open: it is readable while it grows
    tags = written.Tags()
    got = {(tag, one.step): one.value for tag in tags["scalars"] for one in written.Scalars(tag)}
    later = {(name, step + 3): value for (name, step), value in EXPECTED.items()}
    assert got == {key: pytest.approx(value) for key, value in (EXPECTED | later).items()}
    assert "events/non_finite/text_summary" in tags["tensors"]
    sink.close()


@absent("mlflow")
@pytest.mark.filterwarnings("ignore")
def test_mlflow_reads_what_was_logged(monkeypatch, tmp_path):
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=tmp_path.as_uri())
    run = client.create_run(client.create_experiment("vitals")).info.run_id
    sink = MLflowSink(run, tracking_uri=tmp_path.as_uri())
    sink(window(events=[EVENT]))
    data = client.get_run(run).data
    last = {name: value for (name, _), value in EXPECTED.items() if name not in ("loss", "learning_rate")}
    for name, value in last.items():
        assert data.metrics[name.replace("@", ".call")] == pytest.approx(value)
    history = client.get_metric_history(run, "loss")
    assert [(one.step, one.value) for one in history] == [(1, 2.0), (3, 1.0)]
    assert data.tags["vitals.non_finite"].startswith("step 2, fc")
