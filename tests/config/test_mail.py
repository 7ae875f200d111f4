"""EMAIL_URL, on a real mail server: TLS with a verified certificate, or nothing is sent."""

import gc
import smtplib
import ssl

import pytest
from django.core.mail import send_mail

from config import environment as env
from config import settings as production
from tests.smtp import MailServer

# Django leaves a connection that it gave up to the garbage collector, which the fixture calls.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture
def serve(tmp_path, settings, monkeypatch):
    """A server, and Django's settings for it from an EMAIL_URL."""
    servers = []

    def run(tls, scheme, *, trusted=True):
        server = MailServer(tmp_path / "tls", tls)
        servers.append(server)
        server.__enter__()
        monkeypatch.setenv("X_MAIL", f"{scheme}://us%40er:p%2Fw@localhost:{server.port}")
        if trusted:
            monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "tls" / "ca.pem"))
        for name, value in env.mail("X_MAIL").items():
            setattr(settings, f"EMAIL_{name}", value)
        settings.EMAIL_TIMEOUT = 2
        return server

    yield run
    for server in servers:
        server.__exit__()
    gc.collect()


def send():
    return send_mail("You are invited", "Open this link", None, ["bob@new.example"])


@pytest.mark.parametrize(("tls", "scheme"), [("implicit", "smtps"), ("starttls", "smtp")])
def test_it_is_sent_over_tls_with_the_password(serve, tls, scheme):
    server = serve(tls, scheme)

    assert send() == 1

    (mail,) = server.mails
    assert "To: bob@new.example" in mail
    assert server.logins == ["\0us@er\0p/w"]


def test_a_server_without_starttls_gets_nothing(serve):
    server = serve("none", "smtp")

    with pytest.raises(smtplib.SMTPNotSupportedError):
        send()

    assert (server.mails, server.logins) == ([], [])


@pytest.mark.parametrize(("tls", "scheme"), [("implicit", "smtps"), ("starttls", "smtp")])
def test_a_certificate_that_nobody_vouches_for_gets_nothing(serve, tls, scheme):
    server = serve(tls, scheme, trusted=False)

    with pytest.raises(ssl.SSLCertVerificationError):
        send()

    assert (server.mails, server.logins) == ([], [])


def test_a_server_that_says_nothing_is_not_waited_for(serve, settings):
    serve("silent", "smtps")
    settings.EMAIL_TIMEOUT = 0.2

    with pytest.raises(OSError, match="timed out"):
        send()

    assert 0 < production.EMAIL_TIMEOUT <= 10
