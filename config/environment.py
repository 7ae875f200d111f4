"""Typed readers for environment variables, each with one clear message when a value is missing or unusable.

A secret is given as ``NAME`` or, better, as ``NAME_FILE``: the path of a file that holds it, as container
platforms mount them. Every name read is remembered, so that a test can hold ``.env.example`` to the list.
"""

import os
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

TRUE = frozenset({"1", "true", "yes", "on"})
FALSE = frozenset({"0", "false", "no", "off", ""})

#: Names read so far. The documentation test compares them with ``.env.example``.
READ: set[str] = set()


def text(name: str, *, default: str | None = None) -> str:
    """The value of ``name``, or ``default``; raises ImproperlyConfigured when there is neither."""
    READ.add(name)
    value = os.environ.get(name, default)
    if value is None:
        raise ImproperlyConfigured(f"{name} is not set. Set the environment variable; see .env.example.")
    return value


def secret(name: str, *, default: str | None = None) -> str:
    """A secret: the content of the file named by ``NAME_FILE``, or the value of ``NAME``."""
    READ.update({name, f"{name}_FILE"})
    path = os.environ.get(f"{name}_FILE")
    if path is None:
        value = os.environ.get(name, default)
        if value is None:
            raise ImproperlyConfigured(
                f"Neither {name} nor {name}_FILE is set. Point {name}_FILE at a file that holds the value; "
                f"see .env.example."
            )
        return value
    if name in os.environ:
        raise ImproperlyConfigured(f"Both {name} and {name}_FILE are set. Keep one.")
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ImproperlyConfigured(f"{name}_FILE cannot be read: {type(error).__name__}.") from None


def boolean(name: str, *, default: bool) -> bool:
    """``on``/``off`` (also 1/0, true/false, yes/no); anything else is refused."""
    value = text(name, default="on" if default else "off").strip().lower()
    if value in TRUE:
        return True
    if value in FALSE:
        return False
    raise ImproperlyConfigured(f"{name} must be on or off.")


def integer(name: str, *, default: int, minimum: int = 0) -> int:
    """A whole number of at least ``minimum``."""
    value = text(name, default=str(default))
    if not value.isascii() or not value.isdigit() or int(value) < minimum:
        raise ImproperlyConfigured(f"{name} must be a whole number of at least {minimum}.")
    return int(value)


def items(name: str, *, default: str | None = None) -> list[str]:
    """A comma-separated list; blanks around and empty items are dropped."""
    return [item.strip() for item in text(name, default=default).split(",") if item.strip()]


def choice(name: str, *, default: str, choices: tuple[str, ...]) -> str:
    """One of ``choices``, in whatever case."""
    value = text(name, default=default).strip().upper()
    if value not in choices:
        raise ImproperlyConfigured(f"{name} must be one of {', '.join(choices)}.")
    return value


def https_origin(name: str) -> str:
    """An absolute https:// origin without path, such as ``https://api.example.com``."""
    value = text(name)
    parts = urlsplit(value)
    if parts.scheme != "https" or not parts.hostname or parts.username or parts.path or parts.query:
        raise ImproperlyConfigured(f"{name} must be an https:// origin without a path, such as https://host.")
    return value


def database(name: str, *, required: bool = True) -> dict[str, Any]:
    """Django's connection settings from ``postgresql://user:password@host:port/name?host=…&sslmode=…``.

    A Unix socket's directory is given as the ``host`` query parameter. Returns an empty dict when the
    variable is absent and not ``required``.
    """
    value = secret(name, default=None if required else "")
    if not value:
        if required:
            raise ImproperlyConfigured(f"{name} is empty. Give postgresql://user:password@host:port/name.")
        return {}
    parts = urlsplit(value)
    try:
        port = parts.port
    except ValueError:
        raise ImproperlyConfigured(f"{name} has a port that is not a number.") from None
    if parts.scheme not in {"postgresql", "postgres"} or not parts.username or not parts.path.strip("/"):
        raise ImproperlyConfigured(f"{name} must be postgresql://user:password@host:port/name.")
    options = {key: values[-1] for key, values in parse_qs(parts.query, keep_blank_values=True).items()}
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.removeprefix("/")),
        "USER": unquote(parts.username),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": options.pop("host", "") or unquote(parts.hostname or ""),
        "PORT": str(port or ""),
        "OPTIONS": options,
    }


def mail(name: str) -> dict[str, Any]:
    """Django's mail settings, without their prefix, from ``smtps://user:password@host:port``.

    ``smtps://`` is TLS from the first byte, ``smtp://`` is STARTTLS and never less; the certificate is
    verified. ``file:///directory`` writes each mail to a file: for demos and tests.
    """
    value = secret(name)
    parts = urlsplit(value)
    try:
        port = parts.port
    except ValueError:
        raise ImproperlyConfigured(f"{name} has a port that is not a number.") from None
    if parts.scheme == "file" and not parts.netloc and parts.path.strip("/"):
        return {"BACKEND": "django.core.mail.backends.filebased.EmailBackend", "FILE_PATH": parts.path}
    if parts.scheme not in {"smtps", "smtp"} or not parts.hostname or parts.path.strip("/"):
        raise ImproperlyConfigured(
            f"{name} must be smtps://user:password@host:port, smtp:// for STARTTLS, or file:///directory."
        )
    implicit = parts.scheme == "smtps"
    return {
        "BACKEND": "django.core.mail.backends.smtp.EmailBackend",
        "HOST": parts.hostname,
        "PORT": port or (465 if implicit else 587),
        "HOST_USER": unquote(parts.username or ""),
        "HOST_PASSWORD": unquote(parts.password or ""),
        "USE_SSL": implicit,
        "USE_TLS": not implicit,
    }


def inherit(base: ModuleType) -> dict[str, Any]:
    """The settings of ``base``, for a settings module that then relaxes some of them by name."""
    return {name: value for name, value in vars(base).items() if name.isupper()}
