"""The laws of the house (F1 to F10) that ruff and import-linter cannot check; must read the source, never import it."""

import ast
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LINES_A_FILE = 300
LINES_A_FUNCTION = 40
IMPURE = {"asyncio", "time", "random", "os", "pathlib", "socket", "logging", "apsw", "secrets"}
MAY_CATCH_EVERYTHING = {"fleet/engine/attempt.py", "fleet/faces/hooks.py"}
MAY_HANDLE_KEYS = {"fleet/core/sealing.py", "fleet/store/keys.py"}
NAMELESS_FILES = {"utils.py", "util.py", "helpers.py", "misc.py", "common.py"}
UNFINISHED = re.compile(r"\b(NotImplementedError|TODO|FIXME|XXX|HACK)\b")
SQL_WRITE = re.compile(
    r"\b(UPDATE\s+\w+\s+SET|INSERT\s+(OR\s+\w+\s+)?INTO|REPLACE\s+INTO|DELETE\s+FROM)\b", re.IGNORECASE
)
STATUS_WRITE = re.compile(r"\bUPDATE\s+outbox\s+SET\b.*\bstatus\s*=", re.IGNORECASE | re.DOTALL)
SECRET_NAME = re.compile(r"(^|_)(secret|seed|private|password|passphrase|token)$")
POSITION = re.compile(r"P[0-8](_\w*)?")

Function = ast.FunctionDef | ast.AsyncFunctionDef


# ── what there is to read ────────────────────────────────────────────────────────────────────────────────────────────


@cache
def modules() -> dict[str, ast.Module]:
    """Every module of the house and its roads: path from the root → parsed source."""
    found = sorted(path for floor in ("fleet", "channels") for path in (ROOT / floor).rglob("*.py"))
    return {path.relative_to(ROOT).as_posix(): ast.parse(path.read_text("utf-8")) for path in found}


def under(*places: str) -> dict[str, ast.Module]:
    """The modules whose path begins with one of these."""
    return {path: tree for path, tree in modules().items() if path.startswith(places)}


def imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and full name of everything a tree imports, wherever it does so."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def importers_of(packages: set[str], among: dict[str, ast.Module]) -> list[str]:
    """Where one of these top-level packages is imported."""
    return [
        f"{path}:{line} imports {name}"
        for path, tree in among.items()
        for line, name in imports(tree)
        if name.split(".")[0] in packages
    ]


def places(holds: Callable[[ast.AST], bool], among: dict[str, ast.Module]) -> list[str]:
    """path:line of every node for which this holds."""
    return [
        f"{path}:{getattr(node, 'lineno', 1)}" for path, tree in among.items() for node in ast.walk(tree) if holds(node)
    ]


def docstrings(tree: ast.Module) -> set[int]:
    """The ids of the constants that are docstrings."""
    bodies = [node.body for node in ast.walk(tree) if isinstance(node, ast.Module | ast.ClassDef | Function)]
    statements = [body[0] for body in bodies if body]
    return {id(first.value) for first in statements if isinstance(first, ast.Expr)}


def texts(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and value of every string that is not a docstring."""
    prose = docstrings(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            yield node.lineno, node.value


def dotted(node: ast.AST) -> str:
    """`a.b.c` of a name or attribute, else nothing."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


# ── size and shape ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_there_is_a_house_to_check() -> None:
    assert "fleet/__init__.py" in modules()


def test_no_file_is_longer_than_three_hundred_lines() -> None:
    lengths = {path: len((ROOT / path).read_text("utf-8").splitlines()) for path in modules()}
    assert {path: length for path, length in lengths.items() if length > LINES_A_FILE} == {}


def test_no_function_is_longer_than_forty_lines() -> None:
    def too_long(node: ast.AST) -> bool:
        return isinstance(node, Function) and node.end_lineno - node.lineno >= LINES_A_FUNCTION  # type: ignore[operator]

    assert places(too_long, modules()) == []


def test_every_file_is_named_for_a_noun() -> None:
    assert [path for path in modules() if path.rsplit("/", 1)[-1] in NAMELESS_FILES] == []


def test_every_module_says_what_it_is() -> None:
    assert [path for path, tree in modules().items() if not ast.get_docstring(tree)] == []


def test_every_public_class_and_function_says_what_it_does() -> None:
    silent = [
        f"{path}:{node.lineno} {node.name}"
        for path, tree in modules().items()
        for node in tree.body
        if isinstance(node, ast.ClassDef | Function) and not node.name.startswith("_") and not ast.get_docstring(node)
    ]
    assert silent == []


def test_nothing_is_left_unfinished() -> None:
    sources = [path for place in ("fleet", "channels", "bin", "config") for path in (ROOT / place).rglob("*")]
    unfinished = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in sources
        if path.is_file() and "__pycache__" not in path.parts
        for number, line in enumerate(path.read_text("utf-8", "replace").splitlines(), 1)
        if UNFINISHED.search(line)
    ]
    assert unfinished == []


