import numpy as np
import pytest
import soundfile
from PIL import Image
from sklearn.datasets import load_sample_image

from equipoise.core.data_plan import ImageData, SoundData
from equipoise.data.generated_folders import TONES, tone, write_photographs, write_tones
from equipoise.data.images import load_images
from equipoise.data.memory import fits, free_bytes
from equipoise.data.sound import load_sound


def test_photographs_are_real_crops_that_do_not_overlap(tmp_path):
    assert write_photographs(tmp_path, n=40, seed=3) == 40
    for name in ("china", "flower"):
        photograph = load_sample_image(f"{name}.jpg")
        tiles = {
            photograph[top : top + 32, left : left + 32].tobytes()
            for top in range(0, 427 - 31, 32)
            for left in range(0, 640 - 31, 32)
        }
        crops = [np.asarray(Image.open(one)).tobytes() for one in sorted((tmp_path / name).iterdir())]
        assert len(crops) == len(set(crops)) == 20
        assert set(crops) <= tiles


def test_as_many_photographs_as_fit(tmp_path):
    assert write_photographs(tmp_path, n=9999, seed=0) == 520
    assert len(list((tmp_path / "china").iterdir())) == 260


def test_the_same_seed_writes_the_same_files(tmp_path):
    def contents(folder):
        return {one.relative_to(folder): one.read_bytes() for one in sorted(folder.rglob("*.*"))}

    for write in (write_photographs, write_tones):
        for place, seed in (("a", 1), ("b", 1), ("c", 2)):
            write(tmp_path / write.__name__ / place, n=10, seed=seed)
        first, again, other = (contents(tmp_path / write.__name__ / place) for place in "abc")
        assert first == again
        assert first != other


def test_tones_are_short_sounds_of_five_equal_classes(tmp_path):
    assert write_tones(tmp_path, n=50, seed=0) == 50
    for name in TONES:
        files = sorted((tmp_path / name).iterdir())
        assert len(files) == 10
        for file in files:
            known = soundfile.info(str(file))
            assert (known.samplerate, known.channels) == (8000, 1)
            assert 0.5 <= known.duration <= 1.0


@pytest.mark.parametrize("name", TONES)
def test_a_tone_is_what_its_class_says(name):
    """Read the pitch of the first and last fifth off a Fourier transform."""
    generator = np.random.default_rng(5)
    for _ in range(10):
        wave = tone(name, generator)
        fifth = len(wave) // 5
        pitches, purities = [], []
        for part in (wave[:fifth], wave[-fifth:]):
            power = np.abs(np.fft.rfft(part * np.hanning(fifth), 8192)) ** 2
            pitches.append(power.argmax() * 8000 / 8192)
            purities.append(power[max(0, power.argmax() - 60) : power.argmax() + 60].sum() / power.sum())
        ratio = pitches[1] / pitches[0]
        if name in ("sine", "square"):
            assert 0.95 < ratio < 1.05
            assert 195 < pitches[0] < 605
            assert (min(purities) > 0.9) == (name == "sine")
        elif name == "chirp-up":
            assert ratio > 1.3
        elif name == "chirp-down":
            assert ratio < 1 / 1.3
        assert np.abs(wave).max() <= 1.0


def test_both_folders_load(tmp_path):
    write_photographs(tmp_path / "photographs", n=30)
    write_tones(tmp_path / "tones", n=40)
    assert load_images(ImageData(path=str(tmp_path / "photographs")), 0).signature.task.classes == ("china", "flower")
    assert load_sound(SoundData(path=str(tmp_path / "tones")), 0).signature.task.classes == TONES


def test_too_few_are_refused(tmp_path):
    with pytest.raises(ValueError, match="got n 1; expected at least 2, one a photograph"):
        write_photographs(tmp_path, n=1)
    with pytest.raises(ValueError, match="got n 4; expected at least 5, one a class"):
        write_tones(tmp_path, n=4)
    with pytest.raises(ValueError, match="got the tone 'hum'; expected one of chirp-down"):
        tone("hum", np.random.default_rng(0))


def test_memory_decides_unless_the_plan_does():
    free = free_bytes()
    assert 1e6 < free < 1e15
    assert fits(1000, None)
    assert not fits(10**16, None)
    assert fits(10**16, streamed=False)
    assert not fits(1, streamed=True)
