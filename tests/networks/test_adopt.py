"""Foreign torch networks: layouts, outputs and files are found out, stated, or refused with a cure."""

import pytest
import torch
from network_cases import TASKS, case, raw
from safetensors.torch import save_file
from torch import nn

from equipoise.core.network_plan import ForeignNetwork
from equipoise.core.preprocessing import ArrayNumbers, NoNumbers, Preprocessing
from equipoise.core.signature import ArrayInput, ImageInput, Signature, SoundInput
from equipoise.networks.adopt import adopt
from equipoise.networks.archive import foreign_plan_of, load_network, save_network
from equipoise.networks.build import build

IMAGE = ImageInput(channels=1, height=8, width=8, high=16.0)
VECTOR = ArrayInput(shape=(5,))


def signature_of(spec, task):
    return Signature(inputs=spec, task=TASKS[task])


class Turn(nn.Module):
    """Channels last to channels first, as networks written for such arrays begin."""

    def forward(self, inputs):
        assert inputs.shape[-1] == 1
        return inputs.permute(0, 3, 1, 2)


class Rows(nn.Module):
    """Takes (n, height, width) only."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(8, 4, batch_first=True)
        self.last = nn.Linear(4, 3)

    def forward(self, inputs):
        return self.last(self.rnn(inputs)[0][:, -1])


@pytest.mark.parametrize(
    ("module", "layout", "words"),
    [
        (nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(144, 3)), "as-is", ""),
        (nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), "as-is", ""),
        (nn.Sequential(nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 3)), "flat", "flattened"),
        (nn.Sequential(Turn(), nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(144, 3)), "channels-last", "channels last"),
        (Rows(), "no-channel", "without their single channel"),
        (nn.Sequential(nn.Flatten(), nn.LazyLinear(3)), "as-is", ""),
    ],
)
def test_the_layout_of_images_is_found_and_stated(module, layout, words):
    network = adopt(module, signature_of(IMAGE, "multiclass"))
    assert network.body.origin.layout == layout
    assert words in " ".join(network.notes)
    assert network(torch.rand(2, 1, 8, 8)).shape == (2, 3)


def test_sounds_and_sequences_find_their_channel_axis():
    sound = signature_of(SoundInput(sample_rate=8000, samples=100), "multiclass")
    wave = nn.Sequential(nn.Conv1d(1, 4, 9), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(4, 3))
    assert adopt(wave, sound).body.origin.layout == "one-channel"
    steps = signature_of(ArrayInput(shape=(12, 4), axes="steps,features"), "multiclass")
    series = nn.Sequential(nn.Conv1d(4, 6, 3), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(6, 3))
    assert adopt(series, steps).body.origin.layout == "steps-last"


class Ended(nn.Module):
    """A network whose forward ends in a function that no layer shows."""

    def __init__(self, units, function):
        super().__init__()
        self.last = nn.Linear(5, units)
        self.function = function

    def forward(self, inputs):
        return self.function(self.last(inputs))


class Dictionary(Ended):
    """Returns a mapping."""

    def forward(self, inputs):
        return {"loss": None, "logits": super().forward(inputs)}


@pytest.mark.parametrize(
    ("task", "module", "output", "stripped"),
    [
        ("multiclass", nn.Linear(5, 3), "logits", False),
        ("multiclass", nn.Sequential(nn.Linear(5, 3), nn.Softmax(dim=-1)), "logits", True),
        ("multiclass", nn.Sequential(nn.Sequential(nn.Linear(5, 3), nn.LogSoftmax(dim=-1))), "logits", True),
        ("multiclass", Ended(3, lambda x: x.softmax(-1)), "probabilities", False),
        ("multiclass", Ended(3, lambda x: x.log_softmax(-1)), "logits", False),
        ("multiclass", Ended(3, lambda x: x.softmax(-1) * 0.9 + 0.1 / 3), "probabilities", False),
        ("multiclass", Dictionary(3, lambda x: x), "logits", False),
        ("binary", nn.Linear(5, 1), "logits", False),
        ("binary", nn.Linear(5, 2), "logits", False),
        ("binary", nn.Sequential(nn.Linear(5, 1), nn.Sigmoid()), "logits", True),
        ("binary", nn.Sequential(nn.Linear(5, 2), nn.Softmax(dim=1)), "logits", True),
        ("binary", Ended(1, torch.sigmoid), "probabilities", False),
        ("binary", Ended(1, lambda x: x.sigmoid().squeeze(1)), "probabilities", False),
        ("binary", Ended(2, lambda x: x.softmax(1)), "probabilities", False),
        ("binary", Ended(1, lambda x: x.squeeze(1)), "logits", False),
        ("multilabel", nn.Sequential(nn.Linear(5, 2), nn.Sigmoid()), "logits", True),
        ("multilabel", Ended(2, torch.sigmoid), "probabilities", False),
    ],
)
def test_probabilities_and_logits_are_told_apart_and_answers_are_the_networks_own(task, module, output, stripped):
    torch.manual_seed(0)
    network = adopt(module, signature_of(VECTOR, task)).eval()
    origin = network.body.origin
    assert (origin.output, origin.stripped) == (output, stripped)
    inputs = torch.randn(6, 5)
    theirs = module(inputs)
    theirs = theirs["logits"] if isinstance(theirs, dict) else theirs
    theirs = theirs.unsqueeze(1) if theirs.dim() == 1 else theirs
    ended = stripped or output == "probabilities" or "log_softmax" in str(getattr(module, "function", ""))
    if task == "multiclass":
        expected = theirs if ended and theirs.min() >= 0 else theirs.softmax(-1)
    elif task == "multilabel":
        expected = theirs
    else:
        positive = theirs[:, -1:] if ended else (theirs[:, 1:] - theirs[:, :1] if theirs.shape[1] == 2 else theirs)
        positive = positive if ended else positive.sigmoid()
        expected = torch.cat([1 - positive, positive], dim=1)
    assert torch.allclose(network.answer(inputs), expected, atol=1e-5)
    assert network.scores(inputs).shape == (6, {"binary": 1, "multiclass": 3, "multilabel": 2}[task])
    assert torch.allclose(network(inputs).softmax(-1) if task != "multilabel" else expected, expected, atol=1e-5)


def test_small_logits_within_zero_and_one_are_not_taken_for_probabilities():
    linear = nn.Linear(5, 1)
    with torch.no_grad():
        linear.weight.mul_(0.001)
        linear.bias.fill_(0.5)
    assert adopt(linear, signature_of(VECTOR, "binary")).body.origin.output == "logits"


def test_a_declared_output_is_believed():
    network = adopt(nn.Sequential(nn.Linear(5, 3), nn.Softplus()), signature_of(VECTOR, "multiclass"), output="logits")
    assert network.body.origin.output == "logits"
    with pytest.raises(ValueError, match="expected logits or probabilities"):
        adopt(nn.Linear(5, 3), signature_of(VECTOR, "multiclass"), output="values")
    with pytest.raises(ValueError, match="expected values"):
        adopt(nn.Linear(5, 2), signature_of(VECTOR, "regression"), output="logits")


@pytest.mark.parametrize(
    ("module", "task", "words"),
    [
        (nn.Linear(5, 7), "multiclass", "got outputs of shape (n, 7) for 3 classes; expected (n, 3)"),
        (nn.Linear(5, 3), "binary", "got outputs of shape (n, 3) for 2 classes; expected (n,) or (n, 1) or (n, 2)"),
        (nn.Linear(5, 3), "regression", "expected (n, 2)"),
        (nn.Linear(6, 3), "multiclass", "runs on none of the layouts tried"),
        (Ended(3, lambda x: x.argmax(1)), "multiclass", "Let the network return logits"),
        (nn.Linear(5, 5), "generation", "generative-pair"),
    ],
)
def test_a_network_that_does_not_fit_is_refused_with_shapes(module, task, words):
    with pytest.raises(ValueError, match="expected") as caught:
        adopt(module, signature_of(VECTOR, task))
    assert words in str(caught.value)


def test_the_module_handed_over_is_left_alone():
    module = nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 3)).train()
    module[1].eval()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    state = torch.random.get_rng_state()
    network = adopt(module, signature_of(VECTOR, "multiclass"))
    network.eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    assert [one.training for one in module] == [True, False, True, True]
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())
    assert torch.equal(torch.random.get_rng_state(), state)


def test_regression_answers_in_the_users_units_and_scores_are_standardised():
    signature, preprocessing = case("vector", "regression")
    module = nn.Linear(5, 2)
    network = adopt(module, signature, preprocessing=preprocessing)
    inputs = raw("vector")
    assert torch.allclose(network.answer(inputs), module(inputs), atol=1e-5)
    expected = (module(inputs) - torch.tensor([10.0, -3.0])) / torch.tensor([4.0, 0.5])
    assert torch.allclose(network.scores(inputs), expected, atol=1e-5)
    scaled = adopt(module, signature, preprocessing=preprocessing, standardise=True)
    features = (inputs - 0.5) / 2
    assert torch.allclose(scaled.scores(inputs), module(features), atol=1e-5)


@pytest.mark.parametrize(("width", "front"), [(3, "raw"), (6, "features"), (5, "categories")])
def test_tables_reach_a_network_as_wide_as_it_wants_them(width, front):
    signature, preprocessing = case("table", "binary")
    network = adopt(nn.Linear(width, 1), signature, preprocessing=preprocessing)
    assert network.body.origin.front == front
    if front != "raw":
        assert network(raw("table")).isfinite().all()
        assert "one-hot" in " ".join(network.notes)


@pytest.mark.parametrize("task", ["reconstruction", "clustering", "sequence-labelling"])
def test_other_tasks_take_foreign_networks_too(task):
    signature = signature_of(ArrayInput(shape=(6, 3), axes="steps,features"), task)
    network = adopt(nn.Linear(3, 3), signature)
    inputs = torch.randn(4, 6, 3)
    shapes = {"reconstruction": (4, 6, 3), "clustering": (4, 3), "sequence-labelling": (4, 6, 3)}
    assert network.answer(inputs).shape == shapes[task]


def test_sequence_labels_may_come_with_steps_last():
    signature = signature_of(ArrayInput(shape=(6, 4), axes="steps,features"), "sequence-labelling")
    network = adopt(nn.Conv1d(4, 3, 3, padding=1), signature)
    assert network.body.origin.steps_last
    assert network.answer(torch.randn(2, 6, 4)).sum(-1).allclose(torch.ones(2, 6))


# Files


def mlp():
    """Build the network of the file tests."""
    return nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 3))


@pytest.fixture
def factory(tmp_path, monkeypatch):
    (tmp_path / "mlp_factory.py").write_text(
        "from test_adopt import mlp\n\nnumber = 3\n\ndef wrong():\n    return number\n\nbuild = mlp\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    return "mlp_factory:build"


SIGNATURE = signature_of(VECTOR, "multiclass")


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
@pytest.mark.parametrize("wrapped", [False, True])
def test_weights_with_a_factory_need_no_trust(tmp_path, factory, suffix, wrapped):
    module = mlp()
    path = tmp_path / f"weights{suffix}"
    state = {f"module.{name}" if wrapped else name: one for name, one in module.state_dict().items()}
    if suffix == ".pt":
        torch.save({"state_dict": state, "epoch": 3} if wrapped else state, path)
    else:
        save_file(state, path)
    network = adopt(path, SIGNATURE, factory=factory)
    inputs = torch.randn(4, 5)
    assert torch.equal(network(inputs), module(inputs))
    plan = ForeignNetwork(path=str(path), factory=factory)
    built = build(plan, SIGNATURE, Preprocessing(inputs=NoNumbers()), 0)
    assert torch.equal(built(inputs), module(inputs))
    with pytest.raises(ValueError, match="Restore that file"):
        build(plan.replace(digest="0" * 64), SIGNATURE, Preprocessing(inputs=NoNumbers()), 0)


def test_a_pickle_is_opened_only_with_trust(tmp_path):
    path = tmp_path / "network.pt"
    module = mlp()
    torch.save(module, path)
    with pytest.raises(ValueError, match="--trust"):
        adopt(path, SIGNATURE)
    inputs = torch.randn(4, 5)
    assert torch.equal(adopt(path, SIGNATURE, trust=True)(inputs), module(inputs))
    torch.save({"a": 1}, path)
    with pytest.raises(ValueError, match="got a pickle of dict"):
        adopt(path, SIGNATURE, trust=True)


def test_a_pickle_that_runs_code_runs_none_without_trust(tmp_path, factory):
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "exploded"), "w"))

    path = tmp_path / "bomb.pt"
    torch.save({"0.weight": Bomb()}, path)
    for name in ("", factory):
        with pytest.raises(ValueError, match="expected"):
            adopt(path, SIGNATURE, factory=name)
    assert not (tmp_path / "exploded").exists()


def exported(tmp_path, *, dynamic=True):
    module = nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 3), nn.Softmax(-1)).eval()
    shapes = ({0: torch.export.Dim("n")},) if dynamic else None
    path = tmp_path / "network.pt2"
    torch.export.save(torch.export.export(module, (torch.randn(4, 5),), dynamic_shapes=shapes), path)
    return path, module


@pytest.mark.filterwarnings("ignore:.*isinstance.treespec.*:FutureWarning")
def test_an_exported_program_is_opened_with_trust_and_keeps_its_mode(tmp_path):
    path, module = exported(tmp_path)
    with pytest.raises(ValueError, match="opens with pickle .* --trust"):
        adopt(path, SIGNATURE)
    network = adopt(path, SIGNATURE, trust=True)
    inputs = torch.randn(6, 5)
    assert network.body.origin.output == "probabilities"
    assert torch.allclose(network.train().answer(inputs), module(inputs), atol=1e-6)
    assert torch.allclose(network.eval().answer(inputs), module(inputs), atol=1e-6)
    save_network(network, foreign_plan_of(network), Preprocessing(inputs=NoNumbers()), tmp_path / "n.safetensors")
    with pytest.raises(ValueError, match="--trust"):
        load_network(tmp_path / "n.safetensors")
    again = load_network(tmp_path / "n.safetensors", trust=True)
    assert torch.equal(again(inputs), network(inputs))


@pytest.mark.filterwarnings("ignore:.*isinstance.treespec.*:FutureWarning")
def test_an_exported_program_of_fixed_size_is_refused(tmp_path):
    path, _ = exported(tmp_path, dynamic=False)
    with pytest.raises(ValueError, match="runs on none of the layouts .* Export it for any number"):
        adopt(path, SIGNATURE, trust=True)


@pytest.mark.parametrize(
    ("name", "content", "trust", "words"),
    [
        ("a.onnx", b"x", True, "got an ONNX file"),
        ("a.safetensors", b"x", False, "weights without the network"),
        ("a.csv", b"x", False, "got a .csv file"),
        ("a", b"x", False, "got a nameless file"),
        ("a.pt2", b"x", True, "got a file that torch cannot open"),
    ],
)
def test_files_of_other_formats_are_refused(tmp_path, name, content, trust, words):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ValueError, match="expected") as caught:
        adopt(path, SIGNATURE, trust=trust)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("a.safetensors", "got a damaged or wrong file"),
        ("a.pt", "got a file from which tensors alone cannot be read"),
    ],
)
def test_damaged_weights_are_refused(tmp_path, factory, name, words):
    path = tmp_path / name
    path.write_bytes(b"damaged")
    with pytest.raises(ValueError, match=words):
        adopt(path, SIGNATURE, factory=factory)


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ("mlp_factory", "expected module:function"),
        ("no_such_module:build", "there is no module 'no_such_module'"),
        ("mlp_factory:nothing", "has no function 'nothing'"),
        ("mlp_factory:number", "has no function 'number'"),
        ("mlp_factory:wrong", "got int from the factory"),
    ],
)
def test_a_factory_that_builds_nothing_is_refused(factory, reference, words):
    with pytest.raises(ValueError, match=words):
        build(ForeignNetwork(factory=reference), SIGNATURE, Preprocessing(inputs=NoNumbers()), 0)


def test_a_foreign_plan_needs_a_file_or_a_factory(tmp_path):
    with pytest.raises(ValueError, match="neither path nor factory"):
        build(ForeignNetwork(), SIGNATURE, Preprocessing(inputs=NoNumbers()), 0)
    with pytest.raises(FileNotFoundError, match="does not exist"):
        build(ForeignNetwork(path=str(tmp_path / "a.pt2")), SIGNATURE, Preprocessing(inputs=NoNumbers()), 0)


def test_a_plan_with_standardisation_puts_it_in_front(factory):
    numbers = Preprocessing(inputs=ArrayNumbers(mean=(1.0,) * 5, scale=(2.0,) * 5))
    network = build(ForeignNetwork(factory=factory, standardise=True), SIGNATURE, numbers, 0)
    inputs = torch.randn(4, 5)
    assert torch.allclose(network.scores(inputs), network.body.module((inputs - 1) / 2))
    assert network.notes == ("Inputs reach the network standardised.",)
    again = build(ForeignNetwork(factory=factory, standardise=True), SIGNATURE, numbers, 0)
    assert torch.equal(again(inputs), network(inputs))


def test_a_network_of_doubles_is_taken_as_floats_and_stays_as_it_was():
    signature, _ = case("vector", "multiclass")
    features, classes = signature.inputs.shape[0], len(signature.task.classes)
    module = torch.nn.Linear(features, classes).double()
    network = adopt(module, signature)
    assert network(torch.zeros(3, features)).dtype is torch.float32
    assert any("torch.float64" in note for note in network.notes)
    assert module.weight.dtype is torch.float64
