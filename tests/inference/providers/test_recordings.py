"""Each fault is recorded in each dialect, and each recording can be played."""

import pytest

from tests.inference.providers import DIALECTS, Fault, parse_order
from tests.inference.providers.faults import UNRECORDED, Script
from tests.inference.providers.recordings import (
    FOLDER,
    Block,
    Direction,
    Text,
    find_path,
    parse_recording,
    read_recording,
)

RECORDED = [fault for fault in Fault if fault not in UNRECORDED]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_there_is_one_recording_for_each_fault(dialect):
    expected = {find_path(dialect, fault) for fault in RECORDED}
    assert set((FOLDER / dialect).iterdir()) == expected


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("fault", RECORDED)
def test_a_recording_says_what_it_is(dialect, fault):
    path = find_path(dialect, fault)
    assert path.read_text().startswith("# ")
    assert read_recording(dialect, fault).steps


def test_reads_a_stream():
    recording = parse_recording(
        "# A stream.\n# message: Oh.\nHTTP/1.1 200 OK\ntransfer-encoding: chunked\n\n"
        "~ for each piece\ndata: {{piece}}\n\n~ end\ndata: ha\n~ cut\n"
    )
    assert recording.message == "Oh."
    assert recording.steps == (
        Block("for each piece", (Text("data: {{piece}}\n\n"),)),
        Text("data: ha"),
        Direction("cut"),
    )


@pytest.mark.parametrize("text", ["~ dance\n", "~ for each piece\ndata: 1\n"])
def test_says_what_is_wrong_with_a_recording(text):
    with pytest.raises(ValueError, match=r"dance|no end"):
        parse_recording(text)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("418", "no fault '418'; there are none, refuse"),
        ("401:3", "takes no value"),
        ("429:soon", "takes seconds"),
        ("slow:-1", "takes seconds"),
    ],
)
def test_says_what_is_wrong_with_an_order(words, complaint):
    with pytest.raises(ValueError, match=complaint):
        parse_order(words)


def test_what_was_queued_comes_before_what_stands():
    script = Script()
    script.stand("500")
    script.queue(["401", "429:3"])
    assert [script.take().fault for _ in range(4)] == ["401", "429", "500", "500"]


def test_a_line_fault_is_no_answer():
    with pytest.raises(ValueError, match="refuse is another base URL"):
        Script().stand("refuse")
