"""Loops that are hard to follow: what belongs to a step, what is odd about it, and what must not be touched."""

import contextlib
import copy
import io
import pickle
import threading

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import parametrizations

import equipoise
from equipoise.vitals import watch as watch_module
from equipoise.vitals.kernel import Kernel
from equipoise.vitals.loss_tap import LOSS_TAP


def small(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))


def data(n=16, seed=7):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, 6, generator=generator), torch.randint(0, 3, (n,), generator=generator)


def step(network, optimizer, inputs, labels):
    optimizer.zero_grad()
    loss = functional.cross_entropy(network(inputs), labels)
    loss.backward()
    optimizer.step()
    return loss.item()


def kinds(vitals):
    return {event.kind for event in vitals.events}


def joined(windows, kind, name):
    return np.concatenate([getattr(window, kind)[name] for window in windows])


@pytest.fixture(params=["kernel", "plain"])
def both(request, monkeypatch):
    """Run a test with the kernel and without it."""
    if request.param == "plain":
        monkeypatch.setattr(watch_module, "Kernel", lambda: Kernel(native=False))


def test_the_kernel_and_plain_torch_give_the_same_window(monkeypatch):
    def run():
        network = nn.Sequential(nn.Conv2d(1, 4, 2), nn.Tanh(), nn.Flatten(), nn.Linear(8, 3))
        torch.manual_seed(0)
        network = nn.Sequential(nn.Unflatten(1, (1, 2, 3)), *copy.deepcopy(network))
        for one in network.parameters():
            nn.init.normal_(one, generator=torch.Generator().manual_seed(1))
        optimizer, windows = torch.optim.Adam(network.parameters(), lr=0.05), []
        with equipoise.watch(network, optimizer, on_window=windows.append):
            for _ in range(5):
                step(network, optimizer, *data())
        return windows[0]

    native = run()
    monkeypatch.setattr(watch_module, "Kernel", lambda: Kernel(native=False))
    plain = run()
    assert native.layers == plain.layers
    assert native.weights == plain.weights
    for kind in ("activation", "gradient", "weight"):
        for name, values in getattr(native, kind).items():
            np.testing.assert_allclose(values, getattr(plain, kind)[name], rtol=1e-4, atol=1e-5, err_msg=name)
    assert all(np.array_equal(*pair) for pair in zip(native.fired, plain.fired, strict=True))
    assert np.array_equal(native.seen, plain.seen)
    assert np.array_equal(native.loss, plain.loss)


def test_evaluation_with_gradients_on_does_not_count(both):
    """Somebody forgot `no_grad`: forward passes whose gradient is never taken are not measured."""
    network = small()
    optimizer, windows = torch.optim.SGD(network.parameters(), lr=0.1), []
    inputs, labels = data()
    with equipoise.watch(network, optimizer, on_window=windows.append):
        for number in range(6):
            step(network, optimizer, inputs, labels)
            if number % 2:
                network.eval()
                for _ in range(3):
                    network(1000 * inputs)
                network.train()
    assert joined(windows, "activation", "maximum").max() < 50
    assert sum(window.seen for window in windows).tolist() == [6 * 16] * 3


def test_two_passes_under_one_loss_both_count(both):
    network = small()
    optimizer, windows = torch.optim.SGD(network.parameters(), lr=0.1), []
    inputs, labels = data()
    with equipoise.watch(network, optimizer, on_window=windows.append):
        for _ in range(4):
            optimizer.zero_grad()
            scores = network(inputs) + network(2 * inputs)
            functional.cross_entropy(scores, labels).backward()
            optimizer.step()
    assert windows[0].seen.tolist() == [4 * 32] * 3
    assert [layer.name for layer in windows[0].layers] == ["0", "1", "2"]


