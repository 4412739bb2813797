"""Each import contract of pyproject.toml holds, and breaks when it is violated."""

import ast
import io
import os
import re
import shutil
import tomllib
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stdout
from multiprocessing import get_context
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("chatbot", "support", "inference")

# one line for each contract, in a file where somebody might be tempted to write it
VIOLATIONS = {
    "The project imports the domain, the domain imports inference, never back": (
        "inference/pricing.py",
        "from support.models import Attempt",
    ),
    "The rooms of the domain look one way": (
        "support/knowledge/searcher.py",
        "from support.chat import events",
    ),
    "The load test plays its visitors one way": (
        "support/management/loadtest/screen.py",
        "from support.management.loadtest import history",
    ),
    "The load test is a client: plain Python that knows the protocol only": (
        "support/management/loadtest/marks.py",
        "from support.chat.frames import CloseCode",
    ),
    "A message flows one way through the chat": (
        "support/chat/events.py",
        "from support.chat import services",
    ),
    "Monitoring reads, adds up, draws, and is asked": (
        "support/monitoring/health.py",
        "from support.monitoring import probes",
    ),
    "A request flows one way through inference": (
        "inference/backends/scripted.py",
        "from inference.routing.router import Router",
    ),
    "The host drives the engine, the engine its parts": (
        "inference/engine/kv_cache.py",
        "from inference.engine.scheduler import Scheduler",
    ),
    "A call to an API goes down to its line": (
        "inference/backends/endpoints.py",
        "from inference.backends.connection import Line",
    ),
    "A model file is read, then judged, then listed": (
        "inference/model_files/header.py",
        "from inference.model_files import card",
    ),
    "Native code runs in the child process only": (
        "inference/engine/host.py",
        "from inference.engine.binding import LlamaRunner",
    ),
    "From routing down it is plain Python": (
        "inference/routing/breaker.py",
        "from django.core.cache import cache",
    ),
    "Only the binding, the quantizer and the bench's rivals touch llama_cpp": (
        "inference/engine/engine.py",
        "import llama_cpp",
    ),
    "Only the backends speak to providers": (
        "inference/routing/router.py",
        "import openai",
    ),
    "Published prices are loaded when a cloud call is billed": (
        "inference/pricing.py",
        "import genai_prices",
    ),
    "The web process never loads the model": (
        "support/chat/views.py",
        "from inference.engine.host import EngineHost",
    ),
    "No cycles anywhere": (
        "support/knowledge/words.py",
        "from support.knowledge import searcher",
    ),
}

# contracts that know all modules of their rooms
ROOMS = {
    "The rooms of the domain look one way": "support",
    "The load test plays its visitors one way": "support/management/loadtest",
    "A message flows one way through the chat": "support/chat",
    "Monitoring reads, adds up, draws, and is asked": "support/monitoring",
    "A request flows one way through inference": "inference",
    "The host drives the engine, the engine its parts": "inference/engine",
    "A call to an API goes down to its line": "inference/backends",
}


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> Path:
    """A copy of the packages' code, with times kept so that a cache of it holds."""
    folder = tmp_path_factory.mktemp("imports")
    for package in PACKAGES:
        for file in (ROOT / package).rglob("*.py"):
            target = folder / file.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(file, target)
    shutil.copy2(ROOT / "pyproject.toml", folder)
    return folder


@pytest.fixture
def write(copy):
    """Return a function that adds a line to a file of the copy until the test ends."""
    before: dict[Path, bytes | None] = {}

    def add(path: str, line: str) -> None:
        file = copy / path
        before[file] = file.read_bytes() if file.exists() else None
        with file.open("a") as text:
            text.write(f"\n{line}\n")

    yield add
    for file, content in before.items():
        file.unlink() if content is None else file.write_bytes(content)


def lint(folder: Path) -> tuple[int, str]:
    """Run in a process of its own: here import would find the real packages."""
    os.chdir(folder)
    with redirect_stdout(io.StringIO()) as output:
        status = lint_imports()
    return status, output.getvalue()


@pytest.fixture(scope="module")
def broken(copy):
    """Return a function that returns the names of the contracts the copy breaks.

    One process for all: to start the linter takes three times as long as to run it.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:

        def names() -> set[str]:
            status, output = process.submit(lint, copy).result(timeout=60)
            found = set(re.findall(r"^(.+) BROKEN$", output, re.MULTILINE))
            assert (status != 0) == bool(found), output
            return found

        yield names


def test_all_contracts_hold(broken):
    assert broken() == set()


def test_there_is_a_violation_for_each_contract():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contracts = settings["tool"]["importlinter"]["contracts"]
    assert VIOLATIONS.keys() == {contract["name"] for contract in contracts}


@pytest.mark.parametrize("name", VIOLATIONS)
def test_one_line_breaks_the_contract(name, broken, write):
    write(*VIOLATIONS[name])
    assert name in broken()


@pytest.mark.parametrize(("name", "room"), ROOMS.items())
def test_a_new_module_must_be_given_its_place(name, room, broken, write):
    write(f"{room}/novelty.py", '"""A module that no contract names."""')
    assert name in broken()


def test_only_two_modules_import_by_name_what_the_contracts_cannot_see():
    callers = {
        str(file.relative_to(ROOT))
        for package in PACKAGES
        for file in (ROOT / package).rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Name | ast.Attribute)
        and getattr(node, "id", getattr(node, "attr", ""))
        in {"import_module", "__import__"}
    }
    assert callers == {"inference/registry.py", "inference/pricing.py"}
