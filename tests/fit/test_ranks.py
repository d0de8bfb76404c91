"""Several processes that train one network end with what one process ends with."""

import json
import multiprocessing
import os
import socket
import time

import pytest
import rank_worker
import torch
from fit_subjects import DENSE, blobs, plan
from killed_fit import write_often
from rank_worker import cases, interrupted_at, said, undisturbed, work
from safetensors import safe_open
from safetensors.torch import load_file

from equipoise.core.recipe import Recipe
from equipoise.fit import keeper, loop
from equipoise.fit.fit import fit
from equipoise.fit.losses import balanced_weights, criterion
from equipoise.fit.ranks.mass import mass
from equipoise.fit.ranks.ranks import Ranks, joined
from equipoise.fit.ranks.spread import ByRanks

CLOSE = 1e-5
"""Weights that differ by rounding alone, after tens of steps."""


@pytest.fixture(scope="module")
def server():
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["rank_worker", "torch._dynamo", "torch.distributed.fsdp"])
    return context


def launch(server, count, folder, stages):
    """Run stages on so many ranks; return their exit codes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    ranks = [server.Process(target=work, args=(number, count, port, folder, stages)) for number in range(count)]
    for rank in ranks:
        rank.start()
    end = time.monotonic() + 120
    for rank in ranks:
        rank.join(max(0.0, end - time.monotonic()))
    for rank in ranks:
        rank.kill()
        rank.join()
    return [rank.exitcode for rank in ranks]


def read(path):
    with safe_open(path, "pt") as file:
        return load_file(path), json.loads(file.metadata()["said"])


def assert_close(path, alone):
    tensors, told = read(path)
    for name, value in alone.network.state_dict().items():
        torch.testing.assert_close(tensors[name], value, rtol=CLOSE, atol=CLOSE, msg=f"{path.name}: {name}")
    wanted = said(alone)
    losses = [torch.tensor(one.pop("losses")) for one in (told, wanted)]
    if not wanted["acts"]:  # a training that breaks makes much of rounding, until it is mended
        torch.testing.assert_close(*losses, rtol=1e-4, atol=1e-6, msg=f"{path.name}: losses")
    for one in (told, wanted):
        del one["ranks"], one["sharded"]
    assert told == wanted, path.name


@pytest.fixture(scope="module")
def two(server, tmp_path_factory):
    """What two ranks did, in one go: all cases, and a training that is to change hands."""
    folder = tmp_path_factory.mktemp("two")
    codes = launch(server, 2, folder, [("cases", list(cases())), ("go-on", 3), ("cut-off",)])
    assert codes == [0, 0]
    return folder


@pytest.mark.parametrize("name", list(cases()))
def test_two_ranks_train_what_one_process_trains(two, name):
    what, data = cases()[name]
    alone = fit(what, 0, splits=data)
    for sharded in (False, True):
        for number in range(2):
            path = two / f"{name}-{sharded}-{number}.safetensors"
            assert_close(path, alone)
            assert (read(path)[1]["ranks"], read(path)[1]["sharded"]) == (2, sharded)


def test_a_training_that_ranks_draw_in_is_cut_off_and_ends_with_the_same_bits(two):
    for number in range(2):
        before, after = read(two / f"undisturbed-{number}.safetensors"), read(two / f"resumed-{number}.safetensors")
        assert before[1] == after[1]
        for name, value in before[0].items():
            assert torch.equal(value, after[0][name]), name


def test_two_ranks_then_one_process_then_three_ranks(two, server, monkeypatch):
    for module, names in ((loop, ("EVERY_S",)), (keeper, ("SHORTEST_S", "WITHIN_S", "COST_SHARE")), (os, ("fsync",))):
        for name in names:
            monkeypatch.setattr(module, name, getattr(module, name))
    write_often()
    wholes = {}
    for sharded in (False, True):
        what, data = undisturbed(sharded)
        wholes[sharded] = fit(what, 0, splits=data)
        begun = read(two / f"{sharded}-0.safetensors")[1]
        assert begun["stopped"] == "interrupted"
        assert 2 <= begun["epochs"] < 6
        shards = list((two / str(sharded) / "checkpoint").glob("*.shards/*"))
        assert bool(shards) == sharded
        listen = interrupted_at(6, None)
        middle = fit(what, 0, splits=data, folder=two / str(sharded), resume=True, on_progress=listen)
        assert middle.stopped.value == "interrupted"
        assert middle.execution.ranks == 1
    assert launch(server, 3, two, [("go-on", 0)]) == [0, 0, 0]
    for sharded, alone in wholes.items():
        for number in range(3):
            assert_close(two / f"{sharded}-{number}.safetensors", alone)


def test_a_rank_that_is_killed_ends_the_others_and_the_training_goes_on(server, tmp_path):
    codes = launch(server, 2, tmp_path, [("die",)])
    assert codes[1] == -9
    assert codes[0] == 1
    what, data = rank_worker.dropped()
    done = fit(what, 0, splits=data, folder=tmp_path / "died", resume=True)
    assert done.stopped.value in ("finished", "no-improvement")
    assert "one process" in done.execution.reason


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize(
    ("kind", "loss"),
    [
        ("multiclass", "cross-entropy"),
        ("multiclass", "focal"),
        ("binary", "binary-cross-entropy"),
        ("multilabel", "binary-cross-entropy"),
        ("multilabel", "focal"),
        ("sequence-labelling", "cross-entropy"),
        ("sequence-labelling", "focal"),
        ("regression", "huber"),
    ],
)
def test_the_loss_of_a_whole_is_the_mean_of_its_parts_by_mass(kind, loss, smoothing, weighted, soft):
    draws = torch.Generator().manual_seed(0)
    if (soft and kind in ("regression", "sequence-labelling")) or (kind == "regression" and (weighted or smoothing)):
        pytest.skip("there is no such thing")
    recipe = Recipe(loss=loss, label_smoothing=smoothing, class_weights="balanced" if weighted else "none")
    scores, targets, count = scored(kind, draws, soft=soft)
    weights = None
    if weighted:
        labels = targets.round() if kind == "multilabel" else targets.argmax(-1) if soft else targets
        weights = balanced_weights(labels, kind, count)
    measure = criterion(recipe, kind, weights)
    parts = [slice(0, 4), slice(4, 11)]
    masses = [mass(recipe, kind, targets[part], weights) for part in parts]
    losses = [float(measure(scores[part], targets[part])) for part in parts]
    mean = sum(m * one for m, one in zip(masses, losses, strict=True)) / sum(masses)
    assert mean == pytest.approx(float(measure(scores, targets)), rel=1e-5)


def scored(kind, draws, *, soft):
    """Return scores and targets of eleven samples, and the number of classes."""
    if kind == "regression":
        return torch.randn(11, 2, generator=draws), torch.randn(11, 2, generator=draws), 0
    if kind == "multilabel":
        targets = torch.rand(11, 3, generator=draws)
        return torch.randn(11, 3, generator=draws), targets if soft else targets.round(), 3
    if kind == "sequence-labelling":
        targets = torch.randint(0, 3, (11, 5), generator=draws)
        targets[3:, 3:] = -100
        return torch.randn(11, 5, 3, generator=draws), targets, 3
    count = 2 if kind == "binary" else 3
    scores = torch.randn(11, 1 if kind == "binary" else 3, generator=draws)
    if soft:
        return scores, torch.rand(11, count, generator=draws).softmax(1), count
    return scores, torch.randint(0, count, (11,), generator=draws), count


def test_what_ranks_cannot_share_is_refused_with_a_cure():
    by = ByRanks(Ranks(0, 4, 4, True, torch.device("cpu")))
    for recipe, words in (
        ({"batch_size": 3}, "expected at least one sample each. Raise it"),
        ({"optimizer": "muon"}, "with --shard; expected one that changes each weight by itself"),
    ):
        with pytest.raises(ValueError, match=words):
            fit(plan(DENSE, **recipe), 0, splits=blobs(), on=Pretending(by))
    with pytest.raises(ValueError, match=r"Start it so: torchrun --nproc-per-node 2"), joined():
        pass


class Pretending:
    """Ranks that are not there, up to the moment at which they would talk."""

    def __init__(self, by):
        self.by, self.together = by, by.ranks

    def execution(self, chosen, plan):
        return chosen

    def check(self, plan, network, saved):
        self.by.check(plan, network, saved)
