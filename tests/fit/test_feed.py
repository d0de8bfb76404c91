import dataclasses

import numpy as np
import pytest
import torch
from fit_subjects import DENSE, blobs, pictures, plan, splits

from equipoise.core.recipe import Recipe
from equipoise.core.signature import ArrayInput, Task
from equipoise.data.streamed import StreamedSamples
from equipoise.fit.feed import make_feed, make_part
from equipoise.fit.fit import fit
from equipoise.fit.seeds import derive
from equipoise.networks.build import build

CPU = torch.device("cpu")


def feed_of(data, *, keep=True, **recipe):
    network = build(plan(DENSE).network, data.signature, data.preprocessing, 0)
    part = make_part(data.train, network, lambda targets: targets, CPU, keep=keep)
    return make_feed(part, Recipe(**recipe), network, 5)


def drawn(feed, number=0, epochs=1, start=0):
    return list(feed.batches(number, epochs, start, torch.Generator()))


@pytest.mark.parametrize(("batch_size", "accumulate"), [(7, 1), (7, 3), (500, 1), (17, 2)])
def test_an_epoch_holds_every_sample_once_and_shares_add_up(batch_size, accumulate):
    data = blobs(n=200)  # 120 for training; 17 * 7 + 1
    feed = feed_of(data, batch_size=batch_size, accumulate=accumulate)
    batches = drawn(feed)
    seen = torch.cat([batch.features for batch in batches])
    assert sorted(map(tuple, seen.tolist())) == sorted(map(tuple, data.train.inputs.tolist()))
    assert sum(batch.completes for batch in batches) == feed.steps_per_epoch
    assert sum(batch.share for batch in batches) == pytest.approx(feed.steps_per_epoch)
    assert batches[-1].completes
    assert min(len(batch.features) for batch in batches) > 1  # a single sample joins the batch before it


def test_a_round_can_be_entered_anywhere():
    feed = feed_of(blobs(n=200), batch_size=50)
    whole = drawn(feed, number=3, epochs=3)
    for start in range(len(whole) + 1):
        rest = drawn(feed, number=3, epochs=3, start=start)
        assert len(rest) == len(whole) - start
        for one, other in zip(rest, whole[start:], strict=True):
            assert torch.equal(one.features, other.features)
            assert torch.equal(one.targets, other.targets)
    assert not torch.equal(drawn(feed, number=4)[0].features, whole[0].features)


def test_features_are_the_preprocessed_inputs_kept_or_not():
    data = pictures()
    kept, not_kept = (drawn(feed_of(data, keep=keep, batch_size=16)) for keep in (True, False))
    for one, other in zip(kept, not_kept, strict=True):
        assert torch.equal(one.features, other.features)
        assert torch.equal(one.targets, other.targets)
    assert abs(float(torch.cat([batch.features for batch in kept]).mean())) < 1


def test_augmentation_changes_the_features_but_not_what_is_restored():
    generator = np.random.default_rng(0)
    inputs = generator.normal(size=(50, 4)).astype(np.float32)
    data = splits(inputs, np.zeros((50, 0), np.float32), Task(kind="reconstruction"), ArrayInput(shape=(4,)))
    network = build(plan({"family": "autoencoder"}).network, data.signature, data.preprocessing, 0)
    part = make_part(data.train, network, lambda targets: targets, CPU, keep=False)
    feed = make_feed(part, Recipe(augmentation=("noise",)), network, 5)
    batch = drawn(feed)[0]
    clean = {tuple(row) for row in data.train.inputs.tolist()}
    assert all(tuple(row) in clean for row in batch.targets.tolist())
    assert not any(tuple(row) in clean for row in batch.features.tolist())


@pytest.mark.parametrize("workers", [0, 2])
def test_streamed_samples_train_as_resident_ones_do(workers):
    data = blobs()
    streamed = {
        name: StreamedSamples(
            (lambda inputs: lambda position: inputs[position])(data.part(name).inputs),
            data.part(name).targets,
            name_of=str,
            workers=workers,
        )
        for name in ("train", "validation", "test")
    }
    other = dataclasses.replace(data, **streamed)
    recipe = {"epochs": 4, "batch_size": 16, "class_weights": "balanced", "tuned": False}  # by the same steps
    one, two = (fit(plan(DENSE, finish=("temperature",), **recipe), 0, splits=part) for part in (data, other))
    for name, value in one.network.state_dict().items():
        assert torch.equal(value, two.network.state_dict()[name]), name
    assert one.vitals == two.vitals


def test_seeds_of_different_purposes_differ_and_stay():
    seeds = {derive(seed, purpose, n) for seed in range(3) for purpose in ("order", "draws") for n in range(50)}
    assert len(seeds) == 300
    assert derive(0, "order", 1) == derive(0, "order", 1)
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert derive(1, "order", 11) != derive(11, "order", 1)
