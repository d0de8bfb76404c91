"""Where classes can be told apart ever more surely, the least loss is nowhere, and a step is not short for that."""

import pytest
import torch
from torch import nn

from equipoise.core.estimate import Verdict
from equipoise.examine.probes.setup import Setup
from equipoise.examine.probes.step_descends import step_descends


@pytest.mark.parametrize(("rate", "sound"), [(1e-2, True), (1e-3, True), (1e-6, False)])
def test_a_head_on_frozen_features_that_separate_is_not_too_slow(rate, sound):
    torch.manual_seed(0)
    centres, y = 4 * torch.randn(3, 20), torch.randint(0, 3, (256,))
    body = nn.Sequential(nn.Linear(20, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU()).requires_grad_(False)
    network = nn.Sequential(body, nn.Linear(128, 3))
    head = network[1]

    def adam(parameters):
        trained = [one for one in parameters if one.requires_grad]
        assert len(trained) == len(list(head.parameters()))
        return torch.optim.Adam(trained, lr=rate)

    data = (centres[y] + torch.randn(256, 20), y)
    found = step_descends(Setup(network, nn.CrossEntropyLoss(), adam, data, batch_size=32, epochs=1))
    assert (found.verdict is Verdict.PASS) == sound, found.claim
    assert (found.suggests.get("lr_too_low", 0.0) > 2.5) == (not sound)
