"""The recorder around loops of every kind: the training stays the same, bit for bit, and what is measured is right."""

import contextlib
import os
import warnings

import numpy as np
import pytest
import torch
from torch import multiprocessing, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

import equipoise

STEPS = 6


class Twice(nn.Module):
    """One module called twice in a pass."""

    def __init__(self):
        super().__init__()
        self.inner, self.out = nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, x):
        return self.out(torch.tanh(self.inner(torch.tanh(self.inner(x)))))


class Shared(nn.Module):
    """One module under two names, and tied weights."""

    def __init__(self):
        super().__init__()
        self.one = nn.Linear(6, 6)
        self.two = self.one
        self.out = nn.Linear(6, 6)
        self.out.weight = self.one.weight
        self.head = nn.Linear(6, 3)

    def forward(self, x):
        return self.head(torch.relu(self.out(torch.relu(self.two(self.one(x))))))


class InPlace(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(6, 8), nn.ReLU(inplace=True), nn.Linear(8, 3))

    def forward(self, x):
        return self.body(x)


class Recomputed(nn.Module):
    def __init__(self, reentrant):
        super().__init__()
        self.first = nn.Linear(6, 6)
        self.middle = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 6))
        self.out = nn.Linear(6, 3)
        self.reentrant = reentrant

    def forward(self, x):
        return self.out(checkpoint(self.middle, self.first(x), use_reentrant=self.reentrant))


class Recurrent(nn.Module):
    """A module that returns tuples."""

    def __init__(self):
        super().__init__()
        self.cell, self.out = nn.LSTM(3, 8, batch_first=True), nn.Linear(8, 3)

    def forward(self, x):
        outputs, (hidden, _) = self.cell(x.view(-1, 2, 3))
        return self.out(outputs[:, -1] + hidden[-1])


class Telling(nn.Module):
    """A module that returns a dictionary."""

    def __init__(self):
        super().__init__()
        self.body = nn.Linear(6, 3)

    def forward(self, x):
        return {"scores": self.body(x), "name": "x", "nothing": None}


class Normalised(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 3))

    def forward(self, x):
        return self.body(x)


class Pictures(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 4, 2), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3))

    def forward(self, x):
        return self.body(x.view(-1, 1, 2, 3))


class Lazy(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.LazyLinear(8), nn.ReLU(), nn.Linear(8, 3))
        self.unused = nn.Linear(4, 4)

    def forward(self, x):
        return self.body(x)


def frozen():
    network = InPlace()
    network.body[0].weight.requires_grad_(False)
    return network


NETWORKS = {
    "twice": Twice,
    "shared": Shared,
    "in place": InPlace,
    "recomputed": lambda: Recomputed(False),
    "recomputed reentrant": lambda: Recomputed(True),
    "recurrent": Recurrent,
    "dictionary": Telling,
    "normalised": Normalised,
    "pictures": Pictures,
    "lazy": Lazy,
    "frozen": frozen,
}


def data(n=16):
    generator = torch.Generator().manual_seed(7)
    return torch.randn(n, 6, generator=generator), torch.randint(0, 3, (n,), generator=generator)


def train(make, watched, *, steps=STEPS, optimizer=None, cast=False, accumulate=1, every=1, **options):
    """Return losses, final weights, and the windows of a watched training."""
    torch.manual_seed(0)
    network = make()
    inputs, labels = data()
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a re-entrant checkpoint asks for a gradient
        network(inputs)  # lazy modules
    stepper = (optimizer or (lambda p: torch.optim.Adam(p, lr=1e-2)))(network.parameters())
    losses, windows = [], []
    context = (
        equipoise.watch(network, stepper, every=every, on_window=windows.append, **options)
        if watched
        else contextlib.nullcontext()
    )
    torch.manual_seed(1)
    with context as vitals:
        for _ in range(steps):
            stepper.zero_grad()
            for part in range(accumulate):
                with torch.autocast("cpu", torch.bfloat16, enabled=cast):
                    scores = network(inputs[part::accumulate])
                    scores = scores["scores"] if isinstance(scores, dict) else scores
                    loss = functional.cross_entropy(scores.float(), labels[part::accumulate]) / accumulate
                loss.backward()
                losses.append(loss.item())
            stepper.step()
    return losses, {name: one.detach().clone() for name, one in network.state_dict().items()}, windows, network, vitals


