"""Mails of an account: plain text, from PUBLIC_URL and never from the Host header.

A mail server that is out of reach is logged, and the answer stays the same: it must tell neither whether an
address is known nor keep a change from happening. ASVS 6.3.7.
"""

import logging
from smtplib import SMTPException

from django.conf import settings
from django.core.mail import send_mail
from django.http import HttpRequest
from django.template.loader import render_to_string

from security.client_ip import client_address

logger = logging.getLogger(__name__)


def send(request: HttpRequest | None, to: str, name: str, **context: object) -> None:
    """The mail of template ``accounts/mail/<name>.txt``, whose first line is the subject.

    Without a request it comes of a command, which has no address.
    """
    context |= {"public_url": settings.PUBLIC_URL}
    if request is not None:
        context |= {"address": client_address(request)}
    subject, _, body = render_to_string(f"accounts/mail/{name}.txt", context).partition("\n")
    try:
        send_mail(subject.strip(), body.lstrip(), None, [to])
    except (SMTPException, OSError) as error:
        logger.error("mail not sent", extra={"mail": name, "error": type(error).__name__})
