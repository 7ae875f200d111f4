"""The second factor: who has to have one, and that nobody comes past it.

Threat: one phished or reused password approves and pays invoices; a role that needs a second factor is given
to somebody who has none; a code that was looked over the shoulder is used again; the seed lies in the
database. Guarantee: staff, and members with a role that some AppConfig names in ``roles_requiring_mfa``, are
not signed in before they have shown a second factor, and where they have none they are led to set one up
first: until then there is no session, only a pending sign-in, so no page can forget to ask. A TOTP code is
good for its 30 seconds and once, by a row lock. Seeds are encrypted for their owner (security.encryption); of
recovery codes there are slow salted hashes.

Each app contributes with an attribute of its AppConfig::

    roles_requiring_mfa = frozenset({"approver"})

ASVS 6.3.3, 6.5.1, 6.5.2, 6.5.5, 6.6.1. RFC 6238, RFC 8176.
"""

import re
import secrets
import time
from collections.abc import Callable
from typing import Any, cast

from allauth.account.internal.flows.login import get_authentication_records
from allauth.account.stages import LoginStage
from allauth.core import context
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal import auth as totp
from django.apps import apps
from django.conf import settings
from django.contrib.auth.hashers import check_password, make_password
from django.db import transaction
from django.db.models.signals import post_save
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponseRedirect
from django.urls import reverse
from fido2.webauthn import AuthenticationResponse

from accounts.models import Membership, User
from accounts.signals import weak_access_ended
from security.encryption import decrypt, encrypt

TOTP, PASSKEY = Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN
FACTORS = (TOTP, PASSKEY)
RECOVERY_CODES = Authenticator.Type.RECOVERY_CODES
CODES, CODE_DIGITS = 10, 10
STEP_SECONDS = 30
#: Where seeds lie. The row of one is its owner: the library encrypts before there is another.
PLACE = {"table": "mfa_authenticator", "column": "data"}


# --- who needs one ---


def roles_requiring_mfa() -> frozenset[str]:
    """Every role that is not to be had without a second factor."""
    return frozenset().union(*(getattr(app, "roles_requiring_mfa", ()) for app in apps.get_app_configs()))


def is_required(user: Any) -> bool:
    """Whether ``user`` may not sign in without one."""
    return bool(
        user.is_staff
        or user.is_superuser
        or Membership.objects.filter(user_id=user.pk, role__in=roles_requiring_mfa()).exists()
    )


def is_enrolled(user: Any) -> bool:
    """Whether ``user`` has a factor beside the password. Recovery codes alone are none."""
    return bool(Authenticator.objects.filter(user_id=user.pk, type__in=FACTORS).exists())


class EnrolStage(LoginStage):
    """The step of sign-in for those who need a second factor and have none. Last, after the library's own."""

    key = "enrol_second_factor"
    urlname = "mfa_enrol"

    def handle(self) -> tuple[Any, bool]:
        user = self.login.user
        if user is None or is_enrolled(user) or not is_required(user):
            return None, True
        return HttpResponseRedirect(reverse(self.urlname)), True


@receiver(post_save, sender=Membership)
def end_weak_sessions_of_member(instance: Membership, **kwargs: Any) -> None:
    """A role that needs a second factor is not had in a session that was opened without."""
    if instance.role in roles_requiring_mfa():
        _end_weak_access(instance.user)


@receiver(post_save, sender=User)
def end_weak_sessions_of_staff(instance: User, *, created: bool, **kwargs: Any) -> None:
    """As above."""
    if not created and (instance.is_staff or instance.is_superuser):
        _end_weak_access(instance)


def _end_weak_access(user: User) -> None:
    user.sessions.filter(second_factor=False).delete()
    weak_access_ended.send(User, user=user)


# --- what is at rest ---


class SecondFactorAdapter(DefaultMFAAdapter):
    """MFA_ADAPTER. The library's hooks are not told whose secret it is: the request knows."""

    def encrypt(self, text: str) -> str:
        return seal(text, _person(context.request))

    def decrypt(self, encrypted_text: str) -> str:
        return decrypt(encrypted_text, **PLACE, row=str(_person(context.request).pk))

    def get_totp_issuer(self) -> str:
        return "Portcullis"

    def can_delete_authenticator(self, authenticator: Authenticator) -> bool:
        """The last factor of somebody who needs one stays."""
        others = Authenticator.objects.filter(user_id=authenticator.user_id, type__in=FACTORS)
        return others.exclude(pk=authenticator.pk).exists() or not is_required(authenticator.user)

    def get_public_key_credential_rp_entity(self) -> dict[str, str]:
        """From the settings: the Host header is the caller's."""
        host = settings.PUBLIC_URL.removeprefix("https://").partition(":")[0]
        return {"id": host, "name": "Portcullis"}


def seal(text: str, user: Any) -> str:
    return encrypt(text, **PLACE, row=str(user.pk))


