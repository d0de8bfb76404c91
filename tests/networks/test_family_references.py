"""Families against closed forms and against networks written by hand in plain torch."""

import math

import numpy as np
import pytest
import torch
from network_cases import PLANS, case, raw
from torch import nn

from equipoise.core.network_plan import (
    AutoencoderNetwork,
    ConvolutionalNetwork,
    DenseNetwork,
    RecurrentNetwork,
    ResidualNetwork,
    TransformerNetwork,
    VggNetwork,
)
from equipoise.core.preprocessing import ImageNumbers, NoNumbers, Preprocessing
from equipoise.core.signature import ArrayInput, ImageInput, Signature, Task
from equipoise.networks.blocks import MONOTONE
from equipoise.networks.build import build
from equipoise.networks.cells import LoopedRecurrence

TEN = Task(kind="multiclass", classes=tuple("0123456789"))
GREY = Preprocessing(inputs=ImageNumbers(mean=(8.0,), scale=(6.0,)))


def digits(side):
    return Signature(inputs=ImageInput(channels=1, height=side, width=side, high=16.0), task=TEN)


def count(network):
    return sum(one.numel() for one in network.parameters())


def test_the_digit_network_has_the_parameters_of_the_keras_tutorials():
    """320 + 18,496 + 36,928 + (3 * 3 * 64) * 64 + 64 + 650, as Keras' own summary prints it."""
    assert count(build(ConvolutionalNetwork(), digits(28), GREY, 0)) == 93_322


def test_on_eight_pixels_the_digit_network_pads_and_pools_twice():
    network = build(ConvolutionalNetwork(), digits(8), GREY, 0)
    assert count(network) == 320 + 18_496 + 36_928 + (2 * 2 * 64) * 64 + 64 + 650
    assert sum(isinstance(one, nn.MaxPool2d) for one in network.modules()) == 2


@pytest.mark.parametrize("side", [1, 2, 3, 5, 8, 14, 17, 28, 32])
@pytest.mark.parametrize("kernel", [1, 2, 3, 5])
def test_convolutions_fit_every_image_size(side, kernel):
    for plan in (ConvolutionalNetwork(channels=(2, 3, 3), kernel=kernel, hidden=()), VggNetwork(blocks=((2,), (3,)))):
        assert build(plan, digits(side), GREY, 0)(torch.rand(2, 1, side, side)).shape == (2, 10)


@pytest.mark.parametrize("activation", sorted(MONOTONE | {"gelu", "silu"}))
def test_pooling_before_or_after_the_activation_gives_the_tutorials_numbers(activation):
    network = build(ConvolutionalNetwork(channels=(4, 5, 6), activation=activation), digits(28), GREY, 0)
    functions = {
        "relu": nn.functional.relu,
        "leaky-relu": nn.functional.leaky_relu,
        "tanh": torch.tanh,
        "sigmoid": torch.sigmoid,
        "elu": nn.functional.elu,
        "selu": nn.functional.selu,
        "linear": lambda x: x,
        "gelu": nn.functional.gelu,
        "silu": nn.functional.silu,
    }
    active = functions[activation]
    convs = [one for one in network.modules() if isinstance(one, nn.Conv2d)]
    linears = [one for one in network.modules() if isinstance(one, nn.Linear)]
    inputs = torch.rand(3, 1, 28, 28) * 16
    x = (inputs - 8) / 6
    for position, conv in enumerate(convs):
        x = active(nn.functional.conv2d(x, conv.weight, conv.bias))
        x = nn.functional.max_pool2d(x, 2) if position < 2 else x
    x = linears[1](active(linears[0](x.flatten(1))))
    assert torch.allclose(network(inputs), x, atol=1e-5)


def test_the_dense_network_of_the_articles_has_25_450_parameters():
    network = build(DenseNetwork(hidden=(32,)), digits(28), GREY, 0)
    assert count(network) == 784 * 32 + 32 + 32 * 10 + 10


def test_a_bias_that_batch_normalisation_would_undo_is_left_out():
    plan = DenseNetwork(hidden=(7,), normalisation="batch")
    assert count(build(plan, digits(2), GREY, 0)) == 4 * 7 + 2 * 7 + 7 * 10 + 10


