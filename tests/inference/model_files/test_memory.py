"""What models need, from their headers; and what llama.cpp then really takes."""

import ctypes
import re

import llama_cpp
import pytest

from inference.engine import llama_context
from inference.engine.binding import LlamaRunner
from inference.engine.config import EngineConfig
from inference.model_files.card import build_card, split_names
from inference.model_files.header import read_header
from inference.model_files.library import list_models, read_model
from inference.model_files.machine import read_free_bytes
from inference.model_files.memory import Load, describe, estimate, find_fitting_cells
from tests.inference import toy_models
from tests.inference.conftest import CHECKPOINT

GB = 10**9
_SIZE = re.compile(r"(\w+) +(KV|RS|compute|output) buffer size = +([\d.]+) MiB")


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    toy_models.write_all(folder)
    (folder / "bundled.gguf").symlink_to(CHECKPOINT)
    return folder


def need_of(path, **values):
    header = read_header(path)
    return estimate(header, build_card(header), Load(**values))


@pytest.fixture
def measure():
    """Return a function that loads a model and returns llama.cpp's own sizes."""

    def run(path, **values):
        sizes = {"KV": 0.0, "RS": 0.0, "compute": 0.0, "output": 0.0}

        def note(_level, text, _):
            if match := _SIZE.search(text.decode(errors="replace")):
                sizes[match[2]] += float(match[3]) * 2**20

        kept = llama_context._LOG_CALLBACK
        llama_context._LOG_CALLBACK = llama_cpp.llama_log_callback(note)
        try:
            LlamaRunner(EngineConfig(str(path), num_threads=1, **values)).close()
        finally:
            llama_context._LOG_CALLBACK = kept
            llama_cpp.llama_log_set(kept, ctypes.c_void_p(0))
        return sizes

    return run


@pytest.mark.parametrize(
    ("name", "values", "load"),
    [
        ("bundled", {}, {}),
        ("bundled", {"num_cells": 30_000}, {"num_cells": 30_000}),
        ("dense", {"kv_type_k": "f16"}, {"kv_type_k": "f16"}),
        ("dense", {"kv_type_v": "q4_0"}, {"kv_type_v": "q4_0"}),
        ("dense", {"max_batch_tokens": 512}, {"batch_tokens": 512}),
        ("dense", {"max_sequences": 40}, {"num_sequences": 44, "num_outputs": 108}),
        ("experts", {}, {}),
        ("windowed", {}, {}),
        ("windowed", {"full_windows": False}, {"has_full_windows": False}),
        ("recurrent", {}, {}),
        ("hybrid", {}, {}),
    ],
)
def test_the_estimate_is_what_llama_takes(models, measure, name, values, load):
    path = models / f"{name}.gguf"
    need, taken = need_of(path, **load), measure(path, **values)
    # llama.cpp tells sizes to two digits
    assert need.cache_bytes == pytest.approx(taken["KV"], abs=2**14)
    assert need.state_bytes == pytest.approx(taken["RS"], abs=2**14)
    computing = taken["compute"] + taken["output"]
    assert computing * 0.95 < need.compute_bytes < computing * 2 + 2**20


def test_without_flash_attention_there_is_a_score_for_each_cell(models, measure):
    path = models / "bundled.gguf"
    plain = {"kv_type_k": "f16", "kv_type_v": "f16"}
    taken = measure(path, flash_attention="off")
    need = need_of(path, has_flash_attention=False, **plain)
    assert need.cache_bytes == pytest.approx(taken["KV"], abs=2**14)
    assert need.compute_bytes == pytest.approx(taken["compute"], rel=0.1)


def test_says_that_a_model_fits(models):
    fits, sentence = describe(read_header(models / "dense.gguf"), Load(), 8 * GB)
    assert fits
    assert "8,192 cells in q8_0" in sentence
    assert sentence.endswith("It fits: 8.0 GB are free.")