def hooks_of(network):
    names = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return sum(len(getattr(module, name)) for module in network.modules() for name in names)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("every", [1, 3])
def test_training_is_the_same_bit_for_bit_and_nothing_is_left_behind(name, every):
    plain = train(NETWORKS[name], False)
    backward, engine = torch.Tensor.backward, torch.autograd.backward
    watched = train(NETWORKS[name], True, every=every)
    assert watched[0] == plain[0]
    assert watched[1].keys() == plain[1].keys()
    assert all(torch.equal(watched[1][key], plain[1][key]) for key in plain[1])
    assert hooks_of(watched[3]) == 0
    assert torch.Tensor.backward is backward
    assert torch.autograd.backward is engine
    steps = np.concatenate([window.steps for window in watched[2]])
    assert len(steps) == len(range(0, STEPS, every))
    problems = [event for event in watched[4].events if event.kind not in ("not_in_optimizer", "no_backward")]
    assert problems == []


@pytest.mark.parametrize(
    "options", [{"cast": True}, {"accumulate": 2}, {"optimizer": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9)}]
)
def test_mixed_precision_accumulation_and_other_optimisers_stay_the_same(options):
    plain, watched = (train(Normalised, seen, **options) for seen in (False, True))
    assert watched[0] == plain[0]
    assert all(torch.equal(watched[1][key], plain[1][key]) for key in plain[1])
    assert [event.kind for event in watched[4].events] == []