def test_vgg_parameters_by_closed_form():
    network = build(VggNetwork(blocks=((3, 4), (5,)), hidden=(6,)), digits(8), GREY, 0)
    conv = (9 * 1 + 1) * 3 + (9 * 3 + 1) * 4 + (9 * 4 + 1) * 5
    assert count(network) == conv + (5 * 2 * 2 + 1) * 6 + 7 * 10


def test_residual_parameters_by_closed_form():
    network = build(ResidualNetwork(channels=(4, 6), blocks=1), digits(8), GREY, 0)
    stem, norms = 9 * 4, 2 * 4
    first = 2 * 9 * 4 * 4 + 4 * 4
    second = 9 * 4 * 6 + 9 * 6 * 6 + 4 * 6 + 4 * 6 + 2 * 6
    assert count(network) == stem + norms + first + second + 7 * 10


def test_a_residual_block_whose_branch_is_zero_passes_its_input_through():
    network = build(ResidualNetwork(channels=(4,), blocks=3, normalisation="none"), digits(8), GREY, 0).eval()
    with torch.no_grad():
        for block in network.body[2:5]:
            for parameter in block.branch[-1].parameters():
                parameter.zero_()
    inputs = torch.rand(2, 1, 8, 8)
    stem = network.body[:2](network.preprocess(inputs))
    assert torch.allclose(network.body[:5](network.preprocess(inputs)), stem)


def sequences(steps=6, width=3):
    task = Task(kind="multiclass", classes=("a", "b"))
    return Signature(inputs=ArrayInput(shape=(steps, width), axes="steps,features"), task=task)


NONE = Preprocessing(inputs=NoNumbers())


@pytest.mark.parametrize(("cell", "gates"), [("plain", 1), ("lstm", 4), ("gru", 3)])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_recurrent_networks_equal_torchs_stacked_layers(cell, gates, bidirectional):
    plan = RecurrentNetwork(cell=cell, hidden=(5, 5), bidirectional=bidirectional)
    network = build(plan, sequences(), NONE, 0)
    kind = {"plain": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}[cell]
    reference = kind(3, 5, num_layers=2, batch_first=True, bidirectional=bidirectional)
    with torch.no_grad():
        for level, layer in enumerate(network.body.layers):
            for part, suffix in ((layer.ahead, ""), (layer.back, "_reverse")):
                for name, values in part.named_parameters() if part is not None else ():
                    getattr(reference, name.replace("_l0", f"_l{level}{suffix}")).copy_(values)
    inputs = torch.randn(4, 6, 3)
    _, last = reference(inputs)
    last = last[0] if cell == "lstm" else last
    final = torch.cat([last[-2], last[-1]], dim=1) if bidirectional else last[-1]
    assert torch.allclose(network(inputs), network.body.readout(final), atol=1e-6)
    directions = 2 if bidirectional else 1
    first = directions * gates * 5 * (3 + 5 + 2)
    second = directions * gates * 5 * (directions * 5 + 5 + 2)
    assert count(network) == first + second + (directions * 5 + 1) * 2


@pytest.mark.parametrize("cell", ["plain", "lstm", "gru"])
def test_padded_texts_equal_torchs_packed_sequences(cell):
    signature, preprocessing = case("text", "multiclass")
    network = build(RecurrentNetwork(cell=cell, hidden=(5,), bidirectional=True), signature, preprocessing, 0)
    kind = {"plain": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}[cell]
    reference = kind(64, 5, batch_first=True, bidirectional=True)
    layer = network.body.layers[0]
    with torch.no_grad():
        for part, suffix in ((layer.ahead, ""), (layer.back, "_reverse")):
            for name, values in part.named_parameters():
                getattr(reference, f"{name}{suffix}").copy_(values)
    ids = torch.tensor([[3, 4, 5, 0, 0, 0, 0], [6, 7, 8, 9, 10, 11, 12], [2, 0, 0, 0, 0, 0, 0]])
    vectors = network.body.steps(ids)
    packed = nn.utils.rnn.pack_padded_sequence(vectors, torch.tensor([3, 7, 1]), True, enforce_sorted=False)
    _, last = reference(packed)
    last = last[0] if cell == "lstm" else last
    expected = network.body.readout(torch.cat([last[0], last[1]], dim=1))
    assert torch.allclose(network(ids), expected, atol=1e-6)