def test_losses_of_one_step_add_up(both):
    network = small()
    optimizer, windows, wanted = torch.optim.SGD(network.parameters(), lr=0.1), [], []
    inputs, labels = data()
    with equipoise.watch(network, optimizer, on_window=windows.append):
        for _ in range(3):
            optimizer.zero_grad()
            scores = network(inputs)
            first = functional.cross_entropy(scores, labels)
            second = 0.1 * scores.square().mean()
            first.backward(retain_graph=True)
            second.backward()
            optimizer.step()
            wanted.append(first.item() + second.item())
    assert windows[0].loss == pytest.approx(wanted)
    assert windows[0].seen.tolist() == [3 * 16] * 3


def test_an_adversarial_pair_is_told_apart(both):
    """The other network's loss flows through ours and leaves gradients behind, cleared before ours is taken."""
    torch.manual_seed(0)
    maker = nn.Sequential(nn.Linear(4, 6), nn.Tanh())
    judge = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 1))
    one, other = torch.optim.Adam(maker.parameters()), torch.optim.Adam(judge.parameters())
    made, judged = [], []
    losses = {"maker": [], "judge": []}
    with (
        equipoise.watch(maker, one, on_window=made.append) as first,
        equipoise.watch(judge, other, on_window=judged.append) as second,
    ):
        for _ in range(5):
            noise, real = torch.randn(8, 4), torch.randn(8, 6)
            fake = maker(noise)
            other.zero_grad()
            for inputs, wanted in ((real, torch.ones(8, 1)), (fake.detach(), torch.zeros(8, 1))):
                loss = functional.binary_cross_entropy_with_logits(judge(inputs), wanted)
                loss.backward()
                losses["judge"].append(loss.item())
            other.step()
            one.zero_grad()
            loss = functional.binary_cross_entropy_with_logits(judge(fake), torch.ones(8, 1))
            loss.backward()
            losses["maker"].append(loss.item())
            one.step()
    assert kinds(first) == set()
    assert kinds(second) == set()
    assert made[0].loss == pytest.approx(losses["maker"])
    assert judged[0].loss == pytest.approx([sum(losses["judge"][at : at + 2]) for at in range(0, 10, 2)])
    assert made[0].seen.tolist() == [40, 40]
    assert judged[0].seen.tolist() == [80, 80, 80]


def test_losses_of_other_networks_are_not_ours():
    network, other = small(), small(1)
    optimizer, windows = torch.optim.SGD(network.parameters(), lr=0.1), []
    inputs, labels = data()
    with equipoise.watch(network, optimizer, on_window=windows.append):
        losses = []
        for _ in range(3):
            losses.append(step(network, optimizer, inputs, labels))
            (100 * other(inputs).square().mean()).backward()
    assert windows[0].loss == pytest.approx(losses)


def test_a_loop_without_an_optimiser_of_torch(both):
    network, windows = small(), []
    inputs, labels = data()
    before = []
    with equipoise.watch(network, on_window=windows.append):
        for _ in range(4):
            network.zero_grad()
            loss = functional.cross_entropy(network(inputs), labels)
            loss.backward()
            with torch.no_grad():
                before.append([one.detach().clone() for one in network.parameters()])
                for one in network.parameters():
                    one -= 0.1 * one.grad
    (window,) = windows
    assert window.steps.tolist() == [1, 2, 3, 4]
    assert np.isnan(window.learning_rate).all()
    after = [*before[1:], list(network.parameters())]
    for at, (old, new) in enumerate(zip(before, after, strict=True)):
        for place, (one, other) in enumerate(zip(old, new, strict=True)):
            ratio = ((other - one).norm() / one.norm()).item()
            assert window.weight["update_ratio"][at, place] == pytest.approx(ratio, rel=1e-3)
            assert window.gradient["norm"][at, place] == pytest.approx((other - one).norm().item() / 0.1, rel=1e-3)


