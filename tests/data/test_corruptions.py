import io
import itertools

import numpy as np
import pytest
import torch
from kornia.filters import gaussian_blur2d
from PIL import Image

from equipoise.core.preprocessing import (
    ArrayNumbers,
    ImageNumbers,
    NoNumbers,
    Preprocessing,
    SoundNumbers,
    TableNumbers,
)
from equipoise.core.signature import ArrayInput, Column, ImageInput, SoundInput, TableInput, TextInput
from equipoise.data.corruptions import applicable, corrupt

SEVERITIES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
DIGITS = ImageInput(channels=1, height=8, width=8, low=0.0, high=16.0)
PHOTOS = ImageInput(channels=3, height=24, width=32)
SOUND = SoundInput(sample_rate=8000, samples=500)
TABLE = TableInput(
    columns=(
        Column(name="a", kind="numeric"),
        Column(name="c", kind="category", categories=("x", "y")),
        Column(name="d", kind="date"),
    )
)
TEXT = TextInput(length=10, vocabulary=50, tokenizer="")
ARRAY = ArrayInput(shape=(6, 2), axes="steps,features")


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def smooth(spec, n=12):
    coarse = torch.rand((n, spec.channels, 4, 4), generator=seeded(3))
    drawn = torch.nn.functional.interpolate(coarse, size=(spec.height, spec.width), mode="bilinear")
    return drawn * (spec.high - spec.low) + spec.low


def table(n=40):
    rows = torch.randn((n, 3), generator=seeded(3)) * torch.tensor([1.0, 0.0, 300.0])
    rows[::5, 0] = torch.nan
    return rows


def texts(n=40):
    tokens = torch.randint(2, 50, (n, 10), generator=seeded(3))
    tokens[::3, 6:] = 0
    return tokens


def wave(n=12):
    return torch.rand((n, 500), generator=seeded(3)) * 1.4 - 0.7


IMAGE_NUMBERS = Preprocessing(inputs=ImageNumbers(mean=(0.0,), scale=(1.0,)))
TABLE_NUMBERS = Preprocessing(
    inputs=TableNumbers(
        fill=(0.0, 0.0, 0.0),
        mean=(0.0, 0.0, 0.0),
        scale=(2.0, 1.0, 300.0),
        missing=(True, False, False),
        widths=(1, 2, 1),
    )
)
ARRAY_NUMBERS = Preprocessing(inputs=ArrayNumbers(mean=(0.0, 0.0), scale=(1.0, 5.0)))
SOUND_NUMBERS = Preprocessing(
    inputs=SoundNumbers(sample_rate=8000, window=256, hop=128, bands=4, floor=1e-6, mean=(0.0,), scale=(1.0,))
)
CASES = [
    (DIGITS, smooth(DIGITS), IMAGE_NUMBERS),
    (PHOTOS, smooth(PHOTOS), IMAGE_NUMBERS),
    (SOUND, wave(), SOUND_NUMBERS),
    (TABLE, table(), TABLE_NUMBERS),
    (TEXT, texts(), Preprocessing(inputs=NoNumbers())),
    (ARRAY, torch.randn((30, 6, 2), generator=seeded(3)), ARRAY_NUMBERS),
]
EACH = [
    pytest.param(spec, inputs, numbers, name, id=f"{spec.kind}{inputs.shape[1]}-{name}")
    for spec, inputs, numbers in CASES
    for name in applicable(spec)
]


