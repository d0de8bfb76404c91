"""Which questions there are: the built-in ones, those of installed packages, and those of a loose file."""

import hashlib
import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType

from equipoise.core.complaint import nearest
from equipoise.core.finding import Finding
from equipoise.examine.choice.activation_choice import ACTIVATION_CHOICE
from equipoise.examine.choice.architecture_choice import ARCHITECTURE_CHOICE
from equipoise.examine.choice.loss_choice import LOSS_CHOICE
from equipoise.examine.choice.optimizer_choice import OPTIMIZER_CHOICE
from equipoise.examine.claims import Claims, check_claims
from equipoise.examine.data.class_balance import ClassBalance
from equipoise.examine.data.data_quality import DataQuality
from equipoise.examine.data.data_shortage import DataShortage
from equipoise.examine.data.input_scale import InputScale
from equipoise.examine.data.label_noise import LabelNoise
from equipoise.examine.data.split_leakage import SplitLeakage
from equipoise.examine.data.target_scale import TargetScale
from equipoise.examine.efficiency.latency import Latency
from equipoise.examine.efficiency.memory import Memory
from equipoise.examine.explanation.explanation_faithful import ExplanationFaithful
from equipoise.examine.explanation.feature_use import FeatureUse
from equipoise.examine.generalisation.accuracy import Accuracy
from equipoise.examine.generalisation.bias_variance import BiasVariance
from equipoise.examine.generalisation.calibration import Calibration
from equipoise.examine.generalisation.overfitting import Overfitting
from equipoise.examine.generalisation.sample_efficiency import SampleEfficiency
from equipoise.examine.generalisation.underfitting import Underfitting
from equipoise.examine.learning.batch_independence import BATCH_INDEPENDENCE
from equipoise.examine.learning.dead_units import DeadUnits
from equipoise.examine.learning.exploding_gradient import EXPLODING_GRADIENT
from equipoise.examine.learning.gradient_reach import GRADIENT_REACH
from equipoise.examine.learning.initial_loss import INITIAL_LOSS
from equipoise.examine.learning.loop_bugs import LOOP_BUGS
from equipoise.examine.learning.loss_pairing import LOSS_PAIRING
from equipoise.examine.learning.loss_trend import LossTrend
from equipoise.examine.learning.memorises_a_batch import MEMORISES_A_BATCH
from equipoise.examine.learning.saturated_units import SaturatedUnits
from equipoise.examine.learning.step_descends import STEP_DESCENDS
from equipoise.examine.learning.step_size import STEP_SIZE
from equipoise.examine.learning.vanishing_gradient import VANISHING_GRADIENT
from equipoise.examine.noise.corruption import Corruption
from equipoise.examine.noise.input_noise import InputNoise
from equipoise.examine.question import THEMES, Card, Context, Question
from equipoise.examine.stability.input_sensitivity import InputSensitivity
from equipoise.examine.stability.numeric_stability import NumericStability
from equipoise.examine.stability.seed_stability import SeedStability
from equipoise.examine.stability.training_stability import TrainingStability
from equipoise.examine.subject import Subject

ENTRY_POINTS = "equipoise.questions"

BUILT_IN: tuple[Question, ...] = (
    DataQuality(),
    InputScale(),
    TargetScale(),
    ClassBalance(),
    SplitLeakage(),
    LabelNoise(),
    DataShortage(),
    LOSS_PAIRING,
    INITIAL_LOSS,
    GRADIENT_REACH,
    STEP_DESCENDS,
    BATCH_INDEPENDENCE,
    MEMORISES_A_BATCH,
    LOOP_BUGS,
    VANISHING_GRADIENT,
    EXPLODING_GRADIENT,
    STEP_SIZE,
    LossTrend(),
    DeadUnits(),
    SaturatedUnits(),
    OPTIMIZER_CHOICE,
    ACTIVATION_CHOICE,
    LOSS_CHOICE,
    ARCHITECTURE_CHOICE,
    Accuracy(),
    Overfitting(),
    Underfitting(),
    Calibration(),
    BiasVariance(),
    SampleEfficiency(),
    SeedStability(),
    TrainingStability(),
    NumericStability(),
    InputSensitivity(),
    InputNoise(),
    Corruption(),
    FeatureUse(),
    ExplanationFaithful(),
    Latency(),
    Memory(),
)
"""The questions that come with the package, in the order in which they are asked within their themes."""


def questions(plugins: Sequence[Question] = ()) -> tuple[Question, ...]:
    """Return all questions by theme: built-in ones, those that installed packages register, then `plugins`.

    A package registers one with an entry point in the group `equipoise.questions` that names its class or an instance.
    One that cannot be loaded is kept as a question that answers with the reason, so that it is seen and stops nothing.

    Raises:
        ValueError: Two questions with one id, or a theme that does not exist.
    """
    found = (*BUILT_IN, *(_loaded(one) for one in entry_points(group=ENTRY_POINTS)), *plugins)
    seen: dict[str, Question] = {}
    for question in found:
        card = question.card
        if card.id in seen:
            raise ValueError(
                f"got two questions with the id {card.id!r} ({type(seen[card.id]).__name__} and "
                f"{type(question).__name__}); expected ids to be unique. Rename or remove one."
            )
        if card.theme not in THEMES:
            raise ValueError(
                f"got theme {card.theme!r} in the question {card.id!r}; expected a theme of the catalogue. "
                f"{nearest(card.theme, THEMES)}"
            )
        seen[card.id] = question
    return tuple(sorted(found, key=lambda question: THEMES.index(question.card.theme)))