def test_the_optimiser_is_found_when_none_is_given():
    network, windows = small(), []
    optimizer, stranger = torch.optim.SGD(network.parameters(), lr=0.3), torch.optim.SGD(small(1).parameters(), lr=0.1)
    with equipoise.watch(network, every=2, on_window=windows.append) as vitals:
        for _ in range(6):
            step(network, optimizer, *data())
            stranger.step()
    assert windows[0].steps.tolist() == [1, 3, 5]
    assert windows[0].learning_rate.tolist() == [0.3] * 3
    assert kinds(vitals) == set()


def test_sampled_steps_measure_their_own_movement():
    network, windows = small(), []
    optimizer = torch.optim.SGD(network.parameters(), lr=0.3)
    wanted = []
    with equipoise.watch(network, optimizer, every=3, on_window=windows.append):
        for _ in range(7):
            before = network[0].weight.detach().clone()
            step(network, optimizer, *data())
            wanted.append(((network[0].weight - before).norm() / before.norm()).item())
            hooked = sum(len(module._forward_hooks) for module in network.modules())
            assert bool(hooked) == (len(wanted) % 3 == 0)  # nothing hangs on the network between sampled steps
    assert windows[0].steps.tolist() == [1, 4, 7]
    assert windows[0].weight["update_ratio"][:, 0] == pytest.approx(wanted[::3], rel=1e-4)
    assert np.isfinite(windows[0].gradient["cosine"][1:]).all()


def test_recorded_losses_win(both):
    network, windows = small(), []
    optimizer = torch.optim.SGD(network.parameters(), lr=0.3)
    with equipoise.watch(network, optimizer, on_window=windows.append) as vitals:
        for number in range(3):
            step(network, optimizer, *data())
            vitals.record(float(number))
        optimizer.zero_grad()
        functional.cross_entropy(network(data()[0]), data()[1]).backward()
        vitals.record(torch.tensor(9.0))
        optimizer.step()
    assert windows[0].loss.tolist() == [0.0, 1.0, 2.0, 9.0]


def test_odd_steps_are_events():
    inputs, labels = data()
    network = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Linear(8, 3))
    optimizer = torch.optim.SGD(network[0].parameters(), lr=0.1)
    with equipoise.watch(network, optimizer) as vitals:
        network.eval()
        step(network, optimizer, inputs, labels)
        assert "wrong_mode" in kinds(vitals)
        optimizer.zero_grad()
        optimizer.step()
        assert "no_backward" in kinds(vitals)
    left_out = {event.where for event in vitals.events if event.kind == "not_in_optimizer"}
    assert left_out == {"1.weight", "1.bias", "2.weight", "2.bias"}
    window = vitals.read()
    assert not len(window.steps)


def test_the_same_gradient_twice_is_an_event(both):
    network = small()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    with equipoise.watch(network, optimizer) as vitals:
        step(network, optimizer, *data())
        optimizer.step()
    assert [event.step for event in vitals.events if event.kind == "no_backward"] == [2]


def test_parameters_made_anew_are_events(both):
    network = small()
    with equipoise.watch(network, torch.optim.SGD(network.parameters(), lr=0.1)) as vitals:
        for _ in range(6):
            for layer in (network[0], network[2]):
                layer.weight = nn.Parameter(torch.randn_like(layer.weight))
            step(network, torch.optim.SGD(network.parameters(), lr=0.1), *data())
    assert "parameter_replaced" in kinds(vitals)
    assert "not_in_optimizer" in kinds(vitals)


def test_a_scaler_that_leaves_out_a_step():
    network, windows = small(), []
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
    original = torch.amp.GradScaler.step, torch.amp.GradScaler.scale
    inputs, labels = data()
    losses = []
    with equipoise.watch(network, optimizer, on_window=windows.append) as vitals:
        for number in range(5):
            optimizer.zero_grad()
            loss = functional.cross_entropy(network(inputs), labels)
            scaler.scale(loss).backward()
            if number == 2:
                network[0].weight.grad[0, 0] = torch.inf
            else:
                losses.append(loss.item())
            scaler.step(optimizer)
            scaler.update()
    assert windows[0].steps.tolist() == [1, 2, 3, 4]
    assert windows[0].loss == pytest.approx(losses)  # unscaled
    assert windows[0].gradient["norm"].max() < 10  # unscaled
    assert [(event.kind, event.step) for event in vitals.events] == [("skipped_step", 3)]
    assert (torch.amp.GradScaler.step, torch.amp.GradScaler.scale) == original


