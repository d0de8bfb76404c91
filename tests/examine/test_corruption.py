"""Corruptions: a classifier of halves withstands them, one of pixel parity does not."""

import pytest
import torch
from torch import Tensor, nn

from equipoise.core.estimate import Verdict
from equipoise.core.signature import ImageInput, Signature, Task
from equipoise.examine.ask import ask
from equipoise.examine.noise.corruption import Corruption
from equipoise.networks.heads import ClassHead
from equipoise.testing import best_classifier, best_regressor, check_question, constant, divide, make_subject

IMAGE = ImageInput(channels=1, height=8, width=8)


class _Halves(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        quarters = [images[..., :4, :4], images[..., :4, 4:], images[..., 4:, :4], images[..., 4:, 4:]]
        brightness = torch.stack([one.mean((1, 2, 3)) for one in quarters], 1)
        return nn.functional.pad(brightness, (0, 6), value=-1.0)


class _Parity(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return 8.0 * nn.functional.one_hot(images.round().sum((1, 2, 3)).long() % 10, 10).float()


def _images(body: nn.Module):
    generator = torch.Generator().manual_seed(0)
    place = torch.randint(4, (500,), generator=generator)
    images = 60 + 20 * torch.rand(500, 1, 8, 8, generator=generator)
    for k, where in enumerate(place.tolist()):
        rows, columns = 4 * (where // 2), 4 * (where % 2)
        images[k, :, rows : rows + 4, columns : columns + 4] += 120
    images = images.round()
    labels = body(images).argmax(1)
    task = Task(kind="multiclass", classes=tuple("0123456789"))
    parts = divide(images, labels, train=200, validation=100)
    return make_subject(body, ClassHead(), Signature(inputs=IMAGE, task=task), *parts)


def test_a_network_that_sees_the_thing_itself_passes():
    finding = check_question(Corruption(), _images(_Halves()))
    assert finding.verdict is Verdict.PASS
    assert finding.estimates["clean_score"].value == 1.0


def test_a_network_of_pixel_parity_fails_and_names_the_worst():
    finding = ask(Corruption(), _images(_Parity()))
    assert finding.verdict is Verdict.FAIL
    kept = {name: one.value for name, one in finding.estimates.items() if name.startswith("kept_under_")}
    worst = min(kept, key=lambda name: kept[name]).removeprefix("kept_under_")
    assert finding.where[0].startswith(worst)
    assert worst in finding.claim


def test_the_mean_is_that_of_the_parts():
    finding = ask(Corruption(), best_classifier(n=800))
    kept = [one.value for name, one in finding.estimates.items() if name.startswith("kept_under_")]
    assert finding.estimates["score_kept"].value == pytest.approx(sum(kept) / len(kept))


def test_the_best_regressor_passes_and_a_useless_one_cannot_be_asked():
    assert ask(Corruption(), best_regressor(n=2000, noise=0.2)).verdict is Verdict.PASS
    assert ask(Corruption(), constant(best_regressor(n=400))).verdict is Verdict.SKIPPED