def test_every_number_is_what_torch_says():
    """One step by hand: activations, gradients, weights, movement and cosine against plain torch."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 5), nn.Sigmoid(), nn.Linear(5, 3))
    with torch.no_grad():
        network[0].weight[0], network[0].bias[0] = 0.0, -1.0  # a unit that is always silent
        network[2].bias[1] = 50.0  # and one that is always saturated
    inputs, labels = data()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    windows = []
    gradients, outputs, before, after, losses = [], [], [], [], []
    with equipoise.watch(network, optimizer, on_window=windows.append):
        for _ in range(2):
            optimizer.zero_grad()
            loss = functional.cross_entropy(network(inputs), labels)
            loss.backward()
            losses.append(loss.item())
            gradients.append({name: one.grad.clone() for name, one in network.named_parameters()})
            before.append({name: one.detach().clone() for name, one in network.named_parameters()})
            with torch.no_grad():
                layers, here = [], inputs
                for layer in network.children():
                    here = layer(here)
                    layers.append(here)
                outputs.append(layers)
            optimizer.step()
            after.append({name: one.detach().clone() for name, one in network.named_parameters()})
    (window,) = windows
    assert window.steps.tolist() == [1, 2]
    assert window.loss == pytest.approx(losses)
    assert window.learning_rate == pytest.approx([0.1, 0.1])
    names = [layer.name for layer in window.layers]
    assert names == ["0", "1", "2", "3", "4"]
    assert [layer.activation for layer in window.layers] == ["", "relu", "", "sigmoid", ""]
    for step in range(2):
        for place, wanted in enumerate(outputs[step]):
            seen = {name: values[step, place] for name, values in window.activation.items()}
            assert seen["mean"] == pytest.approx(wanted.mean().item(), rel=1e-5, abs=1e-6)
            assert seen["deviation"] == pytest.approx(wanted.std(correction=0).item(), rel=1e-4)
            assert seen["maximum"] == pytest.approx(wanted.abs().max().item(), rel=1e-6)
            assert seen["zeros"] == pytest.approx((wanted == 0).float().mean().item())
            assert seen["non_finite"] == 0
        sigmoid = outputs[step][3]
        assert window.activation["saturated"][step, 3] == pytest.approx(
            ((sigmoid < 0.01) | (sigmoid > 0.99)).float().mean().item()
        )
    fired = dict(zip(names, window.fired, strict=True))
    assert fired["1"].tolist() == sum((layers[1] > 0).sum(0) for layers in outputs).tolist()
    assert fired["3"][1] == 0
    assert window.seen.tolist() == [32] * 5
    weights = [one.name for one in window.weights]
    for step in range(2):
        for place, name in enumerate(weights):
            gradient, old, new = gradients[step][name], before[step][name], after[step][name]
            assert window.gradient["norm"][step, place] == pytest.approx(gradient.norm().item(), rel=1e-5, abs=1e-7)
            assert window.gradient["zeros"][step, place] == pytest.approx((gradient == 0).float().mean().item())
            if step:  # the first step has no step before it
                cosine = functional.cosine_similarity(gradient.flatten(), gradients[0][name].flatten(), dim=0).item()
                assert window.gradient["cosine"][step, place] == pytest.approx(cosine, abs=1e-4)
                ratio = ((new - old).norm() / old.norm()).item()
                assert window.weight["update_ratio"][step, place] == pytest.approx(ratio, rel=1e-3)
            assert window.weight["norm"][step, place] == pytest.approx(new.norm().item(), rel=1e-2)


def test_functional_activations_are_learned():
    class Plain(nn.Module):
        def __init__(self):
            super().__init__()
            self.hidden, self.out = nn.Linear(6, 8), nn.Linear(8, 3)

        def forward(self, x):
            return self.out(functional.relu(self.hidden(x)))

    *_, windows, _, _ = train(Plain, True)
    layers = {layer.name: layer for layer in windows[0].layers}
    assert layers["hidden"].activation == "relu"
    assert layers["out"].activation == ""
    place = [layer.name for layer in windows[0].layers].index("hidden")
    share = windows[0].activation["zeros"][-1, place]
    assert 0.1 < share < 0.9


def test_values_that_are_not_finite_are_placed_at_the_first_layer():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 3))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    inputs, labels = data()
    with equipoise.watch(network, optimizer) as vitals:
        for step in range(3):
            optimizer.zero_grad()
            if step == 2:
                with torch.no_grad():
                    network[2].weight[0, 0] = torch.inf
            functional.cross_entropy(network(inputs), labels).backward()
            optimizer.step()
    (event, *_) = [one for one in vitals.events if one.kind == "non_finite"]
    assert event.step == 3
    assert event.where.startswith("2")


def test_missing_zero_grad_is_an_event_and_accumulation_is_not():
    torch.manual_seed(0)
    network = InPlace()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
    inputs, labels = data()
    with equipoise.watch(network, optimizer) as vitals:
        for _ in range(4):
            functional.cross_entropy(network(inputs), labels).backward()
            optimizer.step()
    assert "stale_gradient" in {event.kind for event in vitals.events}
    *_, clean = train(InPlace, True, accumulate=4)
    assert "stale_gradient" not in {event.kind for event in clean.events}


def test_closures_and_evaluation_inside_the_context():
    def run(watched):
        torch.manual_seed(0)
        network = Normalised()
        optimizer = torch.optim.LBFGS(network.parameters(), lr=0.1, max_iter=3)
        inputs, labels = data()
        windows = []

        def closure():
            optimizer.zero_grad()
            loss = functional.cross_entropy(network(inputs), labels)
            loss.backward()
            return loss

        context = equipoise.watch(network, optimizer, on_window=windows.append) if watched else contextlib.nullcontext()
        with context:
            for _ in range(3):
                network.train()
                torch.manual_seed(2)
                optimizer.step(closure)
                network.eval()
                with torch.no_grad():
                    network(100 * inputs)
        return network.state_dict(), windows

    plain, _ = run(False)
    seen, windows = run(True)
    assert all(torch.equal(plain[key], seen[key]) for key in plain)
    assert np.concatenate([window.steps for window in windows]).tolist() == [1, 2, 3]
    first = windows[0].activation["maximum"][:, 0]
    assert first.max() < 20  # the evaluation on inputs a hundred times as large is not in it


def test_a_compiled_network_is_watched():
    def make():
        return torch.compile(InPlace(), backend="eager")

    plain, watched = (train(make, seen) for seen in (False, True))
    assert watched[0] == plain[0]
    assert np.isfinite(watched[2][0].loss).all()


def test_two_networks_and_two_watches_do_not_mix():
    torch.manual_seed(0)
    one, other = InPlace(), Twice()
    first, second = (torch.optim.Adam(network.parameters()) for network in (one, other))
    inputs, labels = data()
    seen, found = [], []
    with equipoise.watch(one, first, on_window=seen.append), equipoise.watch(other, second, on_window=found.append):
        for _ in range(3):
            for network, optimizer in ((one, first), (other, second)):
                optimizer.zero_grad()
                functional.cross_entropy(network(inputs), labels).backward()
                optimizer.step()
    assert sum(len(window.steps) for window in seen) == 3
    assert sum(len(window.steps) for window in found) == 3
    assert seen[0].loss[0] != found[0].loss[0]


def test_an_exception_in_the_loop_leaves_everything_clean():
    network = InPlace()
    optimizer = torch.optim.Adam(network.parameters())
    backward = torch.Tensor.backward

    def loop():
        with equipoise.watch(network, optimizer):
            network(data()[0]).sum().backward()
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        loop()
    assert hooks_of(network) == 0
    assert torch.Tensor.backward is backward


def test_a_sink_may_fail_and_training_may_not():
    def broken(window):
        raise OSError("no room")

    plain, watched = train(InPlace, False), train(InPlace, True, sinks=(broken,), window=2)
    assert watched[0] == plain[0]
    assert "sink_failed" in {event.kind for event in watched[4].events}


def test_memory_does_not_grow_with_the_training():
    *_, vitals = train(InPlace, True, steps=1500, window=32)
    lengths = {len(vital.steps) for vital in vitals.history.vitals()}
    assert max(lengths) <= 512


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="every=0"):
        equipoise.watch(InPlace(), every=0)


def _rank(rank, path, watched, results):
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29511", "GLOO_SOCKET_IFNAME": "lo"}
    torch.set_num_threads(1)
    store = torch.distributed.FileStore(path, 2)
    torch.distributed.init_process_group("gloo", store=store, rank=rank, world_size=2)
    torch.manual_seed(0)
    network = nn.parallel.DistributedDataParallel(InPlace())
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    inputs, labels = data()
    context = equipoise.watch(network, optimizer) if watched else contextlib.nullcontext()
    with context as vitals:
        for _ in range(3):
            optimizer.zero_grad()
            functional.cross_entropy(network(inputs[rank::2]), labels[rank::2]).backward()
            optimizer.step()
    total = sum(one.double().sum().item() for one in network.parameters())
    results.put((rank, total, [event.kind for event in vitals.events] if watched else []))
    torch.distributed.barrier()  # a rank that leaves early takes the other one down
    torch.distributed.destroy_process_group()


def test_two_ranks_stay_in_step(tmp_path):
    found = []
    for watched in (False, True):
        context = multiprocessing.get_context("spawn")
        results = context.SimpleQueue()
        path = str(tmp_path / f"store-{watched}")
        started = [context.Process(target=_rank, args=(rank, path, watched, results)) for rank in range(2)]
        for one in started:
            one.start()
        for one in started:
            one.join(120)
            assert one.exitcode == 0
        found.append(sorted(results.get() for _ in range(2)))
    assert [total for _, total, _ in found[0]] == [total for _, total, _ in found[1]]
    assert found[1][0][2] == []
