"""Sessions: a dump of the database holds none that could be used.

Threat: Django stores session keys and data as they are. Whoever reads the table, or a backup of it, puts a
key into a cookie and is that person; and a seed of a second factor that is being set up lies beside it.
Guarantee: the row is found by the SHA-256 of its key, which has 160 random bits, and its data is encrypted
(security.encryption) with the key itself as the name of the row. A session ends after
``SESSION_IDLE_SECONDS`` without a request and ``SESSION_COOKIE_AGE`` after sign-in, whatever happens in it.
The row names the person, so that sessions can be listed and ended.

Settings: SESSION_ENGINE, SESSION_COOKIE_AGE, SESSION_IDLE_SECONDS. ASVS 7.1.1, 7.3.1, 7.3.2, 7.4.2, 7.5.2.
"""

import hashlib
import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, ClassVar

from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore as DatabaseStore
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from security.encryption import CannotDecrypt, decrypt, encrypt
from security.identifiers import uuid7

PLACE = {"table": "accounts_session", "column": "session_data"}
#: What the row says of a signed-in session; kept in its data, as Django writes rows from data.
ROW = "row"
#: ``last_seen_at`` is written when it is older than this.
SEEN_SECONDS = 60


class SessionStore(DatabaseStore):
    """SESSION_ENGINE. There is no asynchronous server here: the asynchronous methods are not closed."""

    clock: ClassVar[Callable[[], datetime]] = timezone.now

    model: Any  # its type is the model's

    def __init__(self, session_key: str | None = None) -> None:
        super().__init__(session_key)
        #: The row's name in lists. A new key is a new row with a new name.
        self.public_id = uuid7()

    @classmethod
    def get_model_class(cls) -> Any:
        from accounts.models import Session

        return Session

    # --- reading ---

    def load(self) -> dict[str, Any]:
        now = type(self).clock()
        row = self.model.objects.filter(session_key=digest(self.session_key), expire_date__gt=now).first()
        if row is None or row.last_seen_at < now - timedelta(seconds=settings.SESSION_IDLE_SECONDS):
            self._session_key = None
            return {}
        try:
            data: dict[str, Any] = json.loads(decrypt(row.session_data, **PLACE, row=str(self.session_key)))
        except CannotDecrypt:
            self._session_key = None
            return {}
        self.public_id = row.public_id
        if row.last_seen_at < now - timedelta(seconds=SEEN_SECONDS):
            self.model.objects.filter(pk=row.pk).update(last_seen_at=now)
        return data

    def exists(self, session_key: str) -> bool:
        return bool(self.model.objects.filter(session_key=digest(session_key)).exists())

    def is_open(self) -> bool:
        """Whether it still is. It was when the request began; since then a lock may have made it wait."""
        return self.exists(self.session_key or "")

    # --- writing ---

    def create(self) -> None:
        self.public_id = uuid7()
        super().create()

    def create_model_instance(self, data: dict[str, Any]) -> Any:
        key: str = self._get_or_create_session_key()  # type: ignore[attr-defined]  # not in the stubs
        now = type(self).clock()
        row = data.get(ROW, {})
        started = parse_datetime(row.get("created_at", "")) or now
        return self.model(
            session_key=digest(key),
            public_id=self.public_id,
            session_data=encrypt(json.dumps(data), **PLACE, row=key),
            expire_date=started + timedelta(seconds=settings.SESSION_COOKIE_AGE),
            user_id=data.get(SESSION_KEY),
            created_at=started,
            last_seen_at=now,
            address=row.get("address"),
            user_agent=row.get("user_agent", ""),
            second_factor="mfa" in data.get("amr", []),
        )

    async def acreate_model_instance(self, data: dict[str, Any]) -> Any:
        # Refused on purpose: the service is synchronous.
        raise NotImplementedError("a session written here would be stored as it is")

    def delete(self, session_key: str | None = None) -> None:
        key = session_key or self.session_key
        if key is not None:
            self.model.objects.filter(session_key=digest(key)).delete()


def digest(session_key: str | None) -> str:
    """What is stored of a session's key."""
    return hashlib.sha256((session_key or "").encode()).hexdigest()
