"""HTTP of the widget."""

import json

import pytest
from django.db import OperationalError, connection

from support.models import Conversation, Site
from tests.factories import make_site

pytestmark = pytest.mark.django_db

SHOP = "https://shop.example"


@pytest.fixture
def site():
    return make_site(
        key="shop", allowed_origins=SHOP, suggested_questions="One?\n\nTwo?"
    )


def post_session(client, body, origin=SHOP):
    return client.post(
        "/widget/session",
        json.dumps(body),
        "application/json",
        headers={"Origin": origin},
    )


class TestSession:
    def test_starts_a_conversation(self, client, site):
        answer = post_session(client, {"site": "shop"}).json()
        assert Conversation.objects.get().pk.hex == answer["conversation"].replace(
            "-", ""
        )
        assert {"token", "renewal", "expires_in_s"} <= set(answer)

    def test_renews_the_same_conversation(self, client, site):
        first = post_session(client, {"site": "shop"}).json()
        again = post_session(
            client, {"site": "shop", "renewal": first["renewal"]}
        ).json()
        assert again["conversation"] == first["conversation"]

    def test_allows_the_page_to_read_it(self, client, site):
        response = post_session(client, {"site": "shop"})
        assert response["Access-Control-Allow-Origin"] == SHOP
        assert "Access-Control-Allow-Credentials" not in response

    @pytest.mark.parametrize(
        ("body", "origin", "status"),
        [
            ({"site": "shop"}, "https://evil.example", 403),
            ({"site": "shop"}, "", 403),
            ({"site": "none"}, SHOP, 404),
            ({"site": 5}, SHOP, 404),
            ({}, SHOP, 404),
            ([], SHOP, 400),
            ({"site": "shop", "renewal": "guess"}, SHOP, 401),
            ({"site": "shop", "renewal": 7}, SHOP, 400),
            ({"site": "\ud800"}, SHOP, 400),
            ({"site": "shop", "renewal": "\ud800"}, SHOP, 400),
            ({"site": "shop"}, "http://[", 403),
        ],
    )
    def test_refuses_in_words(self, client, site, body, origin, status):
        response = post_session(client, body, origin)
        assert response.status_code == status
        assert response.json()["error"]["message"]
        assert Conversation.objects.count() == 0

    def test_refuses_what_is_not_json(self, client, site):
        response = client.post(
            "/widget/session", "{", "application/json", headers={"Origin": SHOP}
        )
        assert response.status_code == 400

    def test_refuses_too_many(self, client, site, settings):
        settings.SESSIONS_PER_HOUR = 2
        statuses = [
            post_session(client, {"site": "shop"}).status_code for _ in range(3)
        ]
        assert statuses == [200, 200, 429]

    def test_renewals_do_not_count_as_new(self, client, site, settings):
        settings.SESSIONS_PER_HOUR = 1
        first = post_session(client, {"site": "shop"}).json()
        body = {"site": "shop", "renewal": first["renewal"]}
        assert [post_session(client, body).status_code for _ in range(3)] == [200] * 3

    def test_a_preflight_is_answered(self, client, site):
        response = client.options("/widget/session", headers={"Origin": SHOP})
        assert response.status_code == 204
        assert response["Access-Control-Allow-Origin"] == SHOP

    def test_a_closed_site_is_not_there(self, client, site):
        Site.objects.update(is_active=False)
        assert post_session(client, {"site": "shop"}).status_code == 404


class TestConfig:
    def test_tells_the_public_texts(self, client, site):
        response = client.get("/widget/config?site=shop", headers={"Origin": SHOP})
        config = response.json()
        assert config["suggested_questions"] == ["One?", "Two?"]
        assert config["limits"]["message_characters"] == 2000

    def test_pages_of_this_server_need_no_list(self, client, site):
        headers = {"Sec-Fetch-Site": "same-origin"}
        response = client.get("/widget/config?site=shop", headers=headers)
        assert response.status_code == 200

    def test_other_pages_are_refused(self, client, site):
        headers = {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}
        response = client.get("/widget/config?site=shop", headers=headers)
        assert response.status_code == 403


def test_the_script_may_be_used_everywhere(client):
    response = client.get("/widget.js")
    assert response["Content-Type"] == "text/javascript"
    assert response["Access-Control-Allow-Origin"] == "*"
    assert b"attachShadow" in response.content


def test_the_script_is_not_sent_again_unchanged(client):
    tag = client.get("/widget.js")["ETag"]
    again = client.get("/widget.js", headers={"If-None-Match": tag})
    assert again.status_code == 304


def test_pages_carry_a_strict_policy(client):
    policy = client.get("/widget.js")["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "script-src 'self'" in policy


def test_a_database_that_is_away_is_said_so(client, site):
    def fail(*_):
        raise OperationalError("couldn't get a connection after 5.00 sec")

    with connection.execute_wrapper(fail):
        response = post_session(client, {"site": "shop"})
    assert response.status_code == 503
    assert response.json()["error"]["code"] == "unavailable"
    assert response["Retry-After"] == "3"
    assert response["Access-Control-Allow-Origin"] == SHOP
