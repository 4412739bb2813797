"""Engines' figures on their way from the worker to the page and to Prometheus."""

import re
from datetime import timedelta

import pytest
from django.utils import timezone

from inference import registry
from inference.backends.base import Backend
from inference.engine_stats import EngineStats
from support.models import EngineReport
from support.monitoring import engines
from support.monitoring.engines import read_engines, store_reports
from tests.factories import make_backend

pytestmark = pytest.mark.django_db

STATS = EngineStats(
    num_running=3, num_waiting=2, num_cells=8192, num_used_cells=1024, num_steps=7,
    num_preemptions=4, num_prompt_tokens=1000, num_cached_tokens=750,
    num_written_tokens=90, num_drafted_tokens=40, num_accepted_tokens=30,
    num_restarts=1, num_poisonous=5, last_step_s=0.0123, mean_step_s=0.0456,
    tokens_per_s=61.5, own_bytes=61_000_000, cache_bytes=8192 * 1000,
)  # fmt: skip


class EngineBackend(Backend):
    name = model = "local"

    def stream(self, request, deadlines, cancel):
        raise AssertionError("nobody asks it")

    def read_engine(self):
        return STATS


@pytest.fixture
def running(monkeypatch):
    """A worker of this process with one engine."""
    make_backend(name="local")
    monkeypatch.setattr(registry, "build_backend", lambda row: EngineBackend())
    registry.warm_up()
    yield
    registry.close()


def report(worker="host:1", backend="local", age_s=0.0, **more) -> EngineReport:
    at = timezone.now() - timedelta(seconds=age_s)
    figures = {"num_running": 3} | more
    return EngineReport.objects.create(
        worker=worker, backend=backend, at=at, figures=figures
    )


def test_a_worker_writes_the_figures_of_its_engines_down(running):
    store_reports()
    store_reports()
    [engine] = read_engines()
    assert (engine.backend, engine.stats) == ("local", STATS)


def test_a_worker_without_an_engine_writes_nothing(django_assert_num_queries):
    with django_assert_num_queries(0):
        store_reports()


def test_figures_of_an_engine_that_ended_are_left_out_and_thrown_away(running):
    report(age_s=60)
    report("host:2", age_s=7200)
    assert read_engines() == []
    store_reports()
    assert EngineReport.objects.count() == 2
    assert [engine.worker for engine in read_engines()] != ["host:1"]


def test_figures_of_another_version_are_read_as_far_as_they_are_known():
    report(num_unheard_of=9)
    [engine] = read_engines()
    assert engine.stats == EngineStats(num_running=3)


def test_the_reporter_goes_on_after_an_error(running, monkeypatch, caplog):
    calls = []

    def store():
        calls.append(1)
        raise ValueError("away")

    monkeypatch.setattr(engines, "store_reports", store)
    monkeypatch.setattr(engines, "REPORT_S", 0.01)
    reporter = engines.EngineReporter()
    reporter.start()
    while len(calls) < 3:
        pass
    reporter.stop()
    assert "the engines could not be reported: away" in caplog.text


def test_the_page_shows_each_engine(running, admin_client):
    store_reports()
    page = admin_client.get("/admin/monitoring/").content.decode()
    [table] = re.findall(r'hidden">Engines</caption>(.*?)</table>', page, re.S)
    cells = re.findall(r"<td>(.*?)</td>", table.partition("<tbody>")[2])
    assert cells == [
        "3", "2", "1,024", "8,192", "75.0 %", "12.3", "45.6", "61.5", "75.0 %", "4",
        "1", "5", "8.19 MB, 1 kB a token", "61 MB",
    ]  # fmt: skip


def test_the_page_has_no_table_without_an_engine(admin_client):
    assert b"Engines</caption>" not in admin_client.get("/admin/monitoring/").content


def test_prometheus_reads_each_engine(running, client, settings):
    settings.METRICS_TOKEN = "letmein"
    report("host:2", num_running=8)
    store_reports()
    response = client.get("/metrics", HTTP_AUTHORIZATION="Bearer letmein")
    lines = response.content.decode().splitlines()
    found = [line for line in lines if line.startswith("chat_engine_")]
    assert 'chat_engine_running{backend="local",worker="host:2"} 8.0' in found
    values = {line.split("{")[0]: float(line.split()[-1]) for line in found}
    assert values["chat_engine_cached_tokens_total"] in (750.0, 0.0)
    assert values["chat_engine_kv_cells_used"] in (1024.0, 0.0)
    assert len(values) == 19
