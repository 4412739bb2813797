"""What calls cost."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.core.exceptions import ValidationError

from inference import registry
from inference.models import Backend, BackendKind, Price
from inference.types import AttemptOutcome, AttemptReport, Usage
from tests.factories import make_backend

pytestmark = pytest.mark.django_db

AT = datetime(2026, 11, 1, 12, tzinfo=UTC)
USAGE = Usage(prompt_tokens=1000, completion_tokens=100, cached_tokens=400)


def make_cloud(endpoint="https://api.openai.com/v1", **values) -> Backend:
    values = {"name": "cloud", "model": "gpt-4o-mini", "key": "sk-secret"} | values
    kind = BackendKind.OPENAI_COMPATIBLE
    return Backend.objects.create(kind=kind, endpoint=endpoint, **values)


def make_price(backend=None, model="", days_ago=1, **values) -> Price:
    values = {"input_usd_per_mtok": 1, "output_usd_per_mtok": 10} | values
    valid_from = AT - timedelta(days=days_ago)
    return Price.objects.create(
        backend=backend, model=model, valid_from=valid_from, **values
    )


def price(backend="cloud", model="gpt-4o-mini", usage=USAGE) -> Decimal | None:
    completed = AttemptOutcome.COMPLETED
    report = AttemptReport(backend, model, 1, completed, AT, 900, usage=usage)
    return registry.price(report)


class TestPublishedPrices:
    def test_cached_tokens_have_their_own_price(self):
        make_cloud()
        # 600 at $0.15, 400 at $0.075 and 100 at $0.60 a million
        assert price() == Decimal("0.00018")

    def test_a_dated_model_costs_what_its_family_costs(self):
        make_cloud()
        assert price(model="gpt-4o-mini-2024-07-18") == Decimal("0.00018")

    def test_the_asked_name_counts_where_the_answering_one_is_unknown(self):
        make_cloud()
        assert price(model="some-deployment-7") == Decimal("0.00018")

    @pytest.mark.parametrize(
        ("endpoint", "model"),
        [
            ("https://api.openai.com/v1", "no-such-model"),
            ("http://localhost:8080/v1", "gpt-4o-mini"),
            ("", "gpt-4o-mini"),
            # listed, but with no rates at all
            ("https://api.cerebras.ai/v1", "qwen-3-coder-480b"),
        ],
    )
    def test_what_is_not_listed_is_unpriced(self, endpoint, model):
        make_cloud(endpoint, model=model)
        assert price(model=model) is None

    def test_a_call_of_unknown_usage_is_unpriced(self):
        make_cloud()
        assert price(usage=None) is None

    def test_an_unused_call_of_a_listed_model_is_free(self):
        make_cloud()
        assert price(usage=Usage(0, 0)) == 0

    def test_a_backend_that_is_gone_is_unpriced(self):
        assert price() is None


class TestLocalModels:
    @pytest.mark.parametrize("kind", [BackendKind.LLAMA_CPP, BackendKind.SCRIPTED])
    @pytest.mark.parametrize("usage", [USAGE, None])
    def test_they_cost_nothing_by_the_call(self, kind, usage):
        Backend.objects.create(name="local", kind=kind)
        assert price("local", "fern.gguf", usage) == 0

    def test_a_price_of_the_operator_counts(self):
        make_price(make_backend(name="local"))
        assert price("local", "fern.gguf") == Decimal("0.002")
        assert price("local", "fern.gguf", usage=None) is None


class TestOperatorsPrices:
    def test_they_go_before_the_published_ones(self):
        make_price(make_cloud())
        assert price() == Decimal("0.002")

    def test_cached_tokens_have_their_own_price(self):
        make_price(make_cloud(), cached_input_usd_per_mtok=Decimal("0.5"))
        assert price() == Decimal("0.0018")

    def test_a_model_can_be_free_by_the_operators_word(self):
        make_cloud()
        zero = {"input_usd_per_mtok": 0, "output_usd_per_mtok": 0}
        make_price(model="gpt-4o-mini", **zero)
        assert price() == 0

    def test_the_newest_that_is_valid_wins(self):
        cloud = make_cloud()
        make_price(cloud, days_ago=30, output_usd_per_mtok=30)
        make_price(cloud, days_ago=2, output_usd_per_mtok=20)
        make_price(cloud, days_ago=-1, output_usd_per_mtok=40)
        assert price() == Decimal("0.003")

    def test_the_closer_fit_wins_over_the_newer(self):
        cloud = make_cloud()
        make_price(cloud, "gpt-4o-mini", days_ago=9, output_usd_per_mtok=20)
        make_price(cloud, days_ago=2, output_usd_per_mtok=30)
        make_price(model="gpt-4o-mini", days_ago=1, output_usd_per_mtok=40)
        assert price() == Decimal("0.003")

    def test_those_of_other_backends_and_models_do_not_count(self):
        make_cloud("http://localhost:8080/v1")
        make_price(make_backend(name="other"))
        make_price(model="other")
        assert price() is None

    def test_they_are_asked_for_in_two_queries(self, django_assert_num_queries):
        make_price(make_cloud())
        with django_assert_num_queries(2):
            price()

    def test_a_price_must_be_of_something(self):
        row = Price(input_usd_per_mtok=1, output_usd_per_mtok=1)
        with pytest.raises(ValidationError, match="Choose a backend"):
            row.full_clean()


@pytest.mark.parametrize("has_own", [True, False])
def test_nonsense_is_logged_and_unpriced_and_does_not_raise(has_own, caplog):
    cloud = make_cloud()
    if has_own:
        make_price(cloud)
    more_cached_than_read = Usage(10, 10, cached_tokens=20)
    assert price(usage=more_cached_than_read) is None
    assert "backend=cloud model=gpt-4o-mini unpriced" in caplog.text


def test_an_unreadable_key_does_not_keep_a_call_from_being_priced(settings):
    make_cloud()
    settings.FIELD_ENCRYPTION_KEYS = []
    assert price() == Decimal("0.00018")
