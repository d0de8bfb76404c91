import base64
import io

import numpy as np
import pytest
import torch
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers

from equipoise.core.figure import Tile
from equipoise.core.signature import ArrayInput, Column, ImageInput, SoundInput, TableInput, TextInput
from equipoise.data.tiles import tile

DIGITS = ImageInput(channels=1, height=8, width=8, low=0.0, high=16.0)
PHOTOS = ImageInput(channels=3, height=20, width=30)
TABLE = TableInput(
    columns=(
        Column(name="area", kind="numeric"),
        Column(name="town", kind="category", categories=("Kyiv", "Lviv")),
        Column(name="built", kind="date"),
        Column(name="rooms", kind="numeric"),
    )
)


def opened(text):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text))))


def words():
    model = models.WordLevel({"[PAD]": 0, "[UNK]": 1, "a": 2, "good": 3, "film": 4}, unk_token="[UNK]")
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return TextInput(length=6, vocabulary=5, tokenizer=tokenizer.to_str())


def test_a_grey_picture_decodes_back_to_its_pixels():
    sample = torch.arange(64.0).reshape(1, 8, 8) / 63 * 16
    shown = tile(DIGITS, sample, "a digit")
    drawn = opened(shown.picture)
    assert drawn.shape == (96, 96)
    expected = np.rint(sample[0].numpy() / 16 * 255).astype(np.uint8)
    assert np.array_equal(drawn, np.kron(expected, np.ones((12, 12), np.uint8)))
    assert (shown.caption, shown.overlay, shown.wave, shown.cells) == ("a digit", "", (), {})


def test_a_colour_picture_decodes_back_to_its_pixels():
    sample = torch.randint(0, 256, (3, 20, 30), generator=torch.Generator().manual_seed(0)).float()
    drawn = opened(tile(PHOTOS, sample, "").picture)
    assert drawn.shape == (60, 90, 3)
    assert np.array_equal(drawn[::3, ::3], sample.permute(1, 2, 0).numpy().astype(np.uint8))


def test_a_large_picture_is_reduced_and_other_channels_are_averaged():
    spec = ImageInput(channels=2, height=300, width=100)
    sample = torch.stack([torch.full((300, 100), 100.0), torch.full((300, 100), 50.0)])
    drawn = opened(tile(spec, sample, "").picture)
    assert drawn.shape == (96, 32)
    assert (drawn == 75).all()


def test_an_overlay_is_red_for_and_blue_against_and_white_for_nothing():
    attribution = torch.zeros(8, 8)
    attribution[0, 0], attribution[0, 1], attribution[0, 2] = 2.0, -2.0, 1.0
    drawn = opened(tile(DIGITS, torch.zeros(1, 8, 8), "", overlay=attribution).overlay)[6::12, 6::12].astype(int)
    assert drawn[0, 0, 0] > 150 > drawn[0, 0, 2]
    assert drawn[0, 1, 2] > 150 > drawn[0, 1, 0]
    assert drawn[5, 5].tolist() == [255, 255, 255]
    assert drawn[0, 0, 1] < drawn[0, 2, 1] < 255
    summed = tile(
        PHOTOS, torch.zeros(3, 20, 30), "", overlay=torch.ones(3, 20, 30) * torch.tensor([1.0, -1, 0])[:, None, None]
    )
    assert (opened(summed.overlay) == 255).all()


def test_a_wave_keeps_its_peaks():
    spec = SoundInput(sample_rate=8000, samples=5000)
    sample = torch.zeros(5000)
    sample[777], sample[3123] = 0.9, -0.8
    shown = tile(spec, sample, "", overlay=torch.ones(5000))
    assert len(shown.wave) == 400
    assert (max(shown.wave), min(shown.wave)) == (0.9, -0.8)
    assert opened(shown.overlay).shape == (16, 400, 3)
    assert tile(SoundInput(sample_rate=10, samples=3), torch.tensor([0.1, -0.25, 1.0]), "").wave == (0.1, -0.25, 1.0)


