"""Origins, secrets and tokens."""

from datetime import timedelta

import pytest
from django.core.exceptions import PermissionDenied
from django.utils import timezone

from support.chat import visitors
from support.models import Site, Visitor
from tests.factories import make_conversation, make_site

SITE = Site(allowed_origins="https://shop.example\nhttp://localhost:3000")


@pytest.mark.parametrize(
    ("origin", "is_allowed"),
    [
        ("https://shop.example", True),
        ("https://SHOP.example", True),
        ("http://localhost:3000", True),
        ("https://chat.example", True),  # the server's own host
        ("", False),
        ("null", False),
        ("http://shop.example", False),
        ("https://shop.example:8443", False),
        ("https://shop.example.evil.com", False),
        ("https://evil.com#https://shop.example", False),
        ("https://evil.com/https://shop.example", False),
        ("https://shop.example/", False),
        ("https://user@shop.example", False),
        ("https://shop.example.", False),
        ("file://", False),
    ],
)
def test_origins_must_match_exactly(origin, is_allowed):
    assert visitors.is_allowed_origin(SITE, origin, "chat.example") is is_allowed


@pytest.mark.django_db
class TestSessions:
    def test_a_token_opens_its_own_conversation(self):
        session = visitors.start_session(make_site())
        claims = visitors.read_token(session.token)
        assert claims.conversation_id == session.conversation.id

    def test_only_the_hash_of_the_secret_is_stored(self):
        session = visitors.start_session(make_site())
        assert session.renewal not in str(Visitor.objects.values_list())

    def test_a_secret_renews_the_same_conversation(self):
        site = make_site()
        session = visitors.start_session(site)
        renewed = visitors.renew_session(site, session.renewal)
        assert renewed.conversation == session.conversation

    def test_an_unknown_secret_is_refused(self):
        with pytest.raises(PermissionDenied):
            visitors.renew_session(make_site(), "guess")

    def test_a_secret_of_another_site_is_refused(self):
        session = visitors.start_session(make_site())
        with pytest.raises(PermissionDenied):
            visitors.renew_session(make_site(), session.renewal)

    @pytest.mark.parametrize(
        "values",
        [
            {"revoked_at": timezone.now()},
            {"last_seen_at": timezone.now() - timedelta(days=31)},
        ],
        ids=["revoked", "too old"],
    )
    def test_a_dead_secret_is_refused(self, values):
        site = make_site()
        session = visitors.start_session(site)
        Visitor.objects.update(**values)
        with pytest.raises(PermissionDenied):
            visitors.renew_session(site, session.renewal)

    def test_a_token_expires(self, settings):
        settings.TOKEN_LIFETIME_S = -1
        session = visitors.start_session(make_site())
        with pytest.raises(visitors.TokenExpired):
            visitors.read_token(session.token)

    @pytest.mark.parametrize(
        "change", [lambda t: t[:-1], lambda t: "x" + t, lambda t: ""]
    )
    def test_a_changed_token_is_refused(self, change):
        session = visitors.start_session(make_site())
        with pytest.raises(visitors.TokenInvalid):
            visitors.read_token(change(session.token))

    def test_the_token_of_a_closed_site_is_refused(self):
        conversation = make_conversation()
        Site.objects.update(is_active=False)
        token = visitors.sign_token(conversation, conversation.site)
        with pytest.raises(visitors.TokenInvalid):
            visitors.check_session(visitors.read_token(token))


@pytest.mark.parametrize("token", ["a\ud800:b:c", "::", "a:b:c", "\x00"])
def test_a_token_of_any_characters_is_refused(token):
    with pytest.raises(visitors.TokenInvalid):
        visitors.read_token(token)


@pytest.mark.parametrize("origin", ["http://[", "https://[::1", "http://\ud800"])
def test_an_origin_that_is_no_url_is_refused(origin):
    assert not visitors.is_allowed_origin(SITE, origin, "chat.example")