# ── floors ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_import_contracts_are_kept() -> None:
    command = "from importlinter.cli import lint_imports_command as run; run()"
    done = subprocess.run(
        [sys.executable, "-c", command, "--no-logo", "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_ground_floor_has_no_clock_no_dice_and_no_files() -> None:
    assert importers_of(IMPURE, under("fleet/core/", "fleet/errors.py")) == []


def test_errors_import_nothing() -> None:
    assert [name for tree in under("fleet/errors.py").values() for _, name in imports(tree)] == []


def test_nothing_in_the_house_imports_a_channel() -> None:
    assert importers_of({"channels"}, under("fleet/")) == []


def test_the_store_never_waits() -> None:
    store = under("fleet/store/")
    waits = (ast.AsyncFunctionDef, ast.Await, ast.AsyncFor, ast.AsyncWith)
    assert places(lambda node: isinstance(node, waits), store) == []
    assert importers_of({"asyncio", "anyio"}, store) == []


def test_nothing_waits_inside_a_transaction() -> None:
    def opens_transaction(node: ast.AST) -> bool:
        calls = [item.context_expr for item in node.items] if isinstance(node, ast.With | ast.AsyncWith) else []
        return any(isinstance(call, ast.Call) and dotted(call.func).endswith("transaction") for call in calls)

    def waits_inside(node: ast.AST) -> bool:
        return opens_transaction(node) and any(isinstance(inner, ast.Await) for inner in ast.walk(node))

    assert places(waits_inside, modules()) == []


def test_only_the_store_writes_sql() -> None:
    writers = {path for path, tree in modules().items() for _, text in texts(tree) if SQL_WRITE.search(text)}
    assert sorted(path for path in writers if not path.startswith("fleet/store/")) == []


def test_only_the_outbox_changes_a_status() -> None:
    writers = {path for path, tree in modules().items() for _, text in texts(tree) if STATUS_WRITE.search(text)}
    assert writers <= {"fleet/store/outbox.py"}


def test_only_the_store_talks_to_sqlite() -> None:
    outside = {path: tree for path, tree in modules().items() if not path.startswith("fleet/store/")}
    assert importers_of({"apsw", "sqlite3"}, outside) == []


def test_sending_loads_only_the_standard_library_at_its_start() -> None:
    def at_start(body: list[ast.stmt]) -> Iterator[tuple[int, str]]:
        for statement in body:
            if not isinstance(statement, ast.ClassDef | Function):
                yield from imports(statement)

    loaded = {name for tree in under("fleet/faces/send.py").values() for _, name in at_start(tree.body)}
    assert {name for name in loaded if name.split(".")[0] not in sys.stdlib_module_names} == set()


# ── danger ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_only_two_places_catch_everything() -> None:
    def is_broad(name: ast.expr | None) -> bool:
        members = name.elts if isinstance(name, ast.Tuple) else [name]
        return any(member is None or dotted(member) in {"Exception", "BaseException"} for member in members)

    def catches_everything(node: ast.AST) -> bool:
        if isinstance(node, ast.Call) and dotted(node.func).endswith("suppress"):
            return any(is_broad(argument) for argument in node.args)
        return isinstance(node, ast.ExceptHandler) and is_broad(node.type)

    elsewhere = {path: tree for path, tree in modules().items() if path not in MAY_CATCH_EVERYTHING}
    assert places(catches_everything, elsewhere) == []


def test_only_two_places_handle_keys() -> None:
    elsewhere = {path: tree for path, tree in modules().items() if path not in MAY_HANDLE_KEYS}
    assert importers_of({"nacl"}, elsewhere) == []


def test_no_secret_shows_in_a_repr() -> None:
    def shows_secret(node: ast.AST) -> bool:
        if not (isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)):
            return False
        plain = dotted(node.annotation) in {"bytes", "str"}
        return plain and bool(SECRET_NAME.search(node.target.id)) and "repr=False" not in ast.unparse(node)

    fields = {
        f"{path}:{node.name}": ast.Module([field for field in node.body if isinstance(field, ast.AnnAssign)], [])
        for path, tree in modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    }
    assert places(shows_secret, fields) == []


def test_no_shell_is_started() -> None:
    def starts_shell(node: ast.AST) -> bool:
        if not isinstance(node, ast.Call):
            return False
        by_option = any(word.arg == "shell" and ast.unparse(word.value) != "False" for word in node.keywords)
        return by_option or dotted(node.func) in {"os.system", "os.popen", "asyncio.create_subprocess_shell"}

    assert places(starts_shell, modules()) == []


def test_nothing_is_pickled() -> None:
    assert importers_of({"pickle", "marshal", "shelve", "dill"}, modules()) == []


def test_no_host_key_is_taken_on_trust() -> None:
    names = ("AutoAddPolicy", "WarningPolicy")
    assert [path for path in modules() if any(name in (ROOT / path).read_text("utf-8") for name in names)] == []


def test_the_names_of_positions_are_never_code() -> None:
    def identifier(node: ast.AST) -> str:
        for field in ("id", "attr", "arg", "name", "asname"):
            if isinstance(value := getattr(node, field, None), str):
                return value
        return ""

    named = places(lambda node: bool(POSITION.fullmatch(identifier(node))), modules())
    quoted = [
        f"{path}:{line}" for path, tree in modules().items() for line, text in texts(tree) if POSITION.fullmatch(text)
    ]
    assert named + quoted == []


# ── the laws themselves ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("law", "path", "source"),
    [
        (test_no_function_is_longer_than_forty_lines, "fleet/a.py", "def long():\n" + "    pass\n" * 40),
        (test_every_file_is_named_for_a_noun, "fleet/core/utils.py", ""),
        (test_every_module_says_what_it_is, "fleet/a.py", "x = 1"),
        (test_every_public_class_and_function_says_what_it_does, "channels/a.py", "class Road: ..."),
        (test_the_ground_floor_has_no_clock_no_dice_and_no_files, "fleet/core/a.py", "from time import monotonic"),
        (test_errors_import_nothing, "fleet/errors.py", "import enum"),
        (test_nothing_in_the_house_imports_a_channel, "fleet/a.py", "def late():\n    from channels import nats"),
        (test_the_store_never_waits, "fleet/store/a.py", "async def wait(): ..."),
        (test_nothing_waits_inside_a_transaction, "fleet/a.py", "async def f():\n with db.transaction():\n  await g()"),
        (test_only_the_store_writes_sql, "fleet/engine/a.py", "run('DELETE FROM outbox')"),
        (test_only_the_outbox_changes_a_status, "fleet/store/a.py", "run('UPDATE outbox SET due=1, status = 2')"),
        (test_only_the_store_talks_to_sqlite, "channels/a.py", "import apsw.ext"),
        (test_sending_loads_only_the_standard_library_at_its_start, "fleet/faces/send.py", "import fleet.errors"),
        (test_only_two_places_catch_everything, "fleet/a.py", "try: f()\nexcept (OSError, Exception): g()"),
        (test_only_two_places_catch_everything, "fleet/a.py", "try: f()\nexcept: g()"),
        (test_only_two_places_handle_keys, "channels/a.py", "from nacl import signing"),
        (test_no_secret_shows_in_a_repr, "fleet/a.py", "class Invite:\n    join_secret: bytes"),
        (test_no_shell_is_started, "fleet/a.py", "subprocess.run('ls', shell=True)"),
        (test_nothing_is_pickled, "fleet/a.py", "import pickle"),
        (test_the_names_of_positions_are_never_code, "fleet/a.py", "order = {'P1': 'nats'}"),
        (test_the_names_of_positions_are_never_code, "fleet/a.py", "if road == P1_NATS: go()"),
    ],
)
def test_a_broken_law_is_seen(law: Callable[[], None], path: str, source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.modules", lambda: {path: ast.parse(source)})
    with pytest.raises(AssertionError):
        law()
