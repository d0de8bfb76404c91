"""Small steps are not shared by threads, large ones where it pays, and the number is put back."""

import pytest
import torch
from torch import nn

import equipoise
from equipoise.examine.diagnosis import threads
from equipoise.examine.diagnosis.threads import sharing
from equipoise.examine.probes.setup import Setup


@pytest.fixture
def two_threads():
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(1)


def setup_of(width):
    network = nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Linear(width, 2))
    data = torch.randn(96, 64), torch.randint(2, (96,))
    return Setup(network, nn.CrossEntropyLoss(), lambda weights: torch.optim.Adam(weights), data)


@pytest.mark.usefixtures("two_threads")
def test_a_small_step_takes_one_thread():
    with sharing(setup_of(16)) as number:
        assert number == torch.get_num_threads() == 1
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize(("wins", "expected"), [(1, 1), (2, 2)])
def test_a_large_step_takes_what_is_faster(monkeypatch, wins, expected):
    asked = []

    def decide(available, seconds):
        asked.extend((available, seconds(1) > 0, seconds(available) > 0))
        return wins, "timed"

    monkeypatch.setattr(threads, "decide", decide)
    with sharing(setup_of(20_000)) as number:
        assert number == expected
    assert asked == [2, True, True]
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("two_threads")
def test_a_network_that_cannot_run_takes_one_and_a_diagnosis_puts_the_number_back():
    broken = Setup(nn.Linear(3, 2), nn.CrossEntropyLoss(), torch.optim.Adam, setup_of(4).train)
    with sharing(broken) as number:
        assert number == 1
    fine = setup_of(8)
    equipoise.diagnose(fine.network, fine.loss, fine.optimizer, train=fine.train, epochs=1, budget_s=2)
    assert torch.get_num_threads() == 2
