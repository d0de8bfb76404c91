"""Every example runs as a user would run it, and stays short."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("[0-9]*.py"))
NEEDS = {"08_watch_lightning": ("pytorch_lightning",), "09_watch_huggingface": ("transformers", "accelerate")}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs(path, in_tmp):
    missing = [one for one in NEEDS.get(path.stem, ()) if importlib.util.find_spec(one) is None]
    if missing:
        pytest.skip(f"{' and '.join(missing)} is not installed")
    environment = os.environ | {"PYTHONPATH": str(path.parent)}
    done = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, cwd=in_tmp, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()
    assert list(in_tmp.iterdir()) == [], "an example wrote outside its own folder"


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_is_short(path):
    assert len(path.read_text().splitlines()) <= 60
