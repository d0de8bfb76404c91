import numpy as np
import pytest
from fit_subjects import DENSE

from equipoise.core.data_plan import GivenData
from equipoise.core.plan import Plan
from equipoise.data.given import splits_from
from equipoise.fit.fit import fit

INPUTS = np.random.default_rng(0).normal(size=(100, 3)).astype(np.float32)
TARGETS = (INPUTS.sum(1) > 0).astype(np.int64)


def given_plan() -> Plan:
    digest = splits_from((INPUTS, TARGETS), seed=0).digest
    values = {"name": "test", "data": {"source": "given"}, "network": DENSE, "recipe": {"epochs": 1, "threads": 1}}
    return Plan.read(values).replace(data=GivenData(digest=digest))


@pytest.mark.parametrize("seed", [None, 3])
def test_data_of_a_plan_are_handed_over_again(seed):
    fitted = fit(given_plan(), seed, data=(INPUTS, TARGETS))
    assert fitted.splits.digest == splits_from((INPUTS, TARGETS), seed=seed or 0).digest
    assert fitted.seed == (seed or 0)


@pytest.mark.parametrize("seed", [None, 3])
def test_other_data_or_none_are_refused(seed):
    with pytest.raises(ValueError, match=r"Pass them: fit\(plan, data=data\)"):
        fit(given_plan(), seed)
    with pytest.raises(ValueError, match="got other data .* Pass the same data"):
        fit(given_plan(), seed, data=(INPUTS + 1, TARGETS))


def test_the_network_is_said_before_it_is_trained():
    said = []
    fit(given_plan(), data=(INPUTS, TARGETS), on_progress=said.append)
    first = next(progress for progress in said if progress.phase == "network")
    assert first.note == f"dense, {3 * 8 + 8 + 8 + 1} parameters"
    assert [progress.phase for progress in said].index("network") < [progress.phase for progress in said].index("fit")
