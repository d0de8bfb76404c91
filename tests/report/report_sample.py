"""A report as a real run would make it, with every kind of figure, every verdict and hostile names."""

import base64
import io
import math

import numpy as np
from PIL import Image

from equipoise.core.certificate import Certificate
from equipoise.core.estimate import Estimate, Line, Verdict, exact
from equipoise.core.figure import Bars, Curves, Gallery, Matrix, Series, Table, Tile
from equipoise.core.finding import Finding, NotExamined
from equipoise.core.report import Report, Section
from equipoise.core.trial import Trial
from equipoise.core.vital import Vital

HOSTILE = "<script>alert('x')</script><img src=x onerror=alert(1)> & \"quotes\" </script>"
EMOJI = "ciclón 🌪️ — 測試 \u202egnp.exe"
RTL = "مرحبا بالعالم، القيمة 42"
LONG = "a_very_long_column_name_that_somebody_exported_from_a_data_warehouse_without_any_mercy_" * 2
RNG = np.random.default_rng(0)


def png(values: np.ndarray) -> str:
    """Return a PNG of a grey (height, width) or coloured array as base64."""
    buffer = io.BytesIO()
    Image.fromarray(values.astype(np.uint8)).save(buffer, "PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def digit(seed: int, *, side: int = 48) -> str:
    """Return a small blurred blob that stands for a handwritten digit."""
    generator = np.random.default_rng(seed)
    cells = np.kron(generator.random((8, 8)) ** 2, np.ones((side // 8, side // 8)))
    return png(255 * cells)


def heat(seed: int) -> str:
    """Return a diverging picture."""
    generator = np.random.default_rng(seed)
    signed = np.kron(generator.normal(size=(8, 8)), np.ones((6, 6)))
    strength = np.clip(np.abs(signed) / 2, 0, 1)[..., None]
    hue = np.where(signed[..., None] > 0, np.array([34, 104, 159]), np.array([180, 83, 13]))
    return png(255 * (1 - strength) + hue * strength)


def share(value: float, low: float, high: float, n: int = 360) -> Estimate:
    return Estimate(value=value, low=low, high=high, n=n, method="Wilson")


def calibration() -> Finding:
    confidence = np.linspace(0.05, 0.95, 10)
    accuracy = np.clip(confidence - 0.09 * np.sin(confidence * 3), 0, 1)
    return Finding(
        question="calibration",
        theme="generalisation",
        title="Does it know when it is wrong?",
        verdict=Verdict.FAIL,
        claim="Confidence exceeds accuracy by 0.071 [0.054, 0.088] on 360 held-out digits.",
        estimates={
            "expected_calibration_error": Estimate(value=0.071, low=0.054, high=0.088, n=360, method="bootstrap"),
            "negative_log_likelihood": Estimate(
                value=0.182, low=0.12, high=0.25, n=360, unit="nats", method="bootstrap"
            ),
            "brier_score": Estimate(value=0.0311, low=0.021, high=0.042, n=360, method="Student t"),
        },
        lines={"expected_calibration_error": Line(warn=0.02, fail=0.05)},
        where=("8", "1"),
        figures=(
            Curves(
                title="Reliability: how often it is right at each confidence",
                x_label="confidence",
                y_label="accuracy",
                diagonal=True,
                series=(
                    Series(
                        name="digits",
                        x=tuple(confidence),
                        y=tuple(accuracy),
                        low=tuple(np.clip(accuracy - 0.05, 0, 1)),
                        high=tuple(np.clip(accuracy + 0.05, 0, 1)),
                    ),
                ),
            ),
            Bars(
                title="Calibration error by class",
                value_label="expected calibration error",
                labels=("1", "8", "ciclón 🌪️ — 測試", RTL, LONG, HOSTILE, "negative", "missing"),
                values=(0.12, 0.1, 0.08, 0.05, 0.03, 0.02, -0.03, math.nan),
                low=(0.08, 0.06, 0.05, 0.02, 0.01, 0.0, -0.06, math.nan),
                high=(0.17, 0.14, 0.11, 0.08, 0.05, 0.05, 0.01, math.nan),
            ),
        ),
        treatments=("temperature-scaling", "label-smoothing", "ensemble"),
        assumptions=("The held-out digits are drawn like those it will meet.", "Samples are independent."),
        seconds=0.41,
    )


def accuracy() -> Finding:
    counts = RNG.poisson(0.15, (10, 10))
    counts[8, 1], counts[3, 5] = 4, 2
    np.fill_diagonal(counts, RNG.integers(28, 38, 10))
    per_class = {
        f"{kind} of {digit_name}": share(value, value - 0.06, min(1.0, value + 0.04), 36)
        for digit_name in range(10)
        for kind, value in (("precision", 0.95), ("recall", 0.92), ("F1", 0.93))
    }
    names = tuple(str(one) for one in range(10))
    return Finding(
        question="accuracy",
        theme="generalisation",
        title="How often is it right?",
        verdict=Verdict.PASS,
        claim="98.3 % [96.4, 99.2] of 360 held-out digits are right; the best baseline reaches 96.7 %.",
        estimates={
            "accuracy": share(0.983, 0.964, 0.992),
            "margin_over_best_baseline": Estimate(value=0.016, low=-0.004, high=0.036, n=360, method="Newcombe"),
            **per_class,
        },
        lines={"accuracy": Line(warn=0.9, fail=0.8, worse="below")},
        figures=(
            Matrix(
                title="Confusion matrix",
                row_label="true",
                column_label="predicted",
                rows=names,
                columns=names,
                values=tuple(tuple(float(one) for one in row) for row in counts),
            ),
            Table(
                title="Beside simpler methods",
                columns=("method", "score", "interval", "n"),
                rows=(
                    ("this network", "98.3 %", "[96.4, 99.2]", "360"),
                    ("boosted trees", "96.7 %", "[94.3, 98.1]", "360"),
                    ("linear", "95.0 %", "[92.2, 96.8]", "360"),
                    ("most frequent class", "10.3 %", "[7.5, 13.9]", "360"),
                ),
            ),
        ),
        worst_samples=tuple(
            Tile(caption=f"true {place % 10}, said {(place + 3) % 10} (p = 0.{90 - place})", picture=digit(place))
            for place in range(8)
        ),
        seconds=1.8,
    )


def noise() -> Finding:
    severity = tuple(np.linspace(0, 1, 11))
    kinds = ("noise", "blur", "contrast", "brightness", "occlusion", "pixelate", "jpeg")
    return Finding(
        question="corruption",
        theme="noise",
        title="Does it stand bad pictures?",
        verdict=Verdict.UNSURE,
        claim="Mean score under 7 corruptions is 81 % [78, 84] of the clean one. About 1,100 samples would settle it.",
        estimates={"relative_score": Estimate(value=0.81, low=0.78, high=0.84, n=360, method="bootstrap")},
        lines={"relative_score": Line(warn=0.8, fail=0.6, worse="below")},
        figures=(
            Curves(
                title="Score as corruption grows",
                x_label="severity",
                y_label="accuracy",
                series=tuple(
                    Series(name=kind, x=severity, y=tuple(0.98 - (0.1 + 0.1 * place) * one**1.5 for one in severity))
                    for place, kind in enumerate(kinds)
                ),
                lines={"majority class": 0.103, "needed": 0.8},
            ),
            Gallery(
                title="One digit under each corruption",
                tiles=tuple(
                    Tile(caption=kind, picture=digit(40), overlay=digit(41 + place)) for place, kind in enumerate(kinds)
                ),
            ),
        ),
        treatments=("augmentation: noise", "augmentation: blur"),
    )


def explanation() -> Finding:
    text = "This film was a wonderful surprise from the first minute, although the ending drags terribly."
    weights = tuple(float(one) for one in np.round(RNG.uniform(-1, 1, len(text.split())), 3))
    wave = tuple(np.sin(np.linspace(0, 60, 400)) * np.linspace(0.1, 1, 400))
    return Finding(
        question="explanation-faithful",
        theme="explanation",
        title="Which explanation may be believed?",
        verdict=Verdict.WARN,
        claim="Integrated gradients beat a random order by 0.21 [0.12, 0.30]; saliency survives randomised weights.",
        estimates={
            "deletion_gain_integrated_gradients": Estimate(value=0.21, low=0.12, high=0.30, n=64, method="paired t"),
            "similarity_after_randomisation": Estimate(value=0.64, low=0.58, high=0.70, n=64, method="Student t"),
        },
        lines={"similarity_after_randomisation": Line(warn=0.5, fail=0.8)},
        figures=(
            Curves(
                title="Deletion: score as the most important inputs are removed",
                x_label="share of inputs removed",
                y_label="probability of the answer",
                series=(
                    Series(name="integrated gradients", x=(0, 0.25, 0.5, 0.75, 1), y=(0.97, 0.4, 0.2, 0.12, 0.1)),
                    Series(name="saliency", x=(0, 0.25, 0.5, 0.75, 1), y=(0.97, 0.7, 0.4, 0.2, 0.1), style="dashed"),
                    Series(
                        name="random order " + LONG,
                        x=(0, 0.25, 0.5, 0.75, 1),
                        y=(0.97, 0.85, 0.6, 0.3, 0.1),
                        style="points",
                    ),
                ),
            ),
            Gallery(
                title="Attributions beside their input",
                tiles=(
                    Tile(caption="true 3, said 3", picture=digit(1), overlay=heat(1)),
                    Tile(caption=EMOJI, picture=digit(2), overlay=heat(2)),
                ),
            ),
            Gallery(
                title="Words that decide", tiles=(Tile(caption="positive (p = 0.91)", text=text, weights=weights),)
            ),
            Gallery(
                title="Waveforms",
                tiles=tuple(Tile(caption=f"tone {place}, 440 Hz", wave=wave) for place in range(3)),
            ),
            Gallery(
                title="Rows",
                tiles=tuple(
                    Tile(
                        caption=f"row {place}: true malignant, said benign",
                        cells={"mean radius": "17.99", "texture": "10.38", HOSTILE: RTL, LONG: "x" * 60, "age": "n/a"},
                        weights=(0.8, -0.5, 0.2, -0.1, 0.0),
                    )
                    for place in range(2)
                ),
            ),
        ),
        worst_samples=(Tile(caption=RTL, text=RTL),),
    )


def data_quality() -> Finding:
    classes = tuple(f"class {place:03d}" for place in range(40))
    values = RNG.poisson(0.3, (40, 40)) + 30 * np.eye(40)
    return Finding(
        question="data-quality",
        theme="data",
        title="Is the data sound?",
        verdict=Verdict.WARN,
        claim=f"3 of 64 columns are constant, among them {EMOJI} and {HOSTILE}.",
        estimates={
            "constant_columns": exact(3, n=64),
            "missing_share": share(0.2, 0.19, 0.21, 12_345),
            "huge": Estimate(value=1.5e12, low=1.1e12, high=math.inf, n=5),
            "tiny": Estimate(value=1.5e-7, low=1.1e-7, high=2e-7, n=5),
            "bytes": Estimate(value=115_008, low=115_008, high=115_008, n=1, unit="bytes", level=1),
        },
        lines={"constant_columns": Line(warn=0, fail=20)},
        where=("pixel 0", "pixel 32", HOSTILE, LONG, RTL, *(f"pixel {place}" for place in range(60, 90))),
        figures=(
            Matrix(
                title="Many classes",
                row_label="true",
                column_label="predicted",
                rows=classes,
                columns=classes,
                values=tuple(tuple(float(one) for one in row) for row in values),
            ),
            Table(
                title="Columns",
                columns=("column", "missing", "note"),
                rows=tuple((f"column {place}", f"{place} %", HOSTILE if place == 3 else "") for place in range(30)),
            ),
            Curves(
                title="Not drawable",
                x_label="x",
                y_label="y",
                series=(Series(name="nothing", x=(math.nan, 1.0), y=(1.0, math.inf)),),
            ),
            Curves(
                title="Gaps, infinities and two axes of powers",
                x_label="samples $n$",
                y_label="error " + HOSTILE,
                log_x=True,
                log_y=True,
                series=(
                    Series(
                        name=HOSTILE,
                        x=(10, 100, 1000, 1e4, 1e5),
                        y=(0.5, math.nan, 0.05, math.inf, 0.001),
                    ),
                    Series(name=RTL, x=(10, 100, 1000, 1e4, 1e5), y=(0.9, 0.3, 0.1, 0.03, 0.0)),
                ),
            ),
        ),
        treatments=("drop constant columns",),
    )


def others() -> tuple[Finding, ...]:
    return (
        Finding(
            question="overfitting",
            theme="generalisation",
            title="Does it know its training data better than new data?",
            verdict=Verdict.PASS,
            claim="Train and test accuracy differ by 1.7 points [0.3, 3.6].",
            estimates={"gap": Estimate(value=0.017, low=0.003, high=0.036, n=360, method="Newcombe")},
            lines={"gap": Line(warn=0.05, fail=0.1)},
        ),
        Finding(
            question="latency",
            theme="efficiency",
            title="How long does an answer take?",
            verdict=Verdict.PASS,
            claim="Half of the answers take 0.21 ms, 99 of 100 at most 0.34 ms [0.31, 0.40].",
            estimates={
                "p50": Estimate(value=0.21, low=0.205, high=0.216, n=1000, unit="ms", method="order statistics"),
                "p99": Estimate(value=0.34, low=0.31, high=0.40, n=1000, unit="ms", method="order statistics"),
            },
            lines={"p99": Line(warn=10, fail=50)},
        ),
        Finding(
            question="loss-trend",
            theme="learning",
            title="Was the loss still falling?",
            verdict=Verdict.ERROR,
            claim="The question itself failed: ZeroDivisionError: division by zero.",
        ),
        Finding(
            question="dead-units",
            theme="learning",
            title="Do all units take part?",
            verdict=Verdict.FAIL,
            claim="18 % [15, 22] of 224 hidden units never fire on the test digits.",
            estimates={"dead_share": share(0.18, 0.15, 0.22, 224)},
            lines={"dead_share": Line(warn=0.05, fail=0.1)},
            where=("body.2", "body.5"),
            treatments=("leaky-relu", "lower-learning-rate"),
        ),
        Finding(
            question="target-scale",
            theme="data",
            title="Is the target scaled?",
            verdict=Verdict.SKIPPED,
            claim="It is asked of regression only; this is a classification.",
        ),
    )


def vitals() -> tuple[Vital, ...]:
    steps = tuple(range(2, 1802, 2))
    fall = 2.3 * np.exp(-np.linspace(0, 5, 900)) + 0.03
    jitter = np.abs(RNG.normal(0, 0.08, 900)) * fall
    epochs = tuple(range(90, 1801, 90))
    held_out = 2.0 * np.exp(-np.linspace(0, 4, 20)) + 0.08
    score = 0.985 - 0.8 * np.exp(-np.linspace(0.3, 6, 20))
    rate = 0.003 * np.minimum(1, np.linspace(0, 20, 900)) * (1 + np.cos(np.linspace(0, math.pi, 900))) / 2 + 1e-6
    plain = tuple(float(one) for one in rate)

    def vital(name: str, unit: str, part: str, at: tuple[int, ...], values: np.ndarray) -> Vital:
        same = tuple(float(one) for one in values)
        return Vital(name=name, unit=unit, part=part, steps=at, values=same, low=same, high=same)

    return (
        Vital(name="learning_rate", unit="1", part="train", steps=steps, values=plain, low=plain, high=plain),
        vital("loss", "nats", "validation", epochs, held_out),
        Vital(
            name="loss",
            unit="nats",
            part="train",
            steps=steps,
            values=tuple(fall),
            low=tuple(fall - jitter),
            high=tuple(fall + 2 * jitter),
        ),
        vital("score", "1", "validation", epochs, score),
        vital("gradient_norm", "1", "train", steps, fall + jitter),
    )


def sample_report() -> Report:
    """Return the report."""
    return Report(
        name="digits",
        created="2026-11-22T14:03:09+00:00",
        command="equipoise run runs/2026-11-22-digits/plan.toml",
        subject=(
            Section(
                title="Data",
                facts={
                    "name": "handwritten digits of scikit-learn",
                    "samples": "1,797: 1,257 train, 180 validation, 360 test",
                    "task": "multi-class, 10 classes",
                    "digest": "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
                },
            ),
            Section(
                title="Network",
                facts={
                    "family": "convolutional 32-64-64, dense 64",
                    "parameters": "60,362",
                    "input": "1 × 8 × 8, 0 to 16",
                },
            ),
            Section(
                title="Training",
                facts={
                    "recipe": "AdamW, learning rate 0.003, batch 32",
                    "stopped": "no improvement for 8 epochs; the best network seen was kept",
                    "seed": "0",
                    HOSTILE: EMOJI,
                },
            ),
            Section(
                title="Machine",
                facts={"device": "2 CPU cores", "versions": "equipoise 0.1.0, torch 2.13.0, Python 3.11.2", RTL: LONG},
            ),
        ),
        plan={"name": "digits", "seed": 0, "data": {"source": "bundled", "name": "digits"}, "oddity": HOSTILE},
        layers=tuple(
            {
                "layer": f"body.{place}",
                "kind": kind,
                "output shape": "64 × 4 × 4",
                "parameters": f"{place * 9_248:,}",
                "operations": f"{place * 591_872:,}",
                "memory": "37.0 kB",
            }
            for place, kind in enumerate(("Conv2d", "ReLU", "MaxPool2d", "Conv2d", "ReLU", "Flatten", "Linear"))
        ),
        vitals=vitals(),
        findings=(data_quality(), accuracy(), *others(), calibration(), noise(), explanation()),
        trials=(
            Trial(
                treatment="temperature-scaling",
                metric="expected calibration error",
                seeds=(0, 1, 2, 3, 4),
                differences=(-0.05, -0.06, -0.044, -0.052, -0.054),
                effect=Estimate(value=-0.052, low=-0.06, high=-0.044, n=5, method="paired t"),
                p_value=0.0625,
                guards={"accuracy": Estimate(value=0.0, low=-0.002, high=0.002, n=5, method="paired t")},
                outcome="adopted",
                reason="The whole interval lies below zero and no guard got worse.",
            ),
            Trial(
                treatment="label-smoothing " + HOSTILE,
                metric="expected calibration error",
                seeds=(0, 1, 2, 3, 4),
                differences=(0.01, -0.06, 0.044, 0.0, -0.01),
                effect=Estimate(value=-0.003, low=-0.03, high=0.024, n=5, method="paired t"),
                p_value=0.81,
                outcome="unsure",
                reason="The interval holds zero.",
            ),
        ),
        certificates=(
            Certificate(
                property="The answer does not change under any change of every pixel by at most 0.5 of 16.",
                radius=0.5,
                norm="linf",
                method="interval bounds",
                sound=True,
                proved=210,
                refuted=30,
                open=120,
                proof_file="proofs/linf-0.5.json",
            ),
        ),
        not_examined=(
            NotExamined(
                question="adversarial",
                theme="security",
                reason="It takes about 90 s, more than what was left of the budget of 45 s.",
                command="equipoise run digits --select adversarial --budget 120s",
            ),
            NotExamined(question="group-bias", theme="fairness", reason="The data names no groups."),
        ),
        glossary={
            "interval": "The range that holds the true value in 95 of 100 such examinations.",
            "line": "The threshold that a verdict is judged by; it comes from the plan.",
            "unsure": "The interval holds the line, so the data at hand cannot decide.",
            "expected calibration error": "Mean distance between confidence and accuracy over bins of confidence.",
        },
        references={
            "calibration": ("Guo et al., On Calibration of Modern Neural Networks, ICML 2017, arXiv:1706.04599.",),
            "accuracy": (
                "Wilson, Probable inference, the law of succession, and statistical inference, JASA 1927, "
                "doi:10.1080/01621459.1927.10502953",
                HOSTILE,
            ),
        },
        explanations={
            "calibration": "Why it matters: a probability that is not a frequency misleads decisions made with it.\n\n"
            "How it is measured: confidences are put into 10 bins of equal count; the interval is a bootstrap.\n\n"
            "What a verdict means: fail when the whole interval lies above the line.",
            "accuracy": HOSTILE,
        },
    )
