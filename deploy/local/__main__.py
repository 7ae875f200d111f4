"""``python -m deploy.local``: what the Makefile's run, test, check and clean are made of.

``run`` keeps its state in ``.run``; ``exec`` runs one command against throw-away servers.
"""

import argparse
import contextlib
import fcntl
import json
import os
import secrets
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from deploy.local import certificates, server
from deploy.local.postgres import ROOT, Postgres, is_root, state_directory
from deploy.local.processes import Child, Failure, tail
from deploy.local.valkey import Valkey

RUN = ROOT / ".run"
SERVE_SECONDS = 60
SWEEP_SECONDS = 3600
PASSWORDS = ("superuser", "owner", "service", "ops")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m deploy.local")
    commands = parser.add_subparsers(dest="command", required=True)
    run_parser = commands.add_parser("run", help="serve the demo over HTTPS until interrupted")
    run_parser.add_argument("--port", type=int, default=8443)
    exec_parser = commands.add_parser("exec", help="run a command against throw-away servers")
    exec_parser.add_argument("--settings", default="config.settings.test")
    exec_parser.add_argument("argv", nargs="+")
    commands.add_parser("clean", help="remove what run has kept")
    arguments = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        if arguments.command == "run":
            return run(arguments.port)
        if arguments.command == "exec":
            return execute(arguments.argv, arguments.settings)
        return clean()
    except Failure as failure:
        sys.stderr.write(f"\n{failure}\n")
        return 1
    except KeyboardInterrupt:
        return 130


def run(port: int) -> int:
    """Serve until interrupted; then stop everything that was started."""
    RUN.mkdir(mode=0o700, exist_ok=True)
    with contextlib.ExitStack() as stack:
        stack.enter_context(_only_one())
        _require_port(port)
        environment = _environment(f"https://localhost:{port}", "config.settings.development", RUN / "mail")
        environment |= {"DEMO": "on", "DEMO_FILE": str(RUN / "demo.json")}
        environment |= {"DEMO_CA_FILE": str(RUN / "tls" / "ca.pem")}
        passwords = json.loads(_kept("passwords.json", json.dumps(_passwords())))
        for name, new in _secrets().items():
            environment[f"{name}_FILE"] = str(RUN / name.lower())
            _kept(name.lower(), new)
        data = (state_directory() if is_root() else RUN) / "postgres"
        if (RUN / "passwords.json").stat().st_mtime > _age(data):
            shutil.rmtree(data, ignore_errors=True)  # the data of an earlier clone at this path
        environment |= stack.enter_context(_servers(data, RUN, passwords, durable=True))
        certificates.ensure(RUN / "tls")
        _write_environment(environment)
        stack.callback((RUN / "environment.json").unlink, missing_ok=True)
        _step("Migrating the database")
        _manage(environment, "migrate", "--verbosity=0")
        _step("Seeding the demo")
        _manage(environment, "seed_demo")
        _step("Starting the service")
        service = _serve(environment, port)
        stack.callback(service.stop)
        stack.callback(_sweep(environment).stop)
        _answer_to(service, port)
        _print_summary(port)
        service.process.wait()
        raise Failure(f"The service ended:\n{tail(RUN / 'service.log')}")


def execute(argv: list[str], settings: str) -> int:
    """Run ``argv`` with throw-away servers in its environment; its exit status."""
    with contextlib.ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="portcullis-", dir="/tmp")))
        if is_root():
            scratch.chmod(0o711)  # the server's user has to pass through to its own data
        environment = _environment("https://localhost:8443", settings, scratch / "mail")
        environment |= _secrets()
        environment |= stack.enter_context(_servers(scratch / "data", scratch, _passwords(), durable=False))
        process = subprocess.Popen(argv, env=environment, cwd=ROOT)
        try:
            return process.wait()
        except KeyboardInterrupt:
            process.send_signal(signal.SIGINT)
            return process.wait()


def clean() -> int:
    """Remove .run, and root's servers and data."""
    with _only_one() if RUN.exists() else contextlib.nullcontext():
        if is_root():
            shutil.rmtree(state_directory(), ignore_errors=True)
        shutil.rmtree(RUN, ignore_errors=True)
    return 0


@contextlib.contextmanager
def _servers(data: Path, logs: Path, passwords: dict[str, str], *, durable: bool) -> Iterator[dict[str, str]]:
    """PostgreSQL and Valkey, each unless the environment already names one; gives their variables."""
    variables: dict[str, str] = {}
    with contextlib.ExitStack() as stack:
        if "DATABASE_URL" not in os.environ:
            _step("Starting PostgreSQL")
            postgres = Postgres(data, log=logs / "postgres.log", passwords=passwords, durable=durable)
            stack.callback(postgres.close)
            postgres.start()
            variables |= {
                "DATABASE_URL": postgres.url("service"),
                "DATABASE_OWNER_URL": postgres.url("owner"),
                "DATABASE_OPS_URL": postgres.url("ops"),
            }
        elif "DATABASE_OWNER_URL" not in os.environ:
            raise Failure(
                "DATABASE_URL is set, so DATABASE_OWNER_URL is needed as well: migrations run as the owner."
            )
        if "VALKEY_URL" not in os.environ:
            _step("Starting Valkey")
            valkey = Valkey(log=logs / "valkey.log")
            stack.callback(valkey.close)
            valkey.start()
            variables["VALKEY_URL"] = valkey.url
        yield variables


