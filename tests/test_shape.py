"""Functions and files stay short, or say why not."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MAX_FUNCTION_LINES = 60
MAX_FILE_LINES = 400

# "path" or "path::function": why it is better long
REASONS: dict[str, str] = {}


def files() -> list[Path]:
    """Return our Python files; migrations are written by Django."""
    return [
        file
        for folder in ("chatbot", "support", "inference", "deploy", "tests")
        for file in sorted((ROOT / folder).rglob("*.py"))
        if "migrations" not in file.parts
    ]


def long_parts(name: str, source: str) -> Iterator[tuple[str, int]]:
    """Yield what is longer than allowed in a file, with its number of lines."""
    num_lines = len(source.splitlines())
    if num_lines > MAX_FILE_LINES:
        yield name, num_lines
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            num_lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if num_lines > MAX_FUNCTION_LINES:
                yield f"{name}::{node.name}", num_lines


@pytest.fixture(scope="module")
def found() -> dict[str, int]:
    return {
        part: num_lines
        for file in files()
        for part, num_lines in long_parts(
            file.relative_to(ROOT).as_posix(), file.read_text()
        )
    }


def test_what_is_long_has_a_reason(found):
    assert {part: n for part, n in found.items() if part not in REASONS} == {}


def test_no_reason_has_outlived_its_code(found):
    assert REASONS.keys() <= found.keys()


@pytest.mark.parametrize(("num_lines", "part"), [(60, []), (61, [("a.py::long", 61)])])
def test_counts_the_lines_of_a_function(num_lines, part):
    source = "def long():\n" + "    pass\n" * (num_lines - 1)
    assert list(long_parts("a.py", source)) == part


@pytest.mark.parametrize(("num_lines", "part"), [(400, []), (401, [("a.py", 401)])])
def test_counts_the_lines_of_a_file(num_lines, part):
    assert list(long_parts("a.py", "x = 1\n" * num_lines)) == part
