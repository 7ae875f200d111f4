"""``python -m deploy.compose``: the secrets, certificates and start-up files of docker-compose.yml.

Runs in a container of its own before every other service, as root with no capability but CHOWN and without
a network. What it generates is kept in /state, which no other service mounts. Each of them gets a volume
with what is its own, readable by its user alone. Run again, it writes the same values, and a new
certificate when the old one is about to expire.
"""

import hashlib
import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from deploy.local import certificates

STATE = Path("/state")
VOLUMES = Path("/volumes")
COMPOSE = Path(__file__).resolve().parent
ROLES_SQL = COMPOSE.parent / "postgres" / "roles.sql"

API = 10001  # Dockerfile
SERVER = 999  # postgres and valkey in their images
GENERATED = (
    "superuser",
    "owner",
    "service",
    "ops",
    "valkey",
    "secret_key",
    "encryption_key",
    "blind_index_key",
)

PRIVATE = 0o400
PUBLIC = 0o444
EXECUTABLE = 0o555

# The limiter's script and what it calls; the page limits' counters; then what the client library sends when
# it connects.
VALKEY_COMMANDS = (
    "+eval +evalsha +script|load +get +set +exists +incrby +time +ping +hello +select +client|setinfo"
)


@dataclass(frozen=True, slots=True)
class File:
    """One file in a volume, for the user of the service that mounts it."""

    path: str
    content: str
    user: int
    mode: int = PRIVATE


def main() -> None:
    values = _generated()
    certificates.ensure(STATE / "tls")
    for file in _files(values, STATE / "tls"):
        _put(file)
    _give(VOLUMES / "demo", API)


def _files(values: dict[str, str], tls: Path) -> list[File]:
    """Everything that the services find in their volumes."""
    digest = hashlib.sha256(values["valkey"].encode()).hexdigest()
    # The server has the digest alone: a copy of its file does not let anybody in.
    valkey_user = (
        f"user portcullis on #{digest} resetkeys ~throttle:* resetchannels -@all {VALKEY_COMMANDS}\n"
    )
    return [
        File("api/secret_key", values["secret_key"], API),
        File("api/encryption_keys", f"compose:{values['encryption_key']}", API),
        File("api/blind_index_key", values["blind_index_key"], API),
        File("api/database_url", _database_url("service", values), API),
        File("api/valkey_url", f"redis://portcullis:{values['valkey']}@cache:6379/0", API),
        # Written inside the container: docker compose exec api sh -c 'cat /tmp/mail/*'
        File("api/email_url", "file:///tmp/mail", API),
        File("owner/database_owner_url", _database_url("owner", values), API),
        File("owner/database_ops_url", _database_url("ops", values), API),
        File("tls/ca.pem", (tls / "ca.pem").read_text(), API, PUBLIC),
        File("tls/server.pem", (tls / "server.pem").read_text(), API, PUBLIC),
        File("tls/server.key", (tls / "server.key").read_text(), API),
        File("database/superuser_password", values["superuser"], SERVER),
        File("database/owner_password", values["owner"], SERVER),
        File("database/service_password", values["service"], SERVER),
        File("database/ops_password", values["ops"], SERVER),
        File("database-init/roles.sh", (COMPOSE / "roles.sh").read_text(), SERVER, EXECUTABLE),
        File("database-init/sql/roles.sql", ROLES_SQL.read_text(), SERVER, PUBLIC),
        File("cache/valkey.conf", (COMPOSE / "valkey.conf").read_text() + valkey_user, SERVER),
    ]


def _generated() -> dict[str, str]:
    """The random values, kept from the first run on; those that a later version wants are added."""
    kept = STATE / "generated.json"
    values: dict[str, str] = json.loads(kept.read_text()) if kept.exists() else {}
    if missing := [name for name in GENERATED if name not in values]:
        values |= {name: secrets.token_urlsafe(48) for name in missing}
        scratch = kept.with_suffix(".new")
        scratch.touch(0o600)
        scratch.write_text(json.dumps(values))
        scratch.replace(kept)
    return values


def _database_url(role: str, values: dict[str, str]) -> str:
    return f"postgresql://portcullis_{role}:{values[role]}@db:5432/portcullis"


def _put(file: File) -> None:
    """Replace the file as a whole: a service that is running sees the old one or the new one."""
    path = VOLUMES / file.path
    path.parent.mkdir(mode=0o755, exist_ok=True)
    scratch = path.with_name(f".{path.name}.new")
    scratch.unlink(missing_ok=True)
    scratch.touch(0o600)
    scratch.write_text(file.content)
    scratch.chmod(file.mode)  # before it is given away: afterwards it would take another capability
    os.chown(scratch, file.user, file.user)
    scratch.replace(path)


def _give(directory: Path, user: int) -> None:
    """A volume that its service writes to itself."""
    if directory.stat().st_uid != user:
        directory.chmod(0o700)
        os.chown(directory, user, user)


if __name__ == "__main__":
    main()
