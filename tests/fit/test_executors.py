"""Cohorts and questions on other machines end with what this process ends with."""

import importlib.util
import os
import signal
import socket
import tempfile
from pathlib import Path

import pytest
import torch
from fit_subjects import DENSE, blobs, plan

from equipoise.examine.examination import examine_subject
from equipoise.examine.subject import Subject
from equipoise.fit.cohort import Member, fit_members
from equipoise.fit.executors import ray_cluster as module
from equipoise.fit.executors.executor import Here, Needs, carried_out_on, executor_in_force
from equipoise.fit.executors.ray_cluster import RayCluster, ray_cluster

HAS_RAY = importlib.util.find_spec("ray") is not None
ASKED = ("accuracy", "overfitting", "class-balance", "calibration", "latency")


def members():
    network = {**DENSE, "dropout": 0.2}
    return [
        Member(plan=plan(network, epochs=8, patience=4), seed=seed, splits=blobs(seed=seed % 2)) for seed in range(5)
    ]


def assert_same_bits(one, other):
    assert len(one.members) == len(other.members)
    for mine, theirs in zip(one.members, other.members, strict=True):
        assert (mine.vitals, mine.score, mine.epochs) == (theirs.vitals, theirs.score, theirs.epochs)
        for name, value in mine.network.state_dict().items():
            assert torch.equal(value, theirs.network.state_dict()[name]), name


def examined(done):
    subject = Subject(network=done.network, splits=done.splits, fit=done)
    findings, _ = examine_subject(subject, select=ASKED, seed=1)
    return {finding.question: finding.model_copy(update={"seconds": 0.0}) for finding in findings}


def test_an_executor_is_in_force_for_a_while_and_trains_the_same_bits():
    alone = fit_members(members(), lane="sequential")
    said = []
    with carried_out_on(Here()):
        together = fit_members(members(), on_progress=lambda progress: said.append(progress.note))
    assert executor_in_force() is None
    assert_same_bits(alone, together)
    assert together.execution.lane == "executor"
    assert "5 trained on this process" in said


def test_questions_that_an_executor_answers_are_the_same():
    done = fit_members(members()[:1], lane="sequential").members[0]
    here = examined(done)
    with carried_out_on(Here()):
        elsewhere = examined(done)
    assert set(here) == set(ASKED)
    for name in set(ASKED) - {"latency"}:
        assert elsewhere[name] == here[name]


def test_without_ray_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'equipoise\[ray\]'"), ray_cluster():
        pass


@pytest.mark.skipif(not HAS_RAY, reason="Ray is not installed (the extra `ray`)")
def test_an_address_where_no_cluster_answers_is_refused_at_once():
    with socket.socket() as taken:  # bound, but nobody listens
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ConnectionError, match=rf"--on ray:{address}, .* expected the head .* Start it"):
            ray_cluster(address).__enter__()
    with pytest.raises(ConnectionError, match="it is not host:port"):
        ray_cluster("somewhere").__enter__()


@pytest.fixture(scope="module")
def two_nodes():
    """A cluster of two nodes, a core each, on this machine."""
    if not HAS_RAY:
        pytest.skip("Ray is not installed (the extra `ray`)")
    # The path of a socket may have 107 letters, fewer than pytest's own folders take.
    with tempfile.TemporaryDirectory(prefix="eq-ray-") as short, pytest.MonkeyPatch.context() as patch:
        for name, value in {**module.QUIET, **module.LOOPBACK, "PYTHONPATH": str(Path(__file__).parent)}.items():
            patch.setenv(name, value)
        patch.setenv("RAY_TMPDIR", short)
        from ray.cluster_utils import Cluster  # which reads the environment

        options = {"num_cpus": 1, "include_dashboard": False}
        cluster = Cluster(initialize_head=True, head_node_args=options)
        second = cluster.add_node(num_cpus=1)
        try:
            with ray_cluster(cluster.address) as connected:
                yield cluster, second, connected
        finally:
            cluster.shutdown()


def refuse(number):
    raise ValueError(f"got {number}; expected another. Try again.")


def die_once(path):
    """End this worker, unless one has ended here before; return its process."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL))
        os.kill(os.getpid(), signal.SIGKILL)
    except FileExistsError:
        pass
    return os.getpid()


def test_ray_trains_and_answers_the_same_and_a_lost_worker_and_a_lost_node_change_nothing(two_nodes, tmp_path):
    cluster, second, connected = two_nodes
    assert isinstance(connected, RayCluster)
    assert connected.slots == 2
    quiet = {"needs": Needs(), "on_done": lambda position, result: None}
    with pytest.raises(ValueError, match=r"^got 3; expected another\. Try again\.$"):
        connected.map(refuse, [(3,)], **quiet)
    with pytest.raises(ValueError, match=r"whose machines have 1 cores .* expected one with 5 cores"):
        connected.map(refuse, [(3,)], needs=Needs(cpus=5), on_done=lambda position, result: None)
    survivor = connected.map(die_once, [(str(tmp_path / "died"),)], **quiet)
    assert survivor[0] != os.getpid()
    assert (tmp_path / "died").exists()

    alone = fit_members(members(), lane="sequential")
    lost = []

    def lose_a_node(progress):
        if progress.done == 1 and not lost:
            lost.append(cluster.remove_node(second, allow_graceful=False))

    with carried_out_on(connected):
        together = fit_members(members(), on_progress=lose_a_node)
        elsewhere = examined(alone.members[0])
    assert lost
    assert_same_bits(alone, together)
    here = examined(alone.members[0])
    for name in set(ASKED) - {"latency"}:
        assert elsewhere[name] == here[name]
