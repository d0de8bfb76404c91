"""The README is true: its commands are the ones that CI runs, and its Python runs."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
PYTHON = [text for language, text in BLOCKS if language == "python"]
CONVENTIONS = re.findall(r"^```python\n(.*?)^```$", (ROOT / "CONVENTIONS.md").read_text(), re.MULTILINE | re.DOTALL)


def test_one_sentence_then_exactly_two_commands():
    opening, language, _ = README.partition("```bash\n")
    assert language
    assert len(opening.split()) <= 90
    commands = next(text for kind, text in BLOCKS if kind == "bash").strip().splitlines()
    assert len(commands) == 2
    assert commands[0].endswith(".venv/bin/equipoise run digits")
    assert commands[1].endswith(".venv/bin/pytest")


def test_ci_runs_the_same_two_commands():
    script = (ROOT / ".ci" / "run").read_text()
    assert "README.md | sed -n 2p" in script
    assert "README.md | sed -n 3p" in script


@pytest.mark.parametrize("text", [*PYTHON, *CONVENTIONS])
def test_python_blocks_run(text, in_tmp):
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, cwd=in_tmp)
    assert done.returncode == 0, done.stderr


def test_every_link_inside_the_repository_exists():
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