def test_copies_of_a_watched_network_are_not_watched(both):
    network, windows = small(), []
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    inputs, labels = data()
    with equipoise.watch(network, optimizer, on_window=windows.append):
        step(network, optimizer, inputs, labels)
        copies = [copy.deepcopy(network), pickle.loads(pickle.dumps(network))]
        buffer = io.BytesIO()
        torch.save(network, buffer)
        buffer.seek(0)
        copies.append(torch.load(buffer, weights_only=False))
        for one in copies:
            assert torch.equal(one(inputs), network(inputs))
            one(1000 * inputs).sum().backward()
        step(network, optimizer, inputs, labels)
    assert windows[0].activation["maximum"].max() < 50
    assert windows[0].steps.tolist() == [1, 2]


def test_a_compiled_part_is_left_whole():
    """With `fullgraph` a hook that cannot be traced would raise."""
    torch.compiler.reset()
    inputs, labels = data()

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = small()

        def forward(self, x):
            return self.body(x) * 1.0

    def run(watched, compiled_after):
        network = Net()
        optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
        windows = []
        context = equipoise.watch(network, optimizer, on_window=windows.append) if watched else contextlib.nullcontext()
        if not compiled_after:
            network.compile(backend="eager", fullgraph=True)
        with context:
            used = torch.compile(network, backend="eager", fullgraph=True) if compiled_after else network
            losses = []
            for _ in range(3):
                optimizer.zero_grad()
                loss = functional.cross_entropy(used(inputs), labels)
                loss.backward()
                optimizer.step()
                losses.append(loss.item())
        return losses, windows

    for compiled_after in (False, True):
        plain, _ = run(False, compiled_after)
        seen, windows = run(True, compiled_after)
        assert seen == plain
        assert windows[0].loss == pytest.approx(plain)
        assert np.isfinite(windows[0].gradient["norm"]).all()


