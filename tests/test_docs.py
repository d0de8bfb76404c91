"""The generated pages are current."""

import importlib.util
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
SPEC = importlib.util.spec_from_file_location("make_docs", DOCS / "make.py")
MAKE = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(MAKE)


@pytest.mark.parametrize("name", MAKE.PAGES)
def test_page_is_current(name):
    assert (DOCS / name).read_text(encoding="utf-8") == MAKE.PAGES[name](), "run: python docs/make.py"
