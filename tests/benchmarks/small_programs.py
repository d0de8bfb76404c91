"""A package of small programs with the interface that the diagnosis benchmark reads, as files that a test writes."""

import json

INIT = """
from .machinery import Program, State, build, facts, predict, start, train, train_step
from .machinery import cases, controls, healthy
"""

MACHINERY = '''
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn


@dataclass
class State:
    optimizer: Any
    step: int = 0
    extra: dict = field(default_factory=dict)


@dataclass
class Program:
    case_id: str
    version: str
    seed: int
    network: Any
    loss: Any
    loss_name: str
    optimizer: Any
    train: tuple
    validation: Any
    batch_size: int
    epochs: int
    shuffle: bool
    task: str
    metric: Any
    faults: list = field(default_factory=list)
    where: str = ""
    begin: Any = None
    step: Any = None
    training_mode: bool = True
    evaluation_mode: bool = True
    evaluation_batch: int = 512
    test: Any = None
    notes: str = ""


def data():
    draw = torch.Generator().manual_seed(7)
    x = torch.randn(60, 4, generator=draw)
    return (x[:40], (x[:40, 0] > 0).long()), (x[40:], (x[40:, 0] > 0).long())


def net(p=0.0):
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(p), nn.BatchNorm1d(8), nn.Linear(8, 2))


def sgd(params):
    return torch.optim.SGD(params, lr=0.1, momentum=0.9)


def plain(f):
    return dict(network=net(0.5), optimizer=lambda p: torch.optim.Adam(p, lr=10.0 if f else 0.01))


def accumulates(f):
    def step(p, batch, state):
        loss = p.loss(p.network(batch[0]), batch[1])
        (loss / 3).backward()
        if state.step % 3 == 2:
            state.optimizer.step()
            if not f:
                state.optimizer.zero_grad()
        return loss.detach()
    return dict(network=net(), optimizer=sgd, step=step)


def scheduled(f):
    def begin(p):
        named = [q for n, q in p.network.named_parameters() if not f or n.endswith("bias")]
        o = p.optimizer(named)
        return State(o, extra={"schedule": torch.optim.lr_scheduler.StepLR(o, 2, 0.5)})
    def step(p, batch, state):
        loss = plain_step(p, batch, state)
        state.extra["schedule"].step()
        return loss
    return dict(network=net(), optimizer=sgd, begin=begin, step=step)


def replaced(f):
    def begin(p):
        p.network = nn.Sequential(p.network, nn.Tanh() if f else nn.Identity())
        return State(p.optimizer(p.network.parameters()))
    return dict(network=net(), optimizer=sgd, begin=begin)


def remade(f):
    def step(p, batch, state):
        if f:
            p.network = net()
            state.optimizer = p.optimizer(p.network.parameters())
        return plain_step(p, batch, state)
    return dict(network=net(), optimizer=sgd, step=step)


def modes(f):
    return dict(network=net(0.5), optimizer=sgd, training_mode=not f, evaluation_mode=not f, evaluation_batch=7)


def fine():
    return dict(network=net(), optimizer=sgd)


CASES = dict(plain=plain, accumulates=accumulates, scheduled=scheduled, replaced=replaced, remade=remade, modes=modes)
HEALTHY = dict(fine=fine)


def facts():
    return {c["id"]: c for c in json.loads((Path(__file__).parent / "cases.json").read_text())["cases"]}


def cases():
    return list(CASES)


def healthy():
    return list(HEALTHY)


def controls(strict=True):
    known = facts()
    kept = [i for i in CASES if known[i]["fixed_is_healthy"] and not (strict and known[i]["present_in_both"])]
    return [(i, "fixed") for i in (*kept, *HEALTHY)]


def build(case_id, version="faulty", seed=0):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = CASES[case_id](version == "faulty") if case_id in CASES else HEALTHY[case_id]()
    train, validation = data()
    fact = facts()[case_id] if version == "faulty" else {}
    return Program(case_id=case_id, version=version, seed=seed, loss=torch.nn.functional.cross_entropy,
                   loss_name="cross_entropy_with_logits", train=train, validation=validation, batch_size=8, epochs=3,
                   shuffle=True, task="classification", metric=None, faults=fact.get("faults", []),
                   where=fact.get("where", ""), **made)


def start(program):
    if program.begin is not None:
        return program.begin(program)
    return State(program.optimizer(program.network.parameters()))


def plain_step(program, batch, state):
    state.optimizer.zero_grad()
    loss = program.loss(program.network(batch[0]), batch[1])
    loss.backward()
    state.optimizer.step()
    return loss.detach()


def train_step(program, batch, state):
    loss = (program.step or plain_step)(program, batch, state)
    state.step += 1
    return loss


@torch.no_grad()
def predict(program, x):
    program.network.train(not program.evaluation_mode)
    size = program.evaluation_batch
    return torch.cat([program.network(x[i:i + size]) for i in range(0, len(x), size)])


def train(program):
    """The reference: losses of every step, and outputs on validation data afterwards."""
    generator, losses = torch.Generator().manual_seed(program.seed + 1), []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(program.seed + 1)
        state = start(program)
        program.network.train(program.training_mode)
        for _ in range(program.epochs):
            order = torch.randperm(len(program.train[0]), generator=generator)
            for i in range(0, len(order), program.batch_size):
                k = order[i:i + program.batch_size]
                losses.append(float(train_step(program, (program.train[0][k], program.train[1][k]), state)))
        torch.manual_seed(0)
        return losses, predict(program, program.validation[0])
'''


def fact(case, faults, where, **more):
    """Return what `cases.json` holds of a case."""
    runs = {"faulty": [{"stopped_early": False}], "fixed": [{"stopped_early": False}]}
    known = {"strength": "strong", "fixed_is_healthy": True, "present_in_both": [], "also_changed": []}
    return {"id": case, "faults": faults, "where": where, "verified_runs": runs, **known, **more}


FACTS = [
    fact("plain", ["lr_too_high"], "learning rate"),
    fact("accumulates", ["missing_zero_grad"], "loop (zero_grad)", also_changed=["lr_too_high"]),
    fact("scheduled", ["parameters_not_updated"], "optimizer (biases only)"),
    fact("replaced", ["wrong_output_activation"], "last layer (tanh)", present_in_both=["batch_size_too_small"]),
    fact("remade", ["parameters_not_updated"], "loop (network made anew)", strength="weak"),
    fact("modes", ["train_eval_mode"], "dropout (training mode at evaluation)"),
    fact("fine", [], "", strength="control", present_in_both=None, also_changed=None),
]


def written(folder):
    """Write the package into a folder and return its path."""
    package = folder / "small_programs_written"
    package.mkdir()
    (package / "__init__.py").write_text(INIT)
    (package / "machinery.py").write_text(MACHINERY)
    (package / "cases.json").write_text(json.dumps({"cases": FACTS}))
    return package