@pytest.mark.parametrize(("spec", "inputs", "numbers", "name"), EACH)
def test_no_severity_is_the_identity_and_shape_range_and_seed_are_kept(spec, inputs, numbers, name):
    before = inputs.clone()
    state = torch.random.get_rng_state()
    none = corrupt(inputs, name, 0.0, spec, numbers, seeded())
    assert torch.equal(none.nan_to_num(-77), inputs.nan_to_num(-77))
    assert none.data_ptr() != inputs.data_ptr()
    for severity in SEVERITIES[1:]:
        first, again = (corrupt(inputs, name, severity, spec, numbers, seeded(1)) for _ in range(2))
        assert first.shape == inputs.shape
        assert first.dtype == inputs.dtype
        assert torch.equal(first.nan_to_num(-77), again.nan_to_num(-77))
        if isinstance(spec, ImageInput):
            assert spec.low <= float(first.min()) <= float(first.max()) <= spec.high
        if isinstance(spec, SoundInput):
            assert float(first.abs().max()) <= 1.0
    assert torch.equal(inputs.nan_to_num(-77), before.nan_to_num(-77))
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize(("spec", "inputs", "numbers", "name"), EACH)
def test_the_distance_grows_with_the_severity(spec, inputs, numbers, name):
    def distance(severity):
        changed = corrupt(inputs, name, severity, spec, numbers, seeded(1))
        if name == "missing-values":
            return float(changed.isnan().float().mean())
        if spec.kind == "text":
            return float(((changed == 0) | (changed == 1)).float().mean())
        return float((changed - inputs).nan_to_num().abs().mean())

    distances = [distance(severity) for severity in SEVERITIES]
    if name == "shift":  # of noise: as far after a small shift as after a large one, but for the silence
        assert min(distances[1:]) > distances[0]
        return
    assert all(left <= right for left, right in itertools.pairwise(distances))
    assert distances[-1] > distances[1] > 0 or (name == "occlusion" and distances[-1] > distances[2] > 0)


def test_blur_is_the_gaussian_of_kornia():
    inputs = smooth(PHOTOS)
    ours = corrupt(inputs, "blur", 0.5, PHOTOS, IMAGE_NUMBERS, seeded())
    theirs = gaussian_blur2d(inputs, (13, 13), (1.5, 1.5), border_type="replicate")
    assert torch.allclose(ours, theirs, atol=0.02)


def test_jpeg_is_what_pillow_would_save():
    inputs = smooth(PHOTOS).round()
    file = io.BytesIO()
    Image.fromarray(inputs[4].byte().permute(1, 2, 0).numpy()).save(file, "JPEG", quality=48)
    expected = np.asarray(Image.open(file)).transpose(2, 0, 1)
    changed = corrupt(inputs, "jpeg", 0.5, PHOTOS, IMAGE_NUMBERS, seeded())
    assert np.array_equal(changed[4].numpy(), expected)


def test_contrast_and_brightness_by_hand():
    inputs = torch.tensor([[[[0.0, 4.0], [8.0, 4.0]]]])
    spec = ImageInput(channels=1, height=2, width=2, low=0.0, high=16.0)
    changed = corrupt(inputs, "contrast", 0.5, spec, IMAGE_NUMBERS, seeded())
    assert torch.allclose(changed, 4 + (inputs - 4) * 0.525)
    changed = corrupt(inputs, "brightness", 0.5, spec, IMAGE_NUMBERS, seeded())
    assert torch.allclose(changed, (inputs + 4.8).clamp(max=16))


def test_occlusion_hides_a_square():
    inputs = torch.zeros((60, 3, 24, 32))
    hidden = (corrupt(inputs, "occlusion", 0.5, PHOTOS, IMAGE_NUMBERS, seeded()) == 127.5)[:, 0]
    for one in hidden:
        assert int(one.sum()) == int(one.any(1).sum()) * int(one.any(0).sum())
        assert 0 < int(one.any(1).sum()) <= 10


def test_pixelate_at_a_whole_level_shows_the_means_of_blocks():
    spec = ImageInput(channels=1, height=32, width=48)
    inputs = smooth(spec)
    changed = corrupt(inputs, "pixelate", 0.5, spec, IMAGE_NUMBERS, seeded())  # two of four doublings: blocks of 4
    means = inputs.reshape(12, 1, 8, 4, 12, 4).mean((3, 5))
    assert torch.allclose(changed, means.repeat_interleave(4, 2).repeat_interleave(4, 3), atol=1e-3)
    for height, width in ((7, 9), (1, 5), (2, 2)):
        ragged = ImageInput(channels=1, height=height, width=width)
        assert corrupt(smooth(ragged), "pixelate", 1.0, ragged, IMAGE_NUMBERS, seeded()).shape == (12, 1, height, width)


@pytest.mark.parametrize(("severity", "spread"), [(0.5, 4.0), (0.1, 0.8)])
def test_image_noise_has_its_stated_spread(severity, spread):
    inputs = torch.full((500, 1, 8, 8), 8.0)
    noise = corrupt(inputs, "noise", severity, DIGITS, IMAGE_NUMBERS, seeded()) - inputs
    within = noise.abs() < 8
    expected = torch.erf(torch.tensor(8 / spread / 2**0.5))
    assert abs(float(within.float().mean() - expected)) < 0.01
    assert abs(float(noise.abs().median()) - 0.6745 * spread) < 0.05 * spread