def test_says_how_much_would_fit(models):
    header = read_header(models / "bundled.gguf")
    load = Load(num_cells=2**20)
    fits, sentence = describe(header, load, GB)
    cells = find_fitting_cells(header, build_card(header), load, GB)
    assert not fits
    assert cells is not None
    assert f"{cells:,} cells would fit" in sentence
    assert describe(header, Load(num_cells=cells), GB)[0]
    assert not describe(header, Load(num_cells=cells + 256), GB)[0]


def test_says_that_no_context_would_fit(models):
    fits, sentence = describe(read_header(models / "dense.gguf"), Load(), 10**6)
    assert not fits
    assert "A smaller model" in sentence


def test_does_not_guess_what_is_free(models):
    fits, sentence = describe(read_header(models / "dense.gguf"), Load(), None)
    assert fits
    assert "not known" in sentence


def test_a_gpus_memory_is_not_judged(models):
    load = Load(num_gpu_layers=9)
    _, sentence = describe(read_header(models / "dense.gguf"), load, GB)
    assert "the GPU's own memory is not seen" in sentence


class TestMachine:
    def write(self, root, **files):
        for name, text in files.items():
            path = root / name.replace("__", "/").replace("_max", ".max").replace(
                "_current", ".current"
            ).replace("_stat", ".stat")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return read_free_bytes(root)

    def test_reads_what_is_available(self, tmp_path):
        text = "MemTotal: 900 kB\nMemAvailable:     500 kB\n"
        assert self.write(tmp_path, proc__meminfo=text) == 500 * 1024

    def test_a_container_may_have_less(self, tmp_path):
        free = self.write(
            tmp_path, proc__meminfo="MemAvailable: 500 kB\n",
            sys__fs__cgroup__memory_max="300000\n",
            sys__fs__cgroup__memory_current="200000\n",
            sys__fs__cgroup__memory_stat="anon 5\ninactive_file 50000\n",
        )  # fmt: skip
        assert free == 150_000

    def test_a_container_without_a_limit(self, tmp_path):
        free = self.write(
            tmp_path, proc__meminfo="MemAvailable: 500 kB\n",
            sys__fs__cgroup__memory_max="max\n",
            sys__fs__cgroup__memory_current="1\n", sys__fs__cgroup__memory_stat="",
        )  # fmt: skip
        assert free == 500 * 1024

    def test_another_system_does_not_know(self, tmp_path):
        assert read_free_bytes(tmp_path) is None


class TestLibrary:
    def test_lists_cards_and_problems(self, models, tmp_path):
        (tmp_path / "owner").mkdir()
        (tmp_path / "owner" / "a.gguf").symlink_to(models / "experts.gguf")
        (tmp_path / "b.gguf").write_bytes(b"GGUF")
        broken, good = list_models(tmp_path)
        assert (broken.card, "cut off" in broken.problem) == (None, True)
        assert (good.card.architecture, good.card.num_experts) == ("qwen2moe", 4)

    def test_a_split_model_is_one(self, models, tmp_path):
        names = split_names("x-00001-of-00002.gguf")
        for name in names:
            (tmp_path / name).symlink_to(models / "dense.gguf")
        (entry,) = list_models(tmp_path)
        alone = read_header(models / "dense.gguf")
        assert entry.num_bytes == 2 * alone.file_bytes
        assert entry.card.num_parameters == 2 * build_card(alone).num_parameters

    def test_a_part_that_is_missing_is_named(self, models, tmp_path):
        path = tmp_path / "x-00001-of-00002.gguf"
        path.symlink_to(models / "dense.gguf")
        (entry,) = list_models(tmp_path)
        assert "needs x-00002-of-00002.gguf" in entry.problem


@pytest.mark.parametrize("name", ["x-00003-of-00002.gguf", "x-00000-of-00002.gguf"])
def test_parts_that_cannot_be(name):
    with pytest.raises(ValueError, match="is part"):
        split_names(name)


def test_a_card_tells_the_shape(models):
    card = build_card(read_model(models / "hybrid.gguf"))
    assert (card.architecture, card.kv_heads) == ("jamba", (0, 2, 0, 2))
    windowed = build_card(read_model(models / "windowed.gguf"))
    assert windowed.window_layers == {0, 2}
