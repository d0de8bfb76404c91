import pytest
import torch
from fit_subjects import DENSE, blobs, pictures, plan
from torch import nn

from equipoise.core.recipe import Recipe
from equipoise.fit.execution import choose_device, choose_execution, executing, lay_out
from equipoise.fit.fit import fit
from equipoise.fit.recompute import recomputing
from equipoise.fit.threads import decide, operations, step_seconds
from equipoise.networks.build import build
from equipoise.networks.network import Head, Network


def network_of(body, data):
    return Network(nn.Identity(), body, Head(), data.signature)


def test_operations_are_counted_as_by_hand():
    data = pictures(channels=2)
    batch = data.train.inputs[:10]
    body = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Flatten(), nn.Linear(3 * 36, 5))
    network = network_of(body, data)
    assert operations(network, lambda: network.scores(batch)) == 10 * 2 * (36 * 3 * 2 * 9 + 3 * 36 * 5)
    recurrent = network_of(nn.LSTM(4, 6, batch_first=True), data)
    assert operations(recurrent, lambda: recurrent.scores(torch.zeros(10, 7, 4))) == 10 * 7 * 2 * 24 * 10


def test_small_steps_take_one_thread_and_an_asked_for_number_is_taken(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    data = blobs()
    small = network_of(nn.Linear(4, 3), data)
    chosen = choose_execution(Recipe(), small, data.train.inputs[:32])
    assert chosen.threads == 1
    assert "too small to share" in chosen.reason
    asked = choose_execution(Recipe(threads=3), small, data.train.inputs[:32])
    assert asked.threads == 3
    assert "asked for" in asked.reason


@pytest.mark.parametrize(
    ("one", "all_of_them", "expected", "calls"),
    [(1.0, 0.5, 8, 7), (1.0, 0.95, 1, 7), (1.0, 30.0, 1, 3)],
    ids=["shared is faster", "hardly faster", "a busy machine"],
)
def test_all_threads_are_taken_where_they_pay(one, all_of_them, expected, calls):
    taken = []

    def seconds(threads):
        taken.append(threads)
        return one if threads == 1 else all_of_them

    threads, reason = decide(8, seconds)
    assert threads == expected
    assert "timed" in reason
    assert len(taken) == calls


def test_timing_a_step_leaves_the_network_as_it_is():
    data = pictures()
    network = build(
        plan({"family": "convolutional", "normalisation": "batch", "dropout": 0.5}).network,
        data.signature,
        data.preprocessing,
        0,
    )
    before = {name: value.clone() for name, value in network.state_dict().items()}
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    assert step_seconds(network, data.train.inputs[:8], 2) > 0
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads
    assert network.training


def test_the_device_is_said_with_its_reason():
    device, reason = choose_device("cpu")
    assert (device.type, reason) == ("cpu", "cpu: asked for")
    device, reason = choose_device("auto")
    assert reason.startswith(f"{device.type}: ")


def test_a_device_that_is_not_there_is_refused():
    missing = "cuda" if not torch.cuda.is_available() else "mps"
    with pytest.raises(ValueError, match="Leave it at 'auto'"):
        choose_device(missing)


def test_everything_global_is_put_back_even_after_an_error():
    data = blobs()
    execution = choose_execution(Recipe(threads=2), network_of(nn.Linear(4, 3), data), data.train.inputs[:4])
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    with executing(execution):
        assert torch.get_num_threads() == 2
    with pytest.raises(RuntimeError), executing(execution):
        torch.rand(3) @ torch.rand(4)
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("channels", [1, 3])
def test_convolutions_run_channels_last_even_on_one_channel(channels):
    data = pictures(channels=channels)
    network = build(plan({"family": "convolutional"}).network, data.signature, data.preprocessing, 0)
    inputs = data.train.inputs[:4]
    before = network(inputs)
    execution = choose_execution(Recipe(), network, inputs)
    lay_out(network, execution)
    first = next(module for module in network.modules() if isinstance(module, nn.Conv2d))
    assert first(network.preprocess(inputs)).stride()[1] == 1
    torch.testing.assert_close(network(inputs), before, rtol=1e-4, atol=1e-5)


def test_recomputing_saves_activations_and_gives_the_same_gradients():
    torch.manual_seed(0)
    layers = [module for _ in range(8) for module in (nn.Linear(64, 64), nn.Tanh())]
    body = nn.Sequential(*layers)
    inputs = torch.randn(128, 64, requires_grad=True)

    def stored():
        sizes = []

        def pack(tensor):
            if tensor.shape[0] == 128:
                sizes.append(tensor.numel())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            loss = body(inputs).square().sum()
        held = sum(sizes)
        loss.backward()
        gradients = [parameter.grad.clone() for parameter in body.parameters()]
        body.zero_grad()
        return held, gradients

    plain, expected = stored()
    with recomputing(body):
        saved, found = stored()
    assert saved < 0.5 * plain
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)
    assert body.forward.__func__ is nn.Sequential.forward


def test_a_body_without_layers_inside_cannot_be_checkpointed():
    with pytest.raises(ValueError, match="Set it to false"), recomputing(nn.Linear(2, 2)):
        pass


def test_the_record_of_an_execution_says_what_ran():
    execution = fit(plan(DENSE, epochs=1), 0, splits=blobs()).execution
    assert execution.fused
    assert execution.torch == torch.__version__
    assert execution.machine
    assert not execution.channels_last


@pytest.mark.parametrize(("channels", "laid_out"), [(6, False), (8, True)])
def test_kernels_that_break_memory_channels_last_stay_as_they_are(channels, laid_out):
    network = {"family": "residual", "channels": [channels, channels], "blocks": 1}
    done = fit(plan(network, epochs=2, governor=False), 0, splits=pictures())  # broke the process at 6 channels
    assert done.execution.channels_last is laid_out