def test_sound_by_hand():
    inputs = wave()
    for severity in (0.3, 1.0):
        noise = corrupt(inputs * 0.1, "noise", severity, SOUND, SOUND_NUMBERS, seeded()) - inputs * 0.1
        assert abs(float(noise.std() / (inputs * 0.1).std()) - severity) < 0.05
    clipped = corrupt(inputs, "clipping", 0.5, SOUND, SOUND_NUMBERS, seeded())
    assert torch.allclose(clipped.abs().amax(1), inputs.abs().amax(1) * 0.51)
    silent = corrupt(inputs, "dropout", 0.4, SOUND, SOUND_NUMBERS, seeded()) == 0
    assert silent.sum(1).tolist() == [150] * 12
    moved = corrupt(inputs, "shift", 0.5, SOUND, SOUND_NUMBERS, seeded())
    assert torch.equal(moved[:, 125:], inputs[:, :375])
    assert not moved[:, :125].any()


def test_tables_keep_gaps_and_categories_and_lose_the_stated_share():
    rows = table(4000)
    noisy = corrupt(rows, "noise", 0.5, TABLE, TABLE_NUMBERS, seeded())
    assert torch.equal(noisy.isnan(), rows.isnan())
    assert torch.equal(noisy[:, 1], rows[:, 1])
    assert abs(float((noisy - rows)[:, 2].std()) - 150) < 5
    lost = corrupt(rows, "missing-values", 0.3, TABLE, TABLE_NUMBERS, seeded()).isnan()
    assert abs(float(lost[:, 1:].float().mean()) - 0.3) < 0.02
    assert (lost | ~rows.isnan()).all()


def test_text_drops_words_in_order_and_keeps_one():
    tokens = texts(300)
    dropped = corrupt(tokens, "word-drop", 0.5, TEXT, Preprocessing(inputs=NoNumbers()), seeded())
    for before, after in zip(tokens.tolist(), dropped.tolist(), strict=True):
        words = [one for one in after if one]
        assert after == words + [0] * (10 - len(words))
        rest = iter([one for one in before if one])
        assert all(one in rest for one in words)  # a subsequence
    share = (dropped != 0).sum() / (tokens != 0).sum()
    assert abs(float(share) - 0.5) < 0.03
    gone = corrupt(tokens, "word-drop", 1.0, TEXT, Preprocessing(inputs=NoNumbers()), seeded())
    assert ((gone != 0).sum(1) == 1).all()
    blank = corrupt(torch.zeros((2, 10), dtype=torch.int64), "word-drop", 1.0, TEXT, IMAGE_NUMBERS, seeded())
    assert not blank.any()
    unknown = corrupt(tokens, "unknown-words", 1.0, TEXT, Preprocessing(inputs=NoNumbers()), seeded())
    assert torch.equal(unknown, (tokens != 0).long())


def test_a_table_of_categories_only_meets_no_noise():
    spec = TableInput(columns=(Column(name="c", kind="category", categories=("x", "y")),))
    assert applicable(spec) == ("missing-values",)


@pytest.mark.parametrize(
    ("spec", "name", "severity", "numbers", "message"),
    [
        (DIGITS, "noise", 1.5, IMAGE_NUMBERS, r"got severity 1.5; expected 0 \(no change\) to 1"),
        (DIGITS, "noise", float("nan"), IMAGE_NUMBERS, r"got severity nan"),
        (DIGITS, "fog", 0.5, IMAGE_NUMBERS, r"got the corruption 'fog' for image inputs; expected one of noise, blur"),
        (TEXT, "noise", 0.5, IMAGE_NUMBERS, r"for text inputs; expected one of word-drop, unknown-words"),
        (ARRAY, "noise", 0.5, IMAGE_NUMBERS, r"got image numbers for array inputs; expected array numbers"),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_cure(spec, name, severity, numbers, message):
    with pytest.raises(ValueError, match=message):
        corrupt(torch.zeros(2, 2), name, severity, spec, numbers, seeded())