@pytest.mark.parametrize("cell", ["plain", "lstm", "gru"])
def test_the_step_by_step_cells_equal_torchs_fused_ones_at_tanh(cell):
    looped = LoopedRecurrence(cell, 3, 5, "tanh")
    fused = {"plain": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}[cell](3, 5, batch_first=True)
    fused.load_state_dict(looped.state_dict(), strict=False)
    inputs = torch.randn(4, 6, 3)
    assert torch.allclose(looped(inputs)[0], fused(inputs)[0], atol=1e-6)


@pytest.mark.parametrize("activation", ["relu", "gelu", "sigmoid", "linear"])
def test_the_activation_of_a_recurrent_network_changes_what_it_computes(activation):
    plan = RecurrentNetwork(cell="gru", hidden=(5,))
    inputs = torch.randn(4, 6, 3)
    tanh = build(plan, sequences(), NONE, 0)
    other = build(plan.replace(activation=activation), sequences(), NONE, 0)
    named = dict(tanh.named_parameters())
    with torch.no_grad():
        for name, parameter in other.named_parameters():
            parameter.copy_(named[name])
    assert not torch.allclose(tanh(inputs), other(inputs), atol=1e-4)


@pytest.mark.parametrize("family", ["recurrent", "transformer", "dense"])
def test_padding_after_a_text_changes_nothing(family):
    signature, preprocessing = case("text", "multiclass")
    short = signature.replace(inputs__length=4)
    padded, bare = (build(PLANS[family], one, preprocessing, 0).eval() for one in (signature, short))
    state = padded.state_dict()
    if family == "transformer":
        state["body.embed.2.vectors"] = state["body.embed.2.vectors"][:4]
    bare.load_state_dict(state)
    ids = torch.tensor([[3, 4, 5, 6], [7, 8, 0, 0]])
    assert torch.allclose(bare(ids), padded(nn.functional.pad(ids, (0, 3))), atol=1e-6)


def test_a_transformer_equals_torchs_encoder_with_the_same_weights():
    plan = TransformerNetwork(width=8, depth=2, heads=2)
    network = build(plan, sequences(), NONE, 0).eval()
    layer = nn.TransformerEncoderLayer(8, 2, 32, 0.0, "gelu", batch_first=True, norm_first=True)
    x = inputs = torch.randn(4, 6, 3)
    x = network.body.embed(inputs)
    for block in network.body.blocks:
        attention = block.attention
        with torch.no_grad():
            parts = (attention.query, attention.key, attention.value)
            layer.self_attn.in_proj_weight.copy_(torch.cat([one.weight for one in parts]))
            layer.self_attn.in_proj_bias.copy_(torch.cat([one.bias for one in parts]))
        layer.self_attn.out_proj.load_state_dict(attention.out.state_dict())
        layer.norm1.load_state_dict(block.norm_attention.norm.state_dict())
        layer.norm2.load_state_dict(block.feed[0].norm.state_dict())
        layer.linear1.load_state_dict(block.feed[1].state_dict())
        layer.linear2.load_state_dict(block.feed[3].state_dict())
        x = layer(x)
    expected = network.body.readout(network.body.norm(x).mean(1))
    assert torch.allclose(network(inputs), expected, atol=1e-5)
    block = 2 * 16 + 4 * 72 + 8 * 32 + 32 + 32 * 8 + 8
    assert count(network) == 3 * 8 + 8 + 6 * 8 + 2 * block + 16 + 9 * 2


