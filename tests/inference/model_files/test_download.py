"""Fetching models from a stand-in that cuts, lies, gates and redirects."""

import hashlib
import shutil
import threading

import pytest

from inference.errors import DownloadFailed
from inference.model_files import download
from inference.model_files.download import Patience, pull
from inference.model_files.remote import RemoteFile
from tests.inference import toy_models
from tests.inference.model_files.hub import Hub, serve

REPO, NAME = "owner/model-GGUF", "model-Q4.gguf"


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("pulled") / "model.gguf"
    return toy_models.dense().write(path).read_bytes()


@pytest.fixture
def hub(model):
    hub = Hub()
    hub.files[NAME] = model
    with serve(hub, "hub") as hub.endpoint, serve(hub, "cdn") as hub.cdn:
        yield hub


@pytest.fixture
def told():
    """Return what progress was told."""
    return []


@pytest.fixture
def fetch(hub, tmp_path, told):
    def run(name=NAME, token="", sha256="", tries=3, **values):
        values = {"endpoint": hub.endpoint, "token": token} | values
        file = RemoteFile(REPO, name, **values)
        return pull(
            file, tmp_path, lambda *seen: told.append(seen), sha256,
            Patience(tries, 0.0),
        )  # fmt: skip

    return run


def left_over(folder):
    return [path for path in folder.rglob("*") if path.suffix == ".part"]


def refuse(fetch, match, **values):
    with pytest.raises(DownloadFailed, match=match):
        fetch(**values)


def test_fetches_a_file_by_way_of_a_redirect(fetch, hub, tmp_path, model):
    (path,) = fetch(name=f"sub/{NAME}", revision="v1.0")
    assert path == tmp_path / REPO / NAME
    assert path.read_bytes() == model
    assert hub.asked()[0][2] == f"/{REPO}/resolve/v1.0/sub/{NAME}"
    assert left_over(tmp_path) == []


def test_tells_how_far_it_is(fetch, told, model):
    fetch()
    assert told[-1] == (NAME, len(model), len(model))


def test_goes_on_where_the_connection_was_cut(fetch, hub, model):
    hub.cuts = [100_000, 50_000]
    (path,) = fetch()
    assert path.read_bytes() == model
    assert hub.ranges() == [None, "bytes=100000-", "bytes=150000-"]


def test_goes_on_after_a_pull_that_gave_up(fetch, hub, tmp_path, model):
    hub.cuts = [100_000, 0, 0, 0]
    refuse(fetch, "the same command goes on")
    assert [path.stat().st_size for path in left_over(tmp_path)] == [100_000]
    (path,) = fetch()
    assert path.read_bytes() == model
    assert hub.ranges()[-1] == "bytes=100000-"


def test_begins_again_where_the_server_has_no_ranges(fetch, hub, model):
    hub.cuts, hub.has_ranges = [100_000], False
    (path,) = fetch()
    assert path.read_bytes() == model


def test_a_size_that_is_told_late_is_minded_too(fetch, hub, model):
    hub.tells_checksum, hub.cuts = False, [100_000]
    (path,) = fetch()
    assert path.read_bytes() == model
    assert hub.ranges() == [None, "bytes=100000-"]


def test_mixes_nothing_with_a_file_that_was_replaced(fetch, hub, model):
    hub.cuts = [100_000, 0, 0, 0]
    refuse(fetch, "goes on")
    hub.files[NAME] = model[:-4] + b"\0\0\0\0"
    (path,) = fetch()
    assert path.read_bytes() == hub.files[NAME]


def test_a_wrong_checksum_leaves_nothing(fetch, hub, tmp_path):
    hub.false_checksum = "0" * 64
    refuse(fetch, "has the checksum .*, not 000.* was deleted")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_checksum_of_ones_own_is_checked(fetch, hub, model):
    hub.tells_checksum = False
    refuse(fetch, "not 111", sha256="1" * 64)
    assert fetch(sha256=hashlib.sha256(model).hexdigest().upper())


def test_a_checksum_that_the_server_contradicts_saves_the_way(fetch, hub):
    refuse(fetch, "on the server, not 111", sha256="1" * 64)
    assert hub.asked("cdn", "GET") == []


def test_what_is_there_is_not_fetched_again(fetch, hub):
    assert fetch() == fetch()
    assert len(hub.asked("cdn", "GET")) == 1


