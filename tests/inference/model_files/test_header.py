"""Headers of real, generated and hostile files."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.errors import ModelError
from inference.model_files.header import Counted, read_header
from tests.inference import toy_models
from tests.inference.conftest import CHECKPOINT
from tests.inference.toy_models import GgufFile


@pytest.fixture(scope="session")
def content(tmp_path_factory):
    path = tmp_path_factory.mktemp("header") / "dense.gguf"
    return toy_models.dense().write(path).read_bytes()


def refuse(tmp_path, content, match):
    path = tmp_path / "model.gguf"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=match):
        read_header(path)


def test_reads_what_training_wrote():
    header = read_header(CHECKPOINT)
    assert header.metadata["general.architecture"] == "llama"
    assert header.metadata["tokenizer.ggml.tokens"] == Counted(4096)
    assert header.data_start + sum(
        tensor.num_bytes or 0 for tensor in header.tensors
    ) == pytest.approx(header.file_bytes, abs=32 * len(header.tensors))


def test_keeps_long_arrays_when_asked():
    header = read_header(CHECKPOINT, kept_items=5000)
    tokens = header.metadata["tokenizer.ggml.tokens"]
    assert isinstance(tokens, list)
    assert len(tokens) == 4096


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "is empty"),
        (b"PK\x03\x04 and so on", "is not a GGUF file"),
        (b"GGUF", "cut off or damaged"),
        (b"GGUF" + struct.pack("<I", 1), "version 1; versions 2 and 3"),
        (b"GGUF" + struct.pack(">I", 3), "another byte order"),
        (b"GGUF" + struct.pack("<IQQ", 3, 2**40, 0), "tensors and 0 entries"),
        (b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 2**62), "a string of"),
        (b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 1000), "cut off"),
        (b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 1) + b"a\x63\0\0\0", "of type 99"),
        (
            b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 1) + b"a"
            + struct.pack("<IIQ", 9, 8, 2**60), "an array of",
        ),
        (
            b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 1) + b"a"
            + struct.pack("<I", 9) + struct.pack("<IQ", 9, 1) * 9, "an array of",
        ),
        (
            b"GGUF" + struct.pack("<IQQQ", 3, 1, 0, 1) + b"a"
            + struct.pack("<IQQ", 2, 2**40, 2**40), "of shape",
        ),
        (
            b"GGUF" + struct.pack("<IQQQ", 3, 1, 0, 1) + b"a" + struct.pack("<I", 5),
            "5 dimensions",
        ),
    ],
)  # fmt: skip
def test_says_what_is_wrong(tmp_path, content, match):
    refuse(tmp_path, content, match)


def test_a_name_that_is_there_twice(tmp_path):
    pair = struct.pack("<Q", 1) + b"a" + struct.pack("<II", 4, 7)
    refuse(tmp_path, b"GGUF" + struct.pack("<IQQ", 3, 0, 2) + pair * 2, "'a' twice")


def test_an_alignment_that_is_none(tmp_path):
    file = GgufFile("llama")
    file.metadata["general.alignment"] = 7
    refuse(tmp_path, file.write(tmp_path / "x").read_bytes(), "alignment of 7")


def test_weights_that_are_cut_off_are_counted(tmp_path, content):
    refuse(tmp_path, content[:-100], f"{len(content) - 100:,} of .* bytes are there")


@settings(deadline=None)
@given(st.data())
def test_no_cut_goes_unseen(tmp_path_factory, content, data):
    # the last tensor may be followed by up to 31 bytes that fill it up
    path = tmp_path_factory.mktemp("cut") / "model.gguf"
    path.write_bytes(content[: data.draw(st.integers(0, len(content) - 32))])
    with pytest.raises(ModelError):
        read_header(path)


@settings(deadline=None, max_examples=200)
@given(st.lists(st.tuples(st.integers(0, 3000), st.binary(min_size=1, max_size=9))))
def test_damage_is_refused_or_harmless(tmp_path_factory, content, damages):
    damaged = bytearray(content)
    for position, patch in damages:
        damaged[position : position + len(patch)] = patch
    path = tmp_path_factory.mktemp("damage") / "model.gguf"
    path.write_bytes(damaged)
    try:
        header = read_header(path)
    except ModelError:
        return
    assert header.data_start <= len(damaged) + 32


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_noise_is_no_model(tmp_path_factory, noise):
    path = tmp_path_factory.mktemp("noise") / "model.gguf"
    path.write_bytes(b"GGUF" + struct.pack("<I", 3) + noise)
    try:
        read_header(path)
    except ModelError:
        return
    assert noise[:8] == bytes(8)


values = st.one_of(
    st.integers(0, 2**32 - 1), st.booleans(), st.text(max_size=20),
    st.floats(width=32, allow_nan=False),
    st.lists(st.text(max_size=5), min_size=1, max_size=9),
    st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1, max_size=9),
)  # fmt: skip


@settings(deadline=None)
@given(st.dictionaries(st.text(min_size=1, max_size=9), values, max_size=9))
def test_reads_what_was_written(tmp_path_factory, metadata):
    file = GgufFile("llama")
    file.metadata |= metadata | {"general.architecture": "llama"}
    path = file.write(tmp_path_factory.mktemp("pairs") / "model.gguf")
    assert read_header(path).metadata == file.metadata