def question_named(name: str, plugins: Sequence[Question] = ()) -> Question:
    """Return the question with an id.

    Raises:
        ValueError: There is none; the message names the nearest id.
    """
    by_id = {question.card.id: question for question in questions(plugins)}
    if name not in by_id:
        raise ValueError(f"got question {name!r}; expected the id of one. {nearest(name, list(by_id))}")
    return by_id[name]


def named_by(names: Sequence[str], among: Sequence[Question]) -> frozenset[str]:
    """Return the ids that names (ids or themes) stand for.

    Raises:
        ValueError: A name that is neither; the message names the nearest valid one.
    """
    ids = {question.card.id for question in among}
    themes = {question.card.theme for question in among}
    chosen: set[str] = set()
    for name in names:
        if name not in ids | themes:
            raise ValueError(
                f"got {name!r}; expected the id or theme of a question. {nearest(name, sorted(ids | themes))}"
            )
        chosen |= {question.card.id for question in among if name in (question.card.id, question.card.theme)}
    return frozenset(chosen)


def check_asked(select: Sequence[str], ignore: Sequence[str], claims: Claims, plugins: Sequence[Question] = ()) -> None:
    """Refuse names and claims that fit no question, before any work is done for them.

    Raises:
        ValueError: Such a name or claim; the message gives the nearest valid one.
    """
    known = questions(plugins)
    named_by(select, known)
    named_by(ignore, known)
    check_claims(claims, known)


def load_plugin(path: Path) -> tuple[Question, ...]:
    """Return the questions of a Python file: its `QUESTIONS`, or every question class that it defines.

    The file is run as a module, so load only files that you trust.

    Raises:
        ValueError: No such file, a file that raises while it is run, or one without a question.
    """
    file = Path(path)
    if not file.is_file() or file.suffix != ".py":
        raise ValueError(f"got plugin {str(path)!r}; expected a Python file (.py) that exists. Check the path.")
    # The name holds a digest of the whole path: two files of one name must not replace each other.
    name = f"equipoise_plugin_{hashlib.sha256(str(file.resolve()).encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ValueError(f"got plugin {str(path)!r}; expected a file that Python can import. Check the file.")
    module = importlib.util.module_from_spec(spec)
    # Frozen dataclasses look their module up while they are being made.
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
        found = _questions_in(module)
    except Exception as problem:
        del sys.modules[name]
        raise ValueError(
            f"got plugin {str(path)!r}, which failed with {type(problem).__name__}: {problem}; expected a file that "
            "runs. Mend it and try again."
        ) from problem
    if not found:
        raise ValueError(
            f"got plugin {str(path)!r} without a question; expected a class with `card`, `cost_s` and `answer`, or a "
            "tuple QUESTIONS. Add one, as `equipoise.examine.question.Question` describes."
        )
    return found


def _questions_in(module: ModuleType) -> tuple[Question, ...]:
    listed = getattr(module, "QUESTIONS", None)
    if listed is not None:
        return tuple(_as_question(one) for one in listed)
    own = [one for one in vars(module).values() if isinstance(one, type) and one.__module__ == module.__name__]
    return tuple(_as_question(one) for one in own if all(hasattr(one, name) for name in ("card", "cost_s", "answer")))


def _as_question(found: object) -> Question:
    made = found() if isinstance(found, type) else found
    if not isinstance(made, Question) or not isinstance(made.card, Card):
        raise TypeError(
            f"got {type(made).__name__}; expected a question with `card` (a Card), `cost_s` and `answer`. "
            "See `equipoise.examine.question.Question`."
        )
    return made


def _loaded(entry: EntryPoint) -> Question:
    try:
        return _as_question(entry.load())
    except Exception as problem:
        return BrokenPlugin(entry.name, entry.value, f"{type(problem).__name__}: {problem}")


@dataclass(frozen=True, slots=True)
class BrokenPlugin:
    """Stands for a registered question that cannot be loaded; answering raises, so it shows up as an error."""

    name: str
    target: str
    problem: str

    @property
    def card(self) -> Card:
        """What is known about it."""
        return Card(
            id=self.name,
            theme="data",
            title=f"The plug-in {self.name!r}, which could not be loaded",
            why="A package registers this question, but it cannot be loaded.",
            how=f"Nothing is measured. `{self.target}` failed with {self.problem}.",
            verdicts="Always an error.",
            may_help=(f"reinstall or remove the package that registers {self.target}",),
            sources=("original",),
        )

    def cost_s(self, subject: Subject) -> float:
        """Return 0: nothing is measured."""
        del subject
        return 0.0

    def answer(self, subject: Subject, context: Context) -> Finding:
        """Raise what the loading raised."""
        del subject, context
        raise ImportError(
            f"got the entry point {self.target!r}, which failed with {self.problem}; expected a question. "
            "Reinstall or remove the package that registers it."
        )