def test_a_damaged_copy_is_replaced(fetch, model):
    (path,) = fetch()
    path.write_bytes(model[:-1] + b"x")
    fetch()
    assert path.read_bytes() == model


def test_a_gated_model_needs_a_token(fetch, hub):
    hub.token = "hf_secret"
    refuse(fetch, "needs a token: set HF_TOKEN")
    refuse(fetch, "not allowed to read it", token="hf_wrong")


def test_the_token_goes_to_the_endpoint_alone(fetch, hub, told, caplog):
    hub.token = "hf_secret"
    fetch(token="hf_secret")
    assert {r[3].get("Authorization") for r in hub.asked()} == {"Bearer hf_secret"}
    assert not any("Authorization" in r[3] for r in hub.requests if r[0] == "cdn")
    assert "hf_secret" not in caplog.text + repr(told)


def test_a_token_is_in_no_message(fetch, hub):
    hub.statuses = [500] * 9
    with pytest.raises(DownloadFailed) as caught:
        fetch(token="hf_secret")
    assert "hf_secret" not in f"{caught.value!r} {caught.value.__cause__!r}"
    assert "hf_secret" not in repr(RemoteFile(REPO, NAME, token="hf_secret"))


def test_names_what_is_not_there(fetch):
    refuse(fetch, f"no other.gguf in {REPO} at main", name="other.gguf")


def test_a_busy_server_is_asked_again(fetch, hub, model):
    hub.statuses = [503, 429]
    assert fetch()[0].read_bytes() == model


def test_a_server_that_stays_busy_is_left_alone(fetch, hub):
    hub.statuses = [503] * 9
    refuse(fetch, "answered 503")
    assert len(hub.requests) == 3


def test_a_server_that_is_not_there(fetch, hub):
    refuse(fetch, "cannot be reached", endpoint="http://127.0.0.1:9")


def test_redirects_end(fetch, hub):
    hub.loops = True
    refuse(fetch, "more than 8 times")


def test_a_redirect_to_a_file_is_not_followed(fetch, hub):
    hub.cdn = "file:///etc"
    refuse(fetch, "unsafe address")


def test_a_full_disk_is_seen_before(fetch, hub, monkeypatch):
    monkeypatch.setattr(download, "SPARE_BYTES", shutil.disk_usage("/").total * 2)
    refuse(fetch, "more bytes, and the disk of")
    assert hub.asked("cdn", "GET") == []


def test_a_page_instead_of_a_model_is_refused(fetch, hub, tmp_path):
    hub.files[NAME] = b"<html>Come in</html>"
    refuse(fetch, "what came is no model: .* not a GGUF file")
    assert left_over(tmp_path) == []


def test_two_at_once_do_not_disturb_each_other(fetch, hub, model):
    hub.hold, hub.cuts = threading.Event(), [100_000]
    done = []
    first = threading.Thread(target=lambda: done.extend(fetch(tries=5)))
    first.start()
    assert hub.is_sent.wait(10)
    refuse(fetch, "another process")
    hub.hold.set()
    first.join(20)
    assert done[0].read_bytes() == model


@pytest.fixture
def split(hub, model):
    names = [f"big-{n:05}-of-00003.gguf" for n in (1, 2, 3)]
    hub.files |= dict.fromkeys(names, model)
    return names


def test_all_parts_of_a_split_model_are_fetched(fetch, split, tmp_path):
    paths = fetch(name=split[1])
    assert [path.name for path in paths] == split
    assert all(path.is_file() for path in paths)


def test_one_checksum_is_not_for_three_parts(fetch, split):
    refuse(fetch, "has 3 parts", name=split[0], sha256="1" * 64)


@pytest.mark.parametrize(
    "values",
    [
        ("owner", NAME), ("../x", NAME), ("o/n", "../../etc/passwd.gguf"),
        ("o/n", "/etc/x.gguf"), ("o/n", "model.bin"), ("o/n", NAME, "../main"),
        ("o/n", NAME, "main", "file:///etc"), ("o/n", "a\nb.gguf"), ("o/..", NAME),
    ],
)  # fmt: skip
def test_odd_names_are_refused(values):
    with pytest.raises(ValueError, match=r"not|named"):
        RemoteFile(*values)
