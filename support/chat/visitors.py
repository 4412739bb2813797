"""Who may speak in a conversation: origins, renewal secrets and signed tokens."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit
from uuid import UUID

from django.conf import settings
from django.core import signing
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.utils import timezone

from support.models import Conversation, Site, Visitor

_TOKEN_SALT = "support.visitor-token"  # noqa: S105 - names the purpose of a signature


class TokenInvalid(PermissionDenied):
    """The token was not signed here, or for something else."""


class TokenExpired(PermissionDenied):
    """The token was right but is too old; its holder can renew it."""


@dataclass(frozen=True, slots=True)
class Session:
    """What a browser needs to talk: a token for now, a secret for later."""

    conversation: Conversation
    token: str
    renewal: str


@dataclass(frozen=True, slots=True)
class Claims:
    """What a valid token says: one conversation, one site, until when."""

    conversation_id: UUID
    site_key: str
    expires_at: datetime

    @property
    def is_expired(self) -> bool:
        """Return whether the token's time is over."""
        return timezone.now() >= self.expires_at


def is_allowed_origin(site: Site, origin: str, host: str) -> bool:
    """Return whether pages of `origin` may show the widget of `site`.

    `host` is the Host header of the request: pages of this server always may. The
    comparison is exact on scheme, host and port; no origin is no permission.
    """
    try:
        parts = urlsplit(origin.lower())
    except ValueError:
        return False
    if parts.scheme not in ("http", "https") or not parts.netloc:
        return False
    if f"{parts.scheme}://{parts.netloc}" != origin.lower():
        return False
    return parts.netloc == host.lower() or origin.lower() in site.origins


def start_session(site: Site) -> Session:
    """Return a session of a new conversation. Two queries."""
    renewal = secrets.token_urlsafe(32)
    with transaction.atomic():
        visitor = Visitor.objects.create(
            site=site, renewal_hash=_hash(renewal), last_seen_at=timezone.now()
        )
        conversation = Conversation.objects.create(site=site, visitor=visitor)
    return Session(conversation, sign_token(conversation, site), renewal)


def renew_session(site: Site, renewal: str) -> Session:
    """Return a fresh token for the conversation that `renewal` belongs to.

    Using the secret keeps it alive for another `RENEWAL_LIFETIME_DAYS`. Raises
    PermissionDenied if it is unknown, revoked, too old or of another site.
    """
    oldest = timezone.now() - timedelta(days=settings.RENEWAL_LIFETIME_DAYS)
    visitor = (
        Visitor.objects.filter(
            site=site,
            renewal_hash=_hash(renewal),
            revoked_at__isnull=True,
            last_seen_at__gte=oldest,
        )
        .select_related("conversation")
        .first()
    )
    if visitor is None:
        raise PermissionDenied("This conversation cannot be continued.")
    Visitor.objects.filter(pk=visitor.pk).update(last_seen_at=timezone.now())
    return Session(
        visitor.conversation, sign_token(visitor.conversation, site), renewal
    )


def sign_token(conversation: Conversation, site: Site) -> str:
    """Return a token that opens `conversation` for `TOKEN_LIFETIME_S` seconds."""
    expires_at = timezone.now() + timedelta(seconds=settings.TOKEN_LIFETIME_S)
    value = {
        "conversation": str(conversation.id),
        "site": site.key,
        "expires": int(expires_at.timestamp()),
    }
    return signing.dumps(value, salt=_TOKEN_SALT)


def read_token(token: str) -> Claims:
    """Return what `token` allows; raises TokenExpired or TokenInvalid."""
    try:
        value = signing.loads(token, salt=_TOKEN_SALT)
    except (signing.BadSignature, ValueError) as error:
        raise TokenInvalid("The token is not valid.") from error
    expires_at = datetime.fromtimestamp(value["expires"], tz=UTC)
    claims = Claims(UUID(value["conversation"]), value["site"], expires_at)
    if claims.is_expired:
        raise TokenExpired("The token has expired.")
    return claims


def check_session(claims: Claims) -> Site:
    """Return the site of a token whose conversation may still be used.

    Raises TokenInvalid if the site is off or the visitor was revoked. One query.
    """
    conversation = (
        Conversation.objects.filter(
            pk=claims.conversation_id,
            site__key=claims.site_key,
            site__is_active=True,
            visitor__revoked_at__isnull=True,
        )
        .select_related("site")
        .first()
    )
    if conversation is None:
        raise TokenInvalid("The token is not valid.")
    return conversation.site


def _hash(renewal: str) -> str:
    return hashlib.sha256(renewal.encode("utf-8", "surrogatepass")).hexdigest()