def test_cells_say_what_the_user_wrote():
    shown = tile(TABLE, torch.tensor([71.5, 1.0, 19_000.0, torch.nan]), "", weights=torch.tensor([1.0, -4.0, 2.0, 0.0]))
    assert shown.cells == {"area": "71.5", "town": "Lviv", "built": "2022-01-08", "rooms": "missing"}
    assert shown.weights == (0.25, -1.0, 0.5, 0.0)
    odd = tile(TABLE, torch.tensor([1234567.0, torch.nan, 1e9, torch.inf]), "").cells
    assert odd == {"area": "1,234,567", "town": "missing", "built": "1e+09 days after 1970-01-01", "rooms": "inf"}
    assert tile(TABLE, torch.tensor([0.0, 7.0, -1.0, 0.0]), "").cells["town"] == "no category (7)"


def test_words_and_their_weights_skip_padding():
    shown = tile(words(), torch.tensor([2, 3, 4, 1, 0, 0]), "", weights=torch.tensor([0.0, 2.0, -1.0, 0, 9, 9]))
    assert shown.text == "a good film [UNK]"
    assert shown.weights == (0.0, 1.0, -0.5, 0.0)
    assert tile(words(), torch.zeros(6, dtype=torch.int64), "").text == ""


def test_small_arrays_are_cells_and_large_ones_waves():
    shown = tile(ArrayInput(shape=(3,)), torch.tensor([1.0, -2.0, 0.5]), "", weights=torch.tensor([1.0, 0.0, -1.0]))
    assert shown.cells == {"feature 0": "1", "feature 1": "-2", "feature 2": "0.5"}
    assert shown.weights == (1.0, 0.0, -1.0)
    sequence = ArrayInput(shape=(2, 2), axes="steps,features")
    assert list(tile(sequence, torch.zeros(2, 2), "").cells) == [
        f"step {i}, feature {j}" for i in (0, 1) for j in (0, 1)
    ]
    long = tile(ArrayInput(shape=(30, 1), axes="steps,features"), torch.arange(30.0)[:, None], "")
    assert (len(long.wave), long.wave[-1]) == (30, 1.0)
    assert len(tile(ArrayInput(shape=(50, 50), axes="any"), torch.randn(50, 50), "").wave) == 400


def test_a_tile_is_plain_data():
    shown = tile(DIGITS, torch.rand(1, 8, 8) * 16, "x", overlay=torch.randn(8, 8))
    assert Tile.read(shown.plain()) == shown
    assert len(shown.picture) < 2000


@pytest.mark.parametrize(
    ("spec", "sample", "changes", "message"),
    [
        (
            DIGITS,
            torch.zeros(4, 1, 8, 8),
            {},
            r"got a sample of shape \(4, 1, 8, 8\); expected \(1, 8, 8\).*batch\[i\]",
        ),
        (TABLE, torch.zeros(3), {}, r"got a sample of shape \(3,\); expected \(4,\)"),
        (
            DIGITS,
            torch.zeros(1, 8, 8),
            {"overlay": torch.zeros(4, 4)},
            r"got an overlay of shape \(4, 4\); expected \(8, 8\)",
        ),
        (DIGITS, torch.zeros(1, 8, 8), {"overlay": torch.full((8, 8), torch.nan)}, r"with 64 values that are NaN"),
        (TABLE, torch.zeros(4), {"weights": torch.zeros(3)}, r"got weights of shape \(3,\); expected \(4,\)"),
        (SoundInput(sample_rate=8, samples=9), torch.zeros(9), {"overlay": torch.zeros(8)}, r"overlay of shape \(8,\)"),
    ],
)
def test_what_does_not_fit_is_refused_with_a_cure(spec, sample, changes, message):
    with pytest.raises(ValueError, match=message):
        tile(spec, sample, "", **changes)
