"""Changes of training images, and what makes networks stand noise, cure a planted sickness."""

import numpy as np
import pytest
from planted import DENSE, classes, clouds, gains, likelihood, parts, pictures, sick
from scipy import ndimage

from equipoise.fit.fit import fit

SIDE = 12
PLAN = sick(DENSE, epochs=40, learning_rate=3e-3)


def patterns(seed, n, held, change, *, level=0.15, fine=0.8):
    """Show one of two smooth random patterns with noise; held-out images are changed besides."""
    draw = np.random.default_rng(seed)
    shapes = np.stack([ndimage.gaussian_filter(draw.normal(size=(SIDE, SIDE)), fine) for _ in range(2)])
    shapes = 0.5 + 0.15 * shapes / shapes.std()

    def drawn(rows, changed):
        labels = draw.integers(2, size=rows)
        images = [changed(shapes[label], draw) for label in labels]
        return np.stack(images) + level * draw.normal(size=(rows, SIDE, SIDE)), labels

    return pictures(*drawn(n, lambda image, _: image), *drawn(held, change))


def enlarged(image, draw):
    size = int(draw.integers(9, SIDE + 1))
    top, left = draw.integers(0, SIDE - size + 1, size=2)
    return ndimage.zoom(image[top : top + size, left : left + size], SIDE / size, order=1)


CHANGES = {
    "flip": lambda image, _: image[:, ::-1],
    "shift": lambda image, draw: ndimage.shift(image, draw.uniform(-1.5, 1.5, size=2), order=1, mode="nearest"),
    "rotate": lambda image, draw: ndimage.rotate(image, draw.uniform(-20, 20), reshape=False, order=1, mode="nearest"),
    "crop": enlarged,
    "brightness": lambda image, draw: image + draw.uniform(-0.25, 0.25),
}


@pytest.mark.parametrize("name", [*CHANGES])
def test_a_network_stands_what_it_was_trained_with(name):
    # Fine patterns are easily moved out of place; coarse ones are easily outshone.
    look = {"level": 0.4, "fine": 1.5} if name == "brightness" else {}
    assert min(gains(name, PLAN, lambda seed: patterns(seed, 40, 600, CHANGES[name], **look), likelihood)) > 0.02


def spots(seed):
    """One bright or dark spot gives the class away, and a faint pattern too; held-out images have no spot."""
    draw = np.random.default_rng(seed)
    pattern = 0.025 * draw.choice((-1, 1), size=(SIDE, SIDE))

    def drawn(rows, spot):
        labels = draw.integers(2, size=rows)
        sign = (2 * labels - 1)[:, None, None]
        images = 0.5 + sign * pattern + 0.2 * draw.normal(size=(rows, SIDE, SIDE))
        images[:, 5:8, 5:8] = 0.5 + sign * spot
        return images, labels

    return pictures(*drawn(100, 0.5), *drawn(600, 0.0))


def test_a_network_that_sees_parts_hidden_looks_at_the_rest():
    assert min(gains("erase", sick(DENSE, epochs=60), spots, likelihood)) > 0.02


def test_pasted_parts_keep_a_network_from_learning_forty_images_by_heart():
    plan = sick(DENSE, epochs=100, learning_rate=1e-2)
    made = lambda seed: patterns(seed, 40, 600, lambda image, _: image, level=1.0)  # noqa: E731
    assert min(gains("cutmix", plan, made, likelihood)) > 0.1


def crutch(seed):
    """One column tells the classes apart until there is noise; twenty others do so a little, always."""
    draw = np.random.default_rng(seed)

    def drawn(rows, noise):
        labels = draw.integers(2, size=rows)
        sign = (2 * labels - 1)[:, None]
        inputs = np.concatenate([sign, 0.6 * sign + draw.normal(size=(rows, 20))], axis=1)
        return inputs + noise * inputs.std(0) * draw.normal(size=inputs.shape), labels.astype(np.int64)

    return parts(drawn(200, 0.0), drawn(1000, 2.0), classes(2))


def test_training_with_noise_makes_a_network_use_more_than_one_column():
    plan = sick(epochs=60, learning_rate=3e-3, noise_level=1.0)
    assert min(gains("noise-training", plan, crutch, likelihood)) > 0.05


def test_a_denoiser_cleans_what_the_network_was_never_shown():
    plan = sick({"family": "dense", "hidden": [64]}, epochs=40, learning_rate=3e-3)
    assert min(gains("denoising", plan, lambda seed: bars(seed, 60, 400))) > 0.02


def bars(seed, n, held):
    """Draw upright and lying bars; held-out images are noisy."""
    draw = np.random.default_rng(seed)

    def drawn(rows, noise):
        labels, images = draw.integers(2, size=rows), np.full((rows, 8, 8), 0.2)
        for image, label in zip(images, labels, strict=True):
            (image.T if label else image)[draw.integers(1, 7)] = 0.8
        return images + noise * draw.normal(size=images.shape), labels

    return pictures(*drawn(n, 0.0), *drawn(held, 0.5))


def test_the_recipe_says_how_strong_the_noise_is():
    weak, strong = (sick(epochs=100, learning_rate=1e-2, augmentation=("noise",), noise_level=x) for x in (0.0, 1.0))
    data = clouds(0, apart=0.8)
    assert likelihood(fit(strong, 0, splits=data)) > likelihood(fit(weak, 0, splits=data)) + 0.1
