"""`manage.py models`, against a stand-in for Hugging Face."""

import io
import struct

import pytest
from django.core.management import CommandError, call_command

from inference.models import Backend
from support.management.commands.models import Progress
from tests.inference import toy_models
from tests.inference.model_files.hub import Hub, serve

REPO, NAME = "owner/model-GGUF", "model.gguf"


@pytest.fixture
def folder(settings, tmp_path):
    settings.MODELS_DIR = tmp_path / "models"
    settings.MODELS_DIR.mkdir()
    return settings.MODELS_DIR


@pytest.fixture
def model(folder):
    return toy_models.dense().write(folder / "toy.gguf")


def run(*words):
    out, err = io.StringIO(), io.StringIO()
    call_command("models", *words, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def test_pulls_and_says_where(folder, settings, tmp_path):
    hub = Hub()
    hub.files[NAME] = toy_models.dense().write(tmp_path / "x").read_bytes()
    hub.token = settings.HF_TOKEN = "hf_secret"
    with serve(hub, "hub") as settings.HF_ENDPOINT, serve(hub, "cdn") as hub.cdn:
        out, err = run("pull", REPO, NAME)
    assert out == f"{folder / REPO / NAME}\n"
    assert "(100%)" in err
    assert "hf_secret" not in out + err


def test_a_pull_that_cannot_be_says_why(folder):
    with pytest.raises(CommandError, match="named OWNER/NAME") as caught:
        run("pull", "model", NAME)
    assert caught.value.returncode == 2


@pytest.mark.django_db
def test_lists_what_is_there_and_who_uses_it(folder, model):
    Backend.objects.create(name="toy", kind="llama_cpp", model=str(model))
    (folder / "broken.gguf").write_bytes(b"GGUF" + struct.pack("<I", 3))
    lines = run("list")[0].splitlines()
    assert lines[0].startswith("broken.gguf: 8 B, cannot be used: ")
    assert lines[1].startswith("toy.gguf: llama, ")
    assert "F16" in lines[1]
    assert "context 4,096" in lines[1]
    assert lines[1].endswith("used by toy")


@pytest.mark.django_db
def test_lists_the_bundled_model_of_an_empty_folder(folder):
    Backend.objects.create(name="bundled", kind="llama_cpp")
    first, second = run("list")[0].splitlines()
    assert first.startswith("no models in")
    assert "fern.gguf: llama" in second
    assert second.endswith("used by bundled")


def test_a_model_that_fits(model):
    out, _ = run("check", "toy.gguf", "--context", "1000", "--parallel", "4")
    assert "1,024 cells" in out
    assert "It fits" in out


def test_a_model_that_does_not_fit_ends_with_1(folder):
    file = toy_models.dense()
    file.set(block_count=10_000)
    file.write(folder / "deep.gguf")
    with pytest.raises(SystemExit) as caught:
        run("check", "deep.gguf", "--context", "16000000", "--kv-type-k", "f16")
    assert caught.value.code == 1


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (["nowhere.gguf"], "No such file"),
        (["toy.gguf", "--parallel", "300"], "max_sequences must be"),
        (["toy.gguf", "--kv-type-k", "q5"], "kv_type_k must be one of"),
    ],
)
def test_what_cannot_be_checked_ends_with_2(model, words, match):
    with pytest.raises(CommandError, match=match) as caught:
        run("check", *words)
    assert caught.value.returncode == 2


class TestProgress:
    def tell(self, is_terminal):
        out = io.StringIO()

        class Styled:
            def write(self, text, _style=None, ending="\n"):
                out.write(text + ending)

            def flush(self):
                pass

        progress = Progress(Styled(), is_terminal)
        for number in range(1001):
            progress("x.gguf", number * 1000, 1_000_000)
        return out.getvalue()

    def test_is_one_line_on_a_terminal(self):
        text = self.tell(is_terminal=True)
        assert text.startswith("\rx.gguf: 0 B of 1 MB (0%)")
        assert text.count("\n") == 1

    def test_is_few_lines_in_a_log(self):
        lines = self.tell(is_terminal=False).splitlines()
        assert len(lines) <= 3
        assert lines[-1].startswith("x.gguf: 1 MB of 1 MB (100%)")
