"""What whoever finds a copy of the database has, and what they would look for in it."""

import base64
import contextlib

from django.db import connection


def dump() -> bytes:
    """Every row of every table, as pg_dump writes them."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        tables = [name for (name,) in cursor.fetchall()]
    text = b""
    for table in tables:
        with (
            connection.connection.cursor() as raw,
            raw.copy(f'COPY (SELECT * FROM "{table}") TO STDOUT') as copy,
        ):
            text += b"".join(copy)
    return text


def spellings(secret: str) -> set[bytes]:
    """As text, in groups of four, in small and capital letters, in hexadecimal, in base64 at each offset, and
    what it says if it is base64 itself."""
    groups = [secret[at : at + 4] for at in range(0, len(secret), 4)]
    texts = {secret, " ".join(groups), "-".join(groups), secret.replace(" ", "")}
    raws = {spelled.encode() for text in texts for spelled in (text, text.lower(), text.upper())}
    with contextlib.suppress(ValueError):
        raws.add(base64.urlsafe_b64decode(secret + "=" * (-len(secret) % 4)))
    found = {text.encode() for text in texts} | {text.lower().encode() for text in texts}
    for raw in raws:
        found |= {raw.hex().encode(), raw.hex().upper().encode(), raw[::-1]}
        for offset in range(3):
            # The characters that depend on what is before or after are cut off.
            encoded = base64.b64encode(b"\0" * offset + raw)
            middle = encoded[4 if offset else 0 : len(encoded) - 4]
            found |= {middle, middle.translate(bytes.maketrans(b"+/", b"-_"))}
    return {spelling for spelling in found if len(spelling) >= 8}


def in_dump(secrets: dict[str, str]) -> set[str]:
    """The names of those that a copy of the database shows."""
    text = dump()
    return {name for name, secret in secrets.items() if any(each in text for each in spellings(secret))}
