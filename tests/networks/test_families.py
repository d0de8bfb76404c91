"""Every family on every kind of input and task it takes: shapes, gradients, seeds, refusals."""

import pytest
import torch
from network_cases import DOES, EVERY, PLANS, STEPS, TAKES, TASKS, case, raw

from equipoise.networks.build import build


def network_of(family, kind, task, seed=0, **options):
    signature, preprocessing = case(kind, task)
    return build(PLANS[family].replace(**options), signature, preprocessing, seed)


def expected_shapes(kind, task, network, inputs):
    """Return the shapes of scores, outputs and answer for 4 samples."""
    features = tuple(network.preprocess(inputs).shape)
    return {
        "binary": ((4, 1), (4, 2), (4, 2)),
        "multiclass": ((4, 3),) * 3,
        "multilabel": ((4, 2),) * 3,
        "regression": ((4, 2),) * 3,
        "sequence-labelling": ((4, STEPS.get(kind), 3),) * 3,
        "reconstruction": (features, features, features if kind == "sound" else tuple(inputs.shape)),
        "clustering": ((4, 3),) * 3,
        "generation": ((4, 1),) * 3,
    }[task]


@pytest.mark.parametrize(("family", "kind", "task"), EVERY)
def test_scores_outputs_and_answer_have_their_shapes_and_every_parameter_gets_a_gradient(family, kind, task):
    network, inputs = network_of(family, kind, task), raw(kind)
    scores = network.scores(inputs)
    shapes = (tuple(scores.shape), tuple(network(inputs).shape), tuple(network.answer(inputs).shape))
    assert shapes == expected_shapes(kind, task, network, inputs)
    assert scores.isfinite().all()
    loss = scores.square().sum()
    if family == "generative-pair":
        samples = network.body.generate(4, torch.Generator().manual_seed(0))
        assert samples.shape == network.preprocess(inputs).shape
        loss = loss + network.body.discriminate(samples).sum()
    if task == "clustering":
        loss = loss + network.body.reconstruct(network.preprocess(inputs)).square().sum()
    loss.backward()
    without = [name for name, one in network.named_parameters() if one.grad is None or not one.grad.isfinite().all()]
    assert without == []


@pytest.mark.parametrize("task", [*TASKS])
def test_answers_are_probabilities_or_units(task):
    family = next(one for one in DOES if task in DOES[one])
    network, inputs = network_of(family, "sequence", task), raw("sequence")
    answer = network.answer(inputs)
    if task in ("binary", "multiclass", "sequence-labelling", "clustering"):
        assert torch.allclose(answer.sum(-1), torch.ones_like(answer.sum(-1)))
    if task in ("binary", "multiclass", "sequence-labelling", "multilabel", "clustering", "generation"):
        assert ((answer >= 0) & (answer <= 1)).all()
    if task == "regression":
        assert torch.allclose(answer, network.scores(inputs) * torch.tensor([4.0, 0.5]) + torch.tensor([10.0, -3.0]))


