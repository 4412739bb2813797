"""A person of the staff with a browser's cookies, at a running server's admin."""

import json
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

import httpx2

from tests.system.server import Server

BACKENDS = "/admin/inference/backend/"


class Staff:
    """Logs in; `saved_at` is when the answer to the last form came."""

    def __init__(self, server: Server) -> None:
        self._client = httpx2.Client(base_url=server.url, trust_env=False, timeout=20)
        self.saved_at = datetime.now(UTC)
        self._client.get("/admin/login/")
        self.save("/admin/login/", username="staff", password=server.password)

    def save(self, path: str, **values: object) -> None:
        """Post a form; it must be taken, which a page with errors is not.

        Where it leads to the card before a switch, that is confirmed.
        """
        values["csrfmiddlewaretoken"] = self._client.cookies["csrftoken"]
        response = self._client.post(path, data=values)
        self.saved_at = datetime.now(UTC)
        assert response.status_code == 302, response.text
        card = urlsplit(response.headers["location"])
        if card.path.endswith("/switch/"):
            self.save(card.path, set=parse_qs(card.query)["set"])

    def save_backend(self, path: str, name: str, *scripts: str, position: int) -> None:
        """Save the form of a scripted backend; `path` says of which, or "add/"."""
        self.save(
            BACKENDS + path,
            name=name,
            kind="scripted",
            options=json.dumps({"scripts": list(scripts)}),
            is_enabled="on",
            position=position,
            weight=1,
            connect_s=3,
            first_token_s=15,
            gap_s=15,
        )

    def save_positions(self, positions: dict[int, int]) -> None:
        """Save the list of backends with these positions, by id; all are enabled."""
        form = {"form-TOTAL_FORMS": len(positions), "_save": "Save"}
        form["form-INITIAL_FORMS"] = len(positions)
        for number, (pk, position) in enumerate(positions.items()):
            form |= {
                f"form-{number}-id": pk,
                f"form-{number}-position": position,
                f"form-{number}-weight": 1,
                f"form-{number}-is_enabled": "on",
            }
        self.save(BACKENDS, **form)

    def close(self) -> None:
        self._client.close()