def _person(request: HttpRequest) -> Any:
    """Who is signed in, or in the middle of it."""
    if request.user.is_authenticated:
        return request.user
    return cast(Any, request)._login_stage.login.user


# --- TOTP ---

clock: Callable[[], float] = time.time


def current_step() -> int:
    return int(clock()) // STEP_SECONDS


def code_at(secret: str, step: int) -> str:
    return str(totp.format_hotp_value(totp.hotp_value(secret, step)))


def matches(secret: str, code: str) -> bool:
    """Whether ``code`` is the one of these 30 seconds: ASVS 6.5.5 admits no longer life."""
    return bool(totp.compare_user_code(actual=code, expected=code_at(secret, current_step())))


def add_totp(user: Any, secret: str, *, used: bool) -> Authenticator:
    """``used``: a code of this moment has just proved the device, and is spent by it."""
    data = {"secret": seal(secret, user), "last_step": current_step() if used else 0}
    return Authenticator.objects.create(user=user, type=TOTP, data=data)


def _locked(authenticator: Authenticator) -> Authenticator | None:
    """Its row; None where it was taken away at this moment."""
    return Authenticator.objects.select_for_update().filter(pk=authenticator.pk).first()


def accept_totp(authenticator: Authenticator, code: str) -> bool:
    """Whether ``code`` is right and not spent; then it is spent. Of parallel attempts one wins."""
    with transaction.atomic():
        row = _locked(authenticator)
        if row is None:
            return False
        secret = decrypt(row.data["secret"], **PLACE, row=str(row.user_id))
        if not matches(secret, code) or row.data.get("last_step", 0) >= current_step():
            return False
        row.data["last_step"] = current_step()
        row.save(update_fields=["data"])
        return True


# --- recovery codes ---


def new_recovery_codes(user: Any) -> list[str]:
    """Replace what there was. Ten codes, each good once, shown this once; kept as passwords are."""
    User.objects.select_for_update(no_key=True).get(pk=user.pk)
    Authenticator.objects.filter(user_id=user.pk, type=RECOVERY_CODES).delete()
    codes = [f"{secrets.randbelow(10**CODE_DIGITS):0{CODE_DIGITS}}" for _ in range(CODES)]
    data = {"hashes": [make_password(code) for code in codes]}
    Authenticator.objects.create(user=user, type=RECOVERY_CODES, data=data)
    return codes


def accept_recovery_code(authenticator: Authenticator, code: str) -> bool:
    """Whether ``code`` is one of those left; then it is spent. Of parallel attempts one wins."""
    if re.fullmatch(rf"[0-9]{{{CODE_DIGITS}}}", code) is None:
        return False  # the app's code that was mistyped costs no slow hash
    with transaction.atomic():
        row = _locked(authenticator)
        if row is None:
            return False
        spent = next((each for each in row.data["hashes"] if check_password(code, each)), None)
        if spent is None:
            return False
        row.data["hashes"].remove(spent)
        row.save(update_fields=["data"])
        return True


def recovery_codes_left(authenticator: Authenticator) -> int:
    return len(authenticator.data["hashes"])


# --- passkeys ---


def signature_counter(credential: dict[str, Any]) -> int:
    """What the passkey says of itself in an answer to a challenge. Raises ValueError and its like."""
    return int(AuthenticationResponse.from_dict(credential).response.authenticator_data.counter)


def accept_counter(authenticator: Authenticator, counter: int) -> bool:
    """Whether the counter went up since the last use: one that did not is a copy of the key, or its original.

    WebAuthn section 6.1.1. Passkeys that live on several devices do not count: theirs is always zero.
    """
    with transaction.atomic():
        row = _locked(authenticator)
        if row is None:
            return False
        last = row.data.get("counter", row.wrap().authenticator_data.counter)
        if counter <= last and (counter or last):
            return False
        row.data["counter"] = counter
        row.save(update_fields=["data"])
        return True


# --- how somebody has authenticated (RFC 8176) ---


def methods_of(request: HttpRequest, user: Any) -> list[str]:
    """amr of this session's sign-in, from what the library has recorded of it."""
    used = [
        (record.get("method"), record.get("type"), record.get("id"))
        for record in get_authentication_records(request, user)
    ]
    methods: list[str] = []
    for method, kind, authenticator_id in used:
        if method == "password":
            methods.append("pwd")
        elif kind == PASSKEY:
            methods += passkey_methods(authenticator_id)
        elif method == "mfa":
            methods.append("otp")
    if len({"pwd", "otp"} & set(methods)) == 2 or "user" in methods:
        methods.append("mfa")
    return list(dict.fromkeys(methods))


def passkey_methods(authenticator_id: int | None) -> list[str]:
    """A key that can be copied to other devices is a software key; it is always unlocked by the user."""
    row = Authenticator.objects.filter(pk=authenticator_id, type=PASSKEY).first()
    copied = row is None or row.wrap().authenticator_data.is_backup_eligible()
    return ["swk" if copied else "hwk", "user"]