@pytest.mark.parametrize("family", [*PLANS])
def test_the_seed_alone_draws_the_weights(family):
    kind, task = TAKES[family][-1], DOES[family][0]
    before = torch.random.get_rng_state()
    first = network_of(family, kind, task, seed=3)
    torch.manual_seed(11)
    again = network_of(family, kind, task, seed=3)
    other = network_of(family, kind, task, seed=4)
    torch.random.set_rng_state(before)
    network_of(family, kind, task)
    assert torch.equal(torch.random.get_rng_state(), before)
    pairs = list(zip(first.state_dict().values(), again.state_dict().values(), strict=True))
    assert all(torch.equal(a, b) for a, b in pairs)
    assert any(not torch.equal(a, b) for a, b in zip(first.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize("family", [*PLANS])
@pytest.mark.parametrize("normalisation", ["none", "batch", "layer", "group"])
def test_every_option_is_applied_in_every_family(family, normalisation):
    kind, task = "image", DOES[family][0]
    network = network_of(
        family, kind, task, normalisation=normalisation, dropout=0.3, activation="elu", initialisation="orthogonal"
    )
    kinds = [type(one).__name__ for one in network.modules()]
    names = {"batch": "BatchNorm", "layer": ("LayerNorm", "GroupNorm"), "group": "GroupNorm"}
    if normalisation != "none":
        assert any(name.startswith(names[normalisation]) for name in kinds)
    else:
        assert not any("Norm" in name for name in kinds)
    assert "Dropout" in kinds
    assert "ELU" in kinds
    assert "ReLU" not in kinds
    inputs = raw(kind, n=6)
    network.train()
    assert not torch.equal(network.scores(inputs), network.scores(inputs)) or family == "autoencoder"
    network.eval()
    assert torch.equal(network.scores(inputs), network.scores(inputs))


@pytest.mark.parametrize(
    ("family", "kind", "task", "words"),
    [
        ("convolutional", "table", "binary", "Use the family 'dense' or 'residual'"),
        ("vgg", "vector", "binary", "Use the family 'dense' or 'residual'"),
        ("convolutional", "text", "binary", "Use the family 'dense', 'recurrent' or 'transformer'"),
        ("recurrent", "table", "regression", "Use the family 'dense' or 'residual'"),
        ("transformer", "vector", "regression", "Use the family 'dense' or 'residual'"),
        ("residual", "text", "binary", "recurrent"),
        ("dense", "text", "sequence-labelling", "Set `network.family` to 'recurrent'"),
        ("recurrent", "vector", "sequence-labelling", "Choose another task"),
        ("dense", "vector", "reconstruction", "Set `network.family` to 'autoencoder'"),
        ("dense", "vector", "clustering", "Set `network.family` to 'autoencoder'"),
        ("dense", "vector", "generation", "Set `network.family` to 'generative-pair'"),
        ("autoencoder", "text", "reconstruction", "Choose another task"),
        ("autoencoder", "vector", "binary", "`data.task` to 'reconstruction'"),
        ("generative-pair", "vector", "binary", "`data.task` to 'generation'"),
    ],
)
def test_a_family_that_cannot_take_the_data_says_which_can(family, kind, task, words):
    with pytest.raises(ValueError, match="got .* expected ") as caught:
        network_of(family, kind, task)
    assert words in str(caught.value)


def test_heads_that_do_not_divide_the_width_are_refused_with_a_width_that_fits():
    with pytest.raises(ValueError, match="Set `network.width` to 9"):
        network_of("transformer", "sequence", "binary", width=8, heads=3)


@pytest.mark.parametrize(
    ("task", "changes", "words"),
    [
        ("binary", {"classes": ["a"]}, "got 1 classes for the task binary; expected 2"),
        ("multiclass", {"classes": ["a"]}, "expected at least 2"),
        ("clustering", {"clusters": 1}, "Set `data.clusters`"),
        ("regression", {"targets": ["x"]}, "got 2 target means"),
    ],
)
def test_a_task_that_cannot_be_is_refused(task, changes, words):
    signature, preprocessing = case("vector", task)
    wrong = signature.replace(**{f"task__{name}": value for name, value in changes.items()})
    family = next(one for one in DOES if task in DOES[one])
    with pytest.raises(ValueError, match="expected") as caught:
        build(PLANS[family], wrong, preprocessing, 0)
    assert words in str(caught.value)


@pytest.mark.filterwarnings("ignore:The tensor attributes .*_flat_weights:UserWarning")
@pytest.mark.parametrize("family", [*PLANS])
def test_a_network_exports_with_a_free_number_of_samples(family):
    kind = "text" if "text" in TAKES[family] else "sound"
    network = network_of(family, kind, DOES[family][0]).eval()
    program = torch.export.export(network, (raw(kind, n=4),), dynamic_shapes=({0: torch.export.Dim("n", min=2)},))
    inputs = raw(kind, n=7, seed=1)
    assert torch.allclose(program.module()(inputs), network(inputs), atol=1e-5)


def test_a_dense_network_vectorises_over_stacked_weights():
    from torch.func import functional_call, stack_module_state, vmap

    networks = [network_of("transformer", "text", "multiclass", seed=seed).eval() for seed in range(3)]
    parameters, buffers = stack_module_state(networks)
    inputs = raw("text")
    stacked = vmap(lambda p, b: functional_call(networks[0], (p, b), (inputs,)))(parameters, buffers)
    assert torch.allclose(stacked, torch.stack([one(inputs) for one in networks]), atol=1e-5)
