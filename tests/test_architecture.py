"""House rules: what is not tested drifts."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "equipoise"
FILES = sorted(SOURCE.rglob("*.py"))
ORDER = {
    "core": set(),
    "stats": {"core"},
    "data": {"core", "stats"},
    "networks": {"core", "stats"},
    "vitals": {"core", "stats", "data", "networks"},
    "fit": {"core", "stats", "data", "networks", "vitals"},
    "trial": {"core", "stats", "data", "networks", "fit"},
    "examine": {"core", "stats", "data", "networks", "vitals", "fit", "trial"},
    "treat": {"core", "stats", "data", "networks", "vitals", "fit", "trial", "examine"},
    "report": {"core", "stats"},
    "run": {"core", "stats", "data", "networks", "vitals", "fit", "trial", "examine", "treat", "report"},
    "ship": {"core", "stats", "data", "networks", "vitals", "fit"},
    "cli": {
        *("core", "stats", "data", "networks", "vitals", "fit", "trial", "examine", "treat", "report", "run", "ship"),
    },
}
LONGEST_FILE, LONGEST_FUNCTION = 400, 60
CATCH_ALLS = re.compile(r"^(utils?|common|base|misc|helpers?|tools?|stuff)\.py$")


def room(path: Path) -> str:
    relative = path.relative_to(SOURCE)
    return relative.parts[0] if len(relative.parts) > 1 else ""


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)))


def name_of(path: Path) -> str:
    return str(path.relative_to(SOURCE))


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_run_one_way(path):
    here = room(path)
    for module in imported(ast.parse(path.read_text())):
        parts = module.split(".")
        if parts[0] == "equipoise" and len(parts) > 1 and here in ORDER and parts[1] in ORDER:
            assert parts[1] == here or parts[1] in ORDER[here], f"{name_of(path)} imports {module} against the order"


def test_every_room_is_in_the_order():
    rooms = {room(path) for path in FILES} - {""}
    assert rooms == set(ORDER)


def test_no_module_imports_itself_in_a_circle():
    names = {".".join(("equipoise", *path.relative_to(SOURCE).with_suffix("").parts)): path for path in FILES}
    edges = {
        name: {one for one in _top_level_imports(ast.parse(path.read_text())) if one in names and one != name}
        for name, path in names.items()
    }
    seen: dict[str, int] = {}

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, f"circle: {' -> '.join((*trail, name))}"
        if name not in seen:
            for other in edges[name]:
                visit(other, (*trail, name))
            seen[name] = 1

    for name in names:
        visit(name, ())


def _top_level_imports(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield from imported(node)


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_walls_of_size(path):
    text = path.read_text()
    assert len(text.splitlines()) <= LONGEST_FILE
    for function in functions(ast.parse(text)):
        assert function.end_lineno - function.lineno < LONGEST_FUNCTION, f"{name_of(path)}: {function.name} is too long"


def test_no_catch_all_file_names():
    assert [name_of(path) for path in FILES if CATCH_ALLS.match(path.name)] == []


def _undocumented(path: Path) -> Iterator[str]:
    tree = ast.parse(path.read_text())
    if not ast.get_docstring(tree):
        yield name_of(path)
    for node in ast.walk(tree):
        public = isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_")
        if public and not ast.get_docstring(node) and not _is_inner(tree, node):
            yield f"{name_of(path)}: {node.name}"


def _is_inner(tree: ast.AST, wanted: ast.AST) -> bool:
    return any(wanted in list(ast.walk(one))[1:] for one in functions(tree))


def test_everything_public_is_documented():
    assert [one for path in FILES for one in _undocumented(path)] == []


def test_every_function_states_what_it_returns():
    missing = [
        f"{name_of(path)}: {function.name}"
        for path in FILES
        for function in functions(ast.parse(path.read_text()))
        if function.returns is None and function.name != "__init__"
    ]
    assert missing == []


def messages(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the text of every error raised with a message; `{}` stands for a value.

    Validators of records are left out: the reader of the record adds what came, where and the cure.
    """
    tree = ast.parse(path.read_text())
    validators = [one for one in functions(tree) if any("validator" in ast.unparse(d) for d in one.decorator_list)]
    skipped = {id(node) for one in validators for node in ast.walk(one)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and node.exc.args and id(node) not in skipped:
            text = _text(node.exc.args[0])
            if text is not None:
                yield node.lineno, text


def _text(node: ast.expr) -> str | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        parts = (part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)
        return "".join(str(part) for part in parts)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = _text(node.left), _text(node.right)
        return None if left is None and right is None else f"{left or '{}'}{right or '{}'}"
    return None


def _raised_as_a_reason(path: Path, line: int) -> bool:
    return "InapplicableError" in path.read_text().splitlines()[line - 1]


ALL_MESSAGES = [
    (name_of(path), line, text)
    for path in FILES
    for line, text in messages(path)
    if not _raised_as_a_reason(path, line)
]


@pytest.mark.parametrize(
    ("what", "pattern"),
    [("what came", r"\bgot\b"), ("what was expected", r"\bexpected\b"), ("the cure", r"[.:] *(\{\}|[A-Z][a-z]+\b)")],
)
def test_error_messages_say(what, pattern):
    bad = [f"{name}:{line}: {text}" for name, line, text in ALL_MESSAGES if not re.search(pattern, text, re.DOTALL)]
    assert len(bad) <= 0.05 * len(ALL_MESSAGES), f"{len(bad)} of {len(ALL_MESSAGES)} do not say {what}:\n" + "\n".join(
        bad
    )


def test_nothing_is_unpickled():
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("torch.load", "np.load", "numpy.load"):
                options = {one.arg: ast.unparse(one.value) for one in node.keywords}
                safe = options.get("weights_only") == "True" or options.get("allow_pickle") == "False"
                assert safe or "trust" in ast.unparse(node), f"{name_of(path)}:{node.lineno}"
            if isinstance(node, ast.Import):
                assert not {"pickle", "dill", "joblib"} & {alias.name for alias in node.names}, name_of(path)


def test_no_private_names_of_other_packages():
    for path in FILES:
        for module in imported(ast.parse(path.read_text())):
            parts = module.split(".")
            assert parts[0] in ("equipoise", "__future__") or not any(p.startswith("_") for p in parts), name_of(path)


WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None
sys.argv = {argv!r}
from equipoise.cli.app import main
main()
"""


@pytest.mark.parametrize("argv", [["equipoise", "--help"], ["equipoise", "plans"]], ids=["help", "plans"])
def test_torch_free(argv):
    done = subprocess.run([sys.executable, "-c", WITHOUT_TORCH.format(argv=argv)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "digits" in done.stdout or "Commands" in done.stdout
