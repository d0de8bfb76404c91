"""Every treatment of learning, choice and stability cures a subject that is sick on purpose."""

import functools
import importlib

import pytest
from sick_subjects import assert_cured, calm, clouds, confidence, halves, memories, rings, sick, waves, with_outliers


def treatment(name):
    return importlib.import_module(f"equipoise.treat.treatments.{name.replace('-', '_')}").TREATMENT


def dense(*hidden, **options):
    return {"family": "dense", "hidden": list(hidden), **options}


RINGS = functools.cache(rings)
SORTED = functools.cache(functools.partial(rings, ordered=True))
WAVES = functools.cache(functools.partial(waves, noise=0.6))
FAR = functools.cache(lambda: with_outliers(waves()))
FLIPPED = functools.cache(functools.partial(clouds, n=300, flipped=0.3))
HALF_FLIPPED = functools.cache(functools.partial(clouds, n=300, flipped=0.5))
HALVES = functools.cache(functools.partial(halves, n=200))
MEMORIES = functools.cache(functools.partial(memories, n=240, steps=14))

DEEP = sick(dense(*[16] * 28), learning_rate=3e-3, epochs=8)
DEEP_TANH = sick(dense(*[16] * 24, activation="tanh"), learning_rate=1e-3, epochs=10)
SQUASHED = sick(dense(16, 16, 16, activation="sigmoid"), learning_rate=1e-2, epochs=6)
DEEP_SQUASHED = sick(dense(*[16] * 5, activation="sigmoid"), learning_rate=1e-2, epochs=12)
TINY_STEP = sick(dense(32), optimizer="sgd", learning_rate=1e-4, epochs=40)
TINY_ADAM = sick(dense(32), learning_rate=1e-6, epochs=40)
NOISY = sick(dense(16), optimizer="sgd", learning_rate=0.15, batch_size=2, epochs=12)
PLAIN_CELLS = sick(
    {"family": "recurrent", "cell": "plain", "hidden": [12], "activation": "relu", "initialisation": "he"},
    learning_rate=1e-2,
    epochs=10,
)
SURE = sick(dense(32, 32, initialisation="he"), learning_rate=1e-2, epochs=30)

CASES = {
    "loss-pairing": (sick(dense(32), loss="focal", focal_gamma=60.0, learning_rate=3e-3, epochs=15), RINGS, 0.2),
    "insert-activation": (sick(dense(16, 16, activation="linear"), learning_rate=1e-2), RINGS, 0.3),
    "he-initialisation": (DEEP, RINGS, 0.3),
    "orthogonal-initialisation": (DEEP_TANH, RINGS, 0.3),
    "glorot-initialisation": (DEEP_TANH, RINGS, 0.2),
    "homeostatic-scaling": (DEEP, RINGS, 0.15),
    "residual-links": (DEEP, RINGS, 0.3),
    "batch-norm": (DEEP_SQUASHED, RINGS, 0.15),
    "layer-norm": (DEEP_SQUASHED, RINGS, 0.3),
    "group-norm": (DEEP_SQUASHED, RINGS, 0.3),
    "relu": (SQUASHED, RINGS, 0.3),
    "leaky-relu": (SQUASHED, RINGS, 0.3),
    "gelu": (SQUASHED, RINGS, 0.3),
    "silu": (SQUASHED, RINGS, 0.3),
    "tanh": (SQUASHED, RINGS, 0.3),
    "lstm": (PLAIN_CELLS, MEMORIES, 0.2),
    "gru": (PLAIN_CELLS, MEMORIES, 0.2),
    "lower-step": (NOISY, WAVES, 0.1),
    "higher-step": (sick(dense(16), learning_rate=1e-3, epochs=8), RINGS, 0.3),
    "learning-rate-search": (TINY_STEP, RINGS, 0.3),
    "gradient-clipping": (sick(dense(16, 16), optimizer="sgd", learning_rate=0.1), FAR, 0.3),
    "warm-up": (sick(dense(16), optimizer="sgd", learning_rate=6.0, epochs=40), RINGS, 0.1),
    "cosine": (NOISY, WAVES, 0.1),
    "one-cycle": (NOISY, WAVES, 0.1),
    "step-schedule": (NOISY, WAVES, 0.1),
    "plateau-schedule": (NOISY, WAVES, 0.1),
    "larger-batches": (NOISY, WAVES, 0.1),
    "smaller-batches": (sick(dense(16), batch_size=240, learning_rate=1e-2, epochs=10), RINGS, 0.2),
    "shuffle": (sick(dense(16), shuffle=False, optimizer="momentum", learning_rate=0.1, batch_size=8), SORTED, 0.3),
    "gradient-descent": (TINY_ADAM.replace(recipe__epochs=150), RINGS, 0.3),
    "sgd": (TINY_ADAM, RINGS, 0.3),
    "momentum": (TINY_STEP, RINGS, 0.3),
    "nesterov": (TINY_STEP, RINGS, 0.3),
    "rmsprop": (TINY_STEP, RINGS, 0.3),
    "adam": (TINY_STEP, RINGS, 0.3),
    "adamw": (TINY_STEP, RINGS, 0.3),
    "lion": (TINY_ADAM.replace(recipe__epochs=100), RINGS, 0.3),
    "muon": (TINY_STEP, RINGS, 0.3),
    "schedule-free": (TINY_STEP, RINGS, 0.3),
    "governor": (sick(dense(16, 16), optimizer="sgd", learning_rate=30.0, epochs=20), RINGS, 0.3),
    "sound-recipe": (
        sick(dense(32), optimizer="sgd", learning_rate=1e-4, shuffle=False, l2=5.0, batch_size=8, epochs=40),
        SORTED,
        0.3,
    ),
    "less-dropout": (sick(dense(16, 16, dropout=0.9), learning_rate=1e-2), RINGS, 0.3),
    "weaker-penalties": (sick(dense(16, 16), l2=5.0, learning_rate=1e-2), RINGS, 0.3),
    "sam": (sick(dense(64, 64), learning_rate=3e-3, epochs=60), HALF_FLIPPED, 0.05, confidence),
    "spectral-norm": (SURE, FLIPPED, 0.5, calm),
}
SEEDS = {"warm-up": 6, "governor": 4, "larger-batches": 6}


@pytest.mark.parametrize("name", CASES)
def test_a_sick_subject_is_cured(name):
    assert_cured(treatment(name), *CASES[name], seeds=SEEDS.get(name, 2))


def test_a_deep_convolutional_network_is_cured_by_links():
    plan = sick({"family": "convolutional", "channels": [8] * 12, "hidden": []}, learning_rate=3e-3, epochs=4)
    linked = treatment("residual-links").apply(plan).network
    assert (linked.family, linked.channels, linked.blocks) == ("residual", (8,), 6)
    assert_cured(treatment("residual-links"), plan, HALVES, 0.3, seeds=2)
