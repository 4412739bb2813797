"""What calls cost."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.core.exceptions import ValidationError

from inference import registry
from inference.models import Backend, BackendKind, Price
from inference.pricing import build_highest_cost
from inference.types import AttemptOutcome, AttemptReport, Usage
from tests.factories import make_attempt, make_backend, make_turn

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
    return registry.bill(report).cost_usd


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

    @pytest.mark.parametrize("model", ["gpt-4o-mini", "no-such-model"])
    def test_a_call_that_was_not_accepted_costs_nothing(self, model):
        make_cloud(model=model)
        refused = AttemptReport(
            "cloud", model, 1, AttemptOutcome.FAILED, AT, 9, error="Unavailable"
        )
        assert registry.bill(refused).cost_usd == 0

    @pytest.mark.parametrize(
        ("kind", "model", "usage", "usd"),
        [
            # 60 + 30 at $3, 400 at $0.30, 500 at $3.75 and 20 at $15 a million
            (
                BackendKind.ANTHROPIC,
                "claude-sonnet-4-5",
                Usage(990, 20, cached_tokens=400, cache_write_tokens=500),
                "0.002565",
            ),
            # 600 at $0.25, 400 at $0.025 and 100, thoughts and all, at $2
            (
                BackendKind.OPENAI,
                "gpt-5-mini",
                Usage(1000, 100, cached_tokens=400, reasoning_tokens=64),
                "0.00036",
            ),
            # 700 at $0.30, 300 at $0.03 and 50 at $2.50
            (
                BackendKind.GEMINI,
                "gemini-2.5-flash",
                Usage(1000, 50, cached_tokens=300, reasoning_tokens=30),
                "0.000344",
            ),
        ],
    )
    def test_a_provider_is_known_by_its_kind(self, kind, model, usage, usd):
        Backend.objects.create(name="cloud", kind=kind, model=model)
        assert price(model=model, usage=usage) == Decimal(usd)

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

    def test_a_server_in_the_house_sends_no_bills(self):
        make_cloud("http://localhost:8080/v1", is_in_house=True)
        assert price() == 0


class TestOperatorsPrices:
    def test_they_go_before_the_published_ones(self):
        make_price(make_cloud())
        assert price() == Decimal("0.002")

    def test_cached_tokens_have_their_own_price(self):
        make_price(make_cloud(), cached_input_usd_per_mtok=Decimal("0.5"))
        assert price() == Decimal("0.0018")

    def test_each_kind_of_token_can_have_its_own_price(self):
        make_price(
            make_cloud(),
            cached_input_usd_per_mtok=Decimal("0.1"),
            cache_write_usd_per_mtok=Decimal("1.25"),
            reasoning_usd_per_mtok=Decimal(20),
        )
        usage = Usage(1000, 100, 400, reasoning_tokens=30, cache_write_tokens=200)
        # 400 at $1, 400 at $0.10, 200 at $1.25, 70 at $10 and 30 at $20 a million
        assert price(usage=usage) == Decimal("0.00199")

    def test_what_has_no_price_of_its_own_costs_what_its_kind_costs(self):
        make_price(make_cloud())
        usage = Usage(1000, 100, 400, reasoning_tokens=30, cache_write_tokens=200)
        assert price(usage=usage) == Decimal("0.002")

    def test_halves_of_the_last_place_go_to_the_even_digit(self):
        rates = {"input_usd_per_mtok": Decimal("0.005"), "output_usd_per_mtok": 0}
        make_price(make_cloud(), **rates)
        costs = [price(usage=Usage(tokens, 0)) for tokens in (1, 3)]
        assert costs == [Decimal("0"), Decimal("0.00000002")]

    def test_one_that_has_ended_counts_no_more(self):
        cloud = make_cloud()
        make_price(cloud, days_ago=30, output_usd_per_mtok=30)
        make_price(cloud, days_ago=9, output_usd_per_mtok=20, valid_to=AT)
        assert price() == Decimal("0.004")

    def test_a_new_price_leaves_what_was_billed_as_it_is(self):
        cloud = make_cloud()
        make_price(cloud)
        attempt = make_attempt(make_turn(), backend="cloud", cost_usd=price())
        Price.objects.update(output_usd_per_mtok=99)
        make_price(cloud, days_ago=0, input_usd_per_mtok=99)
        attempt.refresh_from_db()
        assert attempt.cost_usd == Decimal("0.002")

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


class TestTheMostThatACallMayCost:
    """Whatever its tokens turn out to be."""

    BOUND = Usage(1000, 100)

    def find(self) -> Decimal | None:
        row = Backend.objects.get(name="cloud")
        return build_highest_cost(self.BOUND, row, AT)

    def test_all_is_written_to_the_cache_and_thought(self):
        parts = {"cache_write_usd_per_mtok": 2, "reasoning_usd_per_mtok": 30}
        make_price(make_cloud(), **parts)
        assert self.find() == Decimal("0.005")

    def test_by_the_published_prices(self):
        kind = BackendKind.ANTHROPIC
        Backend.objects.create(name="cloud", kind=kind, model="claude-sonnet-4-5")
        # all at $3.75, the price of what is written, and $15
        assert self.find() == Decimal("0.00525")

    def test_it_is_unknown_without_a_price(self):
        make_cloud(model="no-such-model")
        assert self.find() is None

    def test_it_is_nothing_where_no_bill_comes(self):
        make_backend(name="cloud")
        assert self.find() == 0
