import sys

import pytest

from equipoise.core.data_plan import FactoryData
from equipoise.data.load import load

MODULE = """
import numpy as np
import pandas as pd


def arrays():
    generator = np.random.default_rng(0)
    return generator.random((40, 3)), generator.integers(0, 2, 40)


def frame():
    inputs, targets = arrays()
    return pd.DataFrame(inputs, columns=["a", "b", "c"]).assign(sick=targets)


def number():
    return 7
"""


@pytest.fixture
def module(in_tmp, monkeypatch):
    (in_tmp / "my_eq_data.py").write_text(MODULE)
    (in_tmp / "my_eq_broken.py").write_text("import no_such_thing_at_all\n")
    monkeypatch.setattr(sys, "path", [one for one in sys.path if one not in ("", str(in_tmp))])
    yield in_tmp
    sys.modules.pop("my_eq_data", None)


def test_a_function_in_the_current_folder_makes_data(module):
    before = list(sys.path)
    splits = load(FactoryData(factory="my_eq_data:arrays"), 0)
    assert (splits.name, splits.signature.task.kind) == ("arrays", "binary")
    assert sys.path == before
    assert load(FactoryData(factory="my_eq_data:frame", targets=("sick",)), 0).signature.task.targets == ("sick",)


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        ("my_eq_data", "got the factory 'my_eq_data'; expected module:function"),
        ("no_such_eq:f", "no module 'no_such_eq' .* expected module:function"),
        ("my_eq_data:aray", "no function 'aray'; expected one without arguments. Did you mean 'arrays'"),
        ("my_eq_data:number", "got int from .* expected .inputs, targets."),
    ],
)
def test_bad_references_say_why(module, factory, message):
    with pytest.raises(ValueError, match=message):
        load(FactoryData(factory=factory), 0)


def test_a_module_that_fails_on_its_own_import_says_so_itself(module):
    with pytest.raises(ModuleNotFoundError, match="no_such_thing_at_all"):
        load(FactoryData(factory="my_eq_broken:f"), 0)