def test_a_failure_of_ours_is_noted_once_and_stops_nothing(monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("ours")

    inputs, labels = data()
    plain, plain_losses = small(), []
    optimizer = torch.optim.SGD(plain.parameters(), lr=0.1)
    for _ in range(4):
        plain_losses.append(step(plain, optimizer, inputs, labels))
    for place, where in (
        ("equipoise.vitals.forward.unit_axis", "0"),
        ("equipoise.vitals.parameters.ParameterTable.cleared", "backward"),
        ("equipoise.vitals.parameters.ParameterTable.measure", "backward"),
        ("equipoise.vitals.rows.Ring.append", "step"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(place, broken)
            network = small()
            optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
            with equipoise.watch(network, optimizer) as vitals:
                losses = [step(network, optimizer, inputs, labels) for _ in range(4)]
        assert losses == plain_losses
        failures = [event for event in vitals.events if event.kind == "hook_failed"]
        assert where in {event.where for event in failures}
        assert len({event.where for event in failures}) == len(failures)
        assert all("ours" in event.text for event in failures)


def test_an_error_in_the_forward_pass_is_the_users_own():
    network = small()
    optimizer, windows = torch.optim.SGD(network.parameters(), lr=0.1), []
    inputs, labels = data()
    with equipoise.watch(network, optimizer, on_window=windows.append) as vitals:
        with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
            network(inputs[:, :3])
        for _ in range(3):
            step(network, optimizer, inputs, labels)
        loss = functional.cross_entropy(network(inputs), labels)
        loss.backward()
        with pytest.raises(RuntimeError, match="second time|already been freed"):
            loss.backward()
        step(network, optimizer, inputs, labels)
    assert windows[0].steps.tolist() == [1, 2, 3, 4]
    assert "hook_failed" not in kinds(vitals)


def test_networks_and_batches_of_every_kind(both):
    torch.manual_seed(0)
    cases = {
        "a single layer": (nn.Linear(6, 3), data()),
        "double precision": (small().double(), (data()[0].double(), data()[1])),
        "bfloat16": (small().bfloat16(), (data()[0].bfloat16(), data()[1])),
        "parametrised": (nn.Sequential(parametrizations.spectral_norm(nn.Linear(6, 3))), data()),
        "an empty batch": (small(), (torch.empty(0, 6), torch.empty(0, dtype=torch.long))),
    }
    for name, (network, (inputs, labels)) in cases.items():
        optimizer, windows = torch.optim.SGD(network.parameters(), lr=0.1), []
        with equipoise.watch(network, optimizer, on_window=windows.append) as vitals:
            for _ in range(3):
                optimizer.zero_grad()
                (functional.cross_entropy(network(inputs), labels, reduction="sum") / max(len(labels), 1)).backward()
                optimizer.step()
        assert kinds(vitals) == set(), name
        assert windows[0].steps.tolist() == [1, 2, 3], name
        if len(labels):
            assert np.isfinite(windows[0].activation["mean"]).all(), name
            assert np.isfinite(windows[0].gradient["norm"]).all(), name


def test_units_lie_along_channels_and_features():
    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.acted = nn.Conv1d(3, 5, 3), nn.ReLU()
            self.words, self.gelu = nn.Linear(9, 7), nn.GELU()
            self.norm, self.attention = nn.BatchNorm1d(5), nn.MultiheadAttention(7, 1, batch_first=True)

        def forward(self, x):
            x = self.gelu(self.words(self.norm(self.acted(self.conv(x)))))
            return self.attention(x, x, x)[0].sum((1, 2))

    network, windows = Mixed(), []
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    with equipoise.watch(network, optimizer, on_window=windows.append):
        for _ in range(2):
            optimizer.zero_grad()
            network(torch.randn(4, 3, 11)).sum().backward()
            optimizer.step()
    units = {layer.name: layer.units for layer in windows[0].layers}
    assert units == {"conv": 5, "acted": 5, "norm": 5, "words": 7, "gelu": 7, "attention": 7}
    assert dict(zip(units, windows[0].seen.tolist(), strict=True))["acted"] == 2 * 4 * 9


def test_activations_that_are_calls_are_measured_after_them(both):
    class Calls(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two, self.three = nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(8, 8)
            self.last, self.own = nn.Linear(8, 3), Own()

        def forward(self, x):
            x = functional.relu(functional.dropout(self.one(x), 0.0))
            x = torch.sigmoid(self.two(x))
            x = self.own(self.three(x)).clamp(min=0)
            return functional.log_softmax(self.last(x), dim=1)

    class Own(nn.Module):
        def forward(self, x):
            return torch.tanh(x)

    network, windows = Calls(), []
    inputs, labels = data()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    wanted = []
    with equipoise.watch(network, optimizer, on_window=windows.append):
        for _ in range(3):
            with torch.no_grad():
                one = torch.relu(network.one(inputs))
                two = torch.sigmoid(network.two(one))
                wanted.append((one, two))
            step(network, optimizer, inputs, labels)
    (window,) = windows
    names = {layer.name: layer.activation for layer in window.layers}
    assert names == {"one": "relu", "two": "sigmoid", "three": "", "own": "tanh", "last": "log_softmax"}
    for at, (one, two) in enumerate(wanted):
        assert window.activation["zeros"][at, 0] == pytest.approx((one == 0).float().mean().item())
        assert window.activation["mean"][at, 1] == pytest.approx(two.mean().item(), rel=1e-5)
        assert window.activation["saturated"][at, 1] == pytest.approx(
            ((two > 0.99) | (two < 0.01)).float().mean().item()
        )
    assert np.isnan(window.activation["saturated"][:, 0]).all()
    assert window.fired[0].tolist() == sum((one > 0).sum(0) for one, _ in wanted).tolist()
    assert window.activation["maximum"][:, 1].max() <= 1


def test_a_loss_that_is_not_finite_while_every_layer_is():
    network = small()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.0)
    with equipoise.watch(network, optimizer) as vitals:
        for _ in range(2):
            optimizer.zero_grad()
            (network(data()[0]).relu().sum() * 0).log().backward()
            optimizer.step()
    first = next(event for event in vitals.events if event.kind == "non_finite")
    assert (first.step, first.where) == (1, "loss")
    assert "log" in first.text.lower()


def test_an_operation_between_layers_is_named():
    class Rooted(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two = nn.Linear(6, 4), nn.Linear(4, 3)

        def forward(self, x):
            return self.two(torch.sqrt(self.one(x) - 100))

    network = Rooted()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.0)
    with equipoise.watch(network, optimizer) as vitals:
        step(network, optimizer, *data())
    first = next(event for event in vitals.events if event.kind == "non_finite")
    assert first.where == "two"
    assert first.text.endswith("the first operation that made any is sqrt")


def test_nested_watches_and_closing_in_any_order():
    original = torch.autograd.backward
    network = small()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    found = [[], []]
    one, other = (equipoise.watch(network, optimizer, on_window=each.append) for each in found)
    one.open()
    step(network, optimizer, *data())
    other.open()
    step(network, optimizer, *data())
    one.close()
    step(network, optimizer, *data())
    other.close()
    step(network, optimizer, *data())
    assert [window.steps.tolist() for window in found[0]] == [[1, 2]]
    assert [window.steps.tolist() for window in found[1]] == [[1, 2]]
    assert torch.autograd.backward is original
    one.open()  # again, where it stopped
    step(network, optimizer, *data())
    one.close()
    assert found[0][-1].steps.tolist() == [3]


def test_a_training_in_another_thread_is_not_ours():
    network, other, windows = small(), small(1), []
    optimizer, foreign = (torch.optim.SGD(one.parameters(), lr=0.1) for one in (network, other))
    with equipoise.watch(network, optimizer, on_window=windows.append):
        thread = threading.Thread(target=lambda: [step(other, foreign, *data()) for _ in range(20)])
        thread.start()
        losses = [step(network, optimizer, *data()) for _ in range(20)]
        thread.join()
    assert windows[0].loss == pytest.approx(losses)


def test_torch_is_put_back_also_when_somebody_else_replaced_it():
    original = torch.autograd.backward
    network = small()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    vitals = equipoise.watch(network, optimizer)
    vitals.open()
    ours = torch.autograd.backward

    def theirs(*args, **options):
        return ours(*args, **options)

    torch.autograd.backward = theirs
    try:
        vitals.close()
        assert torch.autograd.backward is theirs
        step(network, optimizer, *data())  # what is left of ours only passes calls on
    finally:
        torch.autograd.backward = original
    assert LOSS_TAP.idle


def test_the_history_is_written_where_asked(tmp_path):
    import pandas as pd

    network = small()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    with equipoise.watch(network, optimizer, folder=tmp_path / "run", window=2) as vitals:
        losses = [step(network, optimizer, *data()) for _ in range(5)]
    table = pd.read_parquet(tmp_path / "run" / "vitals.parquet")
    assert table[(table.name == "loss") & (table.part == "train")].value.tolist() == pytest.approx(losses)
    assert set(table[table.name == "gradient_norm"].part) == {
        "train",
        *(name for name, _ in network.named_parameters()),
    }
    assert set(table[table.name == "activation_zeros"].part) == {"0", "1", "2"}
    assert len(vitals.history.vitals()) == 3 + 3 * 6 + 4 * 6