def test_the_divergence_of_a_variational_code_agrees_with_torchs_distributions():
    signature, preprocessing = case("vector", "reconstruction")
    network = build(AutoencoderNetwork(hidden=(8,), code=3, variational=True), signature, preprocessing, 0)
    features = network.preprocess(raw("vector"))
    mean, log_variance = network.body.encoder(features).chunk(2, dim=1)
    torch.manual_seed(5)
    again, divergence = network.body.scores_and_divergence(features)
    code = torch.distributions.Normal(mean, (log_variance / 2).exp())
    prior = torch.distributions.Normal(torch.zeros(3), torch.ones(3))
    expected = torch.distributions.kl_divergence(code, prior).sum(1)
    assert torch.allclose(divergence, expected, atol=1e-5)
    torch.manual_seed(5)
    drawn = mean + code.stddev * torch.randn_like(mean)
    assert torch.allclose(again, network.body.decoder(drawn), atol=1e-6)
    assert torch.equal(network.body.embed(features), mean)


def test_an_autoencoder_answers_in_raw_units():
    signature, preprocessing = case("image", "reconstruction")
    network = build(AutoencoderNetwork(hidden=(8,), code=3), signature, preprocessing, 0)
    inputs = raw("image")
    scores = network.scores(inputs)
    expected = scores * torch.tensor([50.0, 40.0])[:, None, None] + torch.tensor([100.0, 90.0])[:, None, None]
    assert torch.allclose(network.answer(inputs), expected, atol=1e-4)


def test_generated_samples_come_from_the_generator_handed_over():
    signature, preprocessing = case("image", "generation")
    network = build(PLANS["generative-pair"], signature, preprocessing, 0)
    first, again, other = (network.body.generate(3, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize(
    ("rule", "variance"), [("he", 2 / 400), ("glorot", 2 / 1000), ("lecun", 1 / 400), ("orthogonal", 2 / 600)]
)
def test_initial_weights_have_the_variance_of_their_rule(rule, variance):
    """The orthogonal matrix of 600 rows and 400 columns has unit columns, scaled by sqrt(2) for the rectifier."""
    signature = Signature(inputs=ArrayInput(shape=(400,)), task=TEN)
    network = build(DenseNetwork(hidden=(600,), initialisation=rule), signature, NONE, 0)
    weight, bias = network.body[0].weight.detach(), network.body[0].bias.detach()
    assert bias.eq(0).all()
    n = weight.numel()
    assert float(weight.square().mean()) == pytest.approx(variance, rel=5 * math.sqrt(2 / n))
    assert abs(float(weight.mean())) < 5 * math.sqrt(variance / n)
    if rule == "orthogonal":
        gram = (weight.T @ weight).numpy()
        assert np.allclose(gram, 2 * np.eye(400), atol=1e-4)


def test_each_gate_of_a_recurrent_layer_is_orthogonal():
    plan = RecurrentNetwork(cell="lstm", hidden=(8,), initialisation="orthogonal")
    network = build(plan, sequences(), NONE, 0)
    for gate in network.body.layers[0].ahead.weight_hh_l0.split(8):
        assert torch.allclose(gate @ gate.T, torch.eye(8), atol=1e-5)


def test_the_temperature_changes_answers_but_not_scores():
    signature, preprocessing = case("vector", "binary")
    network = build(PLANS["dense"], signature, preprocessing, 0)
    inputs = raw("vector")
    scores = network.scores(inputs)
    network.head.temperature.fill_(4.0)
    assert torch.equal(network.scores(inputs), scores)
    assert torch.allclose(network.answer(inputs)[:, 1:], (scores / 4).sigmoid(), atol=1e-6)
    assert torch.equal(network(inputs)[:, 0], torch.zeros(4))


def test_clusters_are_assigned_by_students_kernel():
    signature, preprocessing = case("vector", "clustering")
    network = build(PLANS["autoencoder"], signature, preprocessing, 0)
    inputs = raw("vector")
    assert torch.allclose(network.answer(inputs), torch.full((4, 3), 1 / 3))
    codes = network.scores(inputs)
    network.head.place(codes[:3].detach())
    kernel = 1 / (1 + torch.cdist(codes, codes[:3]).square())
    assert torch.allclose(network.answer(inputs), kernel / kernel.sum(1, keepdim=True), atol=1e-5)
    with pytest.raises(ValueError, match="expected \\(3, 3\\)"):
        network.head.place(torch.zeros(2, 3))