def _environment(public_url: str, settings: str, mail: Path) -> dict[str, str]:
    """Mails are written to files in ``mail``, unless the environment already names a server."""
    given = {"EMAIL_URL", "EMAIL_URL_FILE"} & os.environ.keys()
    return {
        **({} if given else {"EMAIL_URL": f"file://{mail}"}),
        **os.environ,
        "DJANGO_SETTINGS_MODULE": settings,
        "ALLOWED_HOSTS": "localhost,127.0.0.1",
        "PUBLIC_URL": public_url,
    }


def _serve(environment: dict[str, str], port: int) -> Child:
    log = RUN / "service.log"
    log.unlink(missing_ok=True)
    command = server.command(port, RUN / "tls")
    return Child(command, log=log, stop_signal=signal.SIGTERM, env=environment, cwd=ROOT)


def _sweep(environment: dict[str, str]) -> Child:
    """What has expired is deleted while the demo runs."""
    command = [sys.executable, "manage.py", "sweep_expired", "--every", str(SWEEP_SECONDS)]
    log = RUN / "sweep.log"
    return Child(command, log=log, stop_signal=signal.SIGTERM, env=environment, cwd=ROOT)


def _answer_to(service: Child, port: int) -> None:
    context = ssl.create_default_context(cafile=str(RUN / "tls" / "ca.pem"))

    def answers() -> bool:
        try:
            with urllib.request.urlopen(f"https://localhost:{port}/readyz", context=context, timeout=2):
                return True
        except (OSError, urllib.error.URLError):
            return False

    service.wait_until(answers, what="The service", seconds=SERVE_SECONDS)


def _manage(environment: dict[str, str], *arguments: str) -> None:
    command = [sys.executable, "manage.py", *arguments]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failure(f"manage.py {arguments[0]} failed:\n{done.stdout}{done.stderr}")


def _print_summary(port: int) -> None:
    demo = json.loads((RUN / "demo.json").read_text())
    lines = [f"\nPortcullis serves https://localhost:{port}. Ctrl-C stops it.\n", "Users (password):"]
    lines += [
        f"  {user['username']:<28} {user['password']}   {user['role']}, {user['organisation']}"
        for user in demo["users"]
    ]
    lines.append("\nClients:")
    lines += [f"  {client['client_id']:<28} {', '.join(client['grant_types'])}" for client in demo["clients"]]
    lines += [
        f"\nDocumentation: https://localhost:{port}/docs (sign in as one of the users; the browser will",
        "               warn, as it does not know the local authority .run/tls/ca.pem)",
        f"Log:           {RUN / 'service.log'}",
        f"Mails:         {RUN / 'mail'}, one file each, unless EMAIL_URL names a server",
        "Codes:         .venv/bin/python manage.py demo_code --user org-admin@acme.example",
        "\nThree commands to try:",
        f"  curl --cacert .run/tls/ca.pem https://localhost:{port}/v1/invoices",
        '  .venv/bin/python manage.py demo_token --user clerk@acme.example --scope "invoices:read"',
    ]
    script = ROOT / "lab" / "resources" / "first_invoice.sh"
    if script.exists():
        lines.append(f"  {script.relative_to(ROOT)}")
    else:
        lines.append(
            f"  curl --cacert .run/tls/ca.pem https://localhost:{port}/.well-known/oauth-authorization-server"
        )
    print("\n".join(lines), flush=True)


def _write_environment(environment: dict[str, str]) -> None:
    """For ``manage.py``, so that its commands act on this service. Removed when the service stops."""
    ours = {name: value for name, value in environment.items() if os.environ.get(name) != value}
    path = RUN / "environment.json"
    path.unlink(missing_ok=True)
    path.touch(0o600)
    path.write_text(json.dumps(ours))


def _kept(name: str, new: str) -> str:
    """The content of a private file in .run, created with ``new``."""
    path = RUN / name
    if not path.exists():
        scratch = path.with_suffix(".new")
        scratch.touch(0o600)
        scratch.write_text(new)
        scratch.rename(path)
    return path.read_text()


def _secrets() -> dict[str, str]:
    """The service's own keys, by variable."""
    return {
        "SECRET_KEY": secrets.token_urlsafe(64),
        "ENCRYPTION_KEYS": f"local:{secrets.token_urlsafe(32)}",
        "BLIND_INDEX_KEY": secrets.token_urlsafe(32),
    }


def _passwords() -> dict[str, str]:
    return {role: secrets.token_urlsafe(24) for role in PASSWORDS}


def _age(data: Path) -> float:
    return data.stat().st_ctime if data.exists() else float("inf")


@contextlib.contextmanager
def _only_one() -> Iterator[None]:
    with (RUN / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Failure("`make run` is already running in this clone. Stop it first.") from None
        yield


def _require_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise Failure(
                f"Port {port} cannot be used ({error.strerror}). Try: make run PORT={port + 1}"
            ) from None


def _step(text: str) -> None:
    print(f"{text} …", flush=True)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
