"""Invitations: how a person comes into an organisation, by a link in a mail and their own consent.

Threat: a link that is guessed, overheard, used twice, or opened by somebody else; a form that mails the
world or tells who has an account; an administrator who was removed and comes back by a link of their own.
Guarantee: the link holds 256 random bits, kept as a digest, and the organisation's public id, so that the
row is found under row security. It works once, for 7 days, and only while its sender may invite; a new one
ends the one before. Whoever has an account accepts signed in as exactly the invited address; whoever has
none chooses a password, and then signs in as always. Used, expired, revoked and unknown links give one page.
Inviting answers the same whether there is an account or not, and is limited.

The mail is sent after the commit. If the mail server does not take it, the answer is 503: the row stays,
nobody has its link, and inviting again sends a new one.

Settings: INVITATION_LIFETIME, THROTTLE_INVITE, EMAIL_URL, EMAIL_FROM. OWASP API2:2023, API6:2023.
ASVS 1.3.11, 6.3.8, 6.4.1.
"""

import logging
from functools import partial
from http import HTTPStatus
from typing import Any, cast
from urllib.parse import urlencode

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.mail import send_mail
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.views.decorators.debug import sensitive_post_parameters
from django.views.generic import View
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.errors import MailUnavailable
from accounts.forms import JoinForm
from accounts.members import MANAGE
from accounts.models import Invitation, InvitationQuerySet, Membership, Organisation, User
from accounts.serializers import InvitationReader, InvitationWriter
from accounts.views import limit
from security import audit
from security.audit import record_change
from security.client_ip import client_address, throttle_key
from security.errors import Duplicate
from security.identifiers import canonical_uuid
from security.object_permissions import TenantObjects
from security.pagination import PageQuery
from security.policy import PolicyViewSet, Rule
from security.row_security import tenant
from security.scopes import all_roles

#: Nothing that a person could choose: neither a header to inject into nor a text to send to strangers.
SUBJECT = "You are invited"

logger = logging.getLogger(__name__)


class InvitationViewSet(PolicyViewSet):
    """Invitations that were neither accepted nor revoked."""

    queryset = Invitation.objects.filter(accepted_at=None, revoked_at=None).select_related("invited_by")
    rules = {
        "list": Rule(
            allow=(MANAGE,),
            objects=TenantObjects(),
            throttle="read",
            query=PageQuery,
            response=InvitationReader,
        ),
        "create": Rule(
            allow=(MANAGE,),
            objects=TenantObjects(),
            throttle="invite",
            request=InvitationWriter,
            response=InvitationReader,
            status=201,
            repeatable="it replaces the invitation that is pending for the address, and mails it again",
        ),
        "destroy": Rule(
            allow=(MANAGE,),
            objects=TenantObjects(),
            throttle="write",
            response=None,
            status=204,
        ),
    }

    def filter_queryset(self, queryset: QuerySet[Invitation]) -> QuerySet[Invitation]:
        return cast(InvitationQuerySet, queryset).open(now=timezone.now())

    def create(self, request: Request, **kwargs: Any) -> Response:
        data = self.read_body()
        organisation_id, now = self.access.organisation_id, timezone.now()
        if Membership.objects.filter(organisation_id=organisation_id, user__email=data["email"]).exists():
            raise Duplicate
        token = Invitation.new_token()
        invitation, _ = Invitation.objects.update_or_create(
            organisation_id=organisation_id,
            email=data["email"],
            accepted_at=None,
            revoked_at=None,
            defaults={
                "role": data["role"],
                "invited_by_id": self.access.user_id,
                "token_digest": Invitation.digest(token),
                "created_at": now,
                "expires_at": now + settings.INVITATION_LIFETIME,
            },
        )
        record_change(request, "members:invitation:sent", invitation, role=data["role"])
        organisation = Organisation.objects.get(pk=organisation_id)
        transaction.on_commit(partial(send, invitation, organisation, token))
        invitation.invited_by = cast(User, request.user)
        return self.respond(invitation)

    def destroy(self, request: Request, **kwargs: Any) -> Response:
        invitation: Invitation = self.get_object(lock=True)
        self.read_body()
        invitation.revoked_at = timezone.now()
        invitation.save(update_fields=["revoked_at"])
        record_change(request, "members:invitation:revoked", invitation)
        return self.respond(invitation)


def send(invitation: Invitation, organisation: Organisation, token: str) -> None:
    """Mail the link. Raises MailUnavailable."""
    path = reverse("invitation", kwargs={"organisation": organisation.public_id, "token": token})
    text = render_to_string(
        "accounts/invitation.txt",
        {
            # The one text in it that somebody chose: on one line.
            "organisation": " ".join(organisation.name.split()),
            "days": settings.INVITATION_LIFETIME.days,
            "link": settings.PUBLIC_URL + path,
        },
    )
    try:
        send_mail(SUBJECT, text, None, [invitation.email])
    except OSError as error:  # smtplib's own errors as well
        logger.error("invitation not sent", extra={"error": type(error).__name__})
        raise MailUnavailable from None


@method_decorator(sensitive_post_parameters("password"), name="dispatch")
class InvitationPage(View):
    """Shows who invites to what, and takes the answer. The URL holds the secret."""

    http_method_names = ["get", "head", "post"]

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        address = f"address:{throttle_key(client_address(request))}"
        refused = limit(request, ("sign_in_address", address), fail_closed=True)
        return refused or super().dispatch(request, *args, **kwargs)

    def get(self, request: HttpRequest, organisation: str, token: str) -> HttpResponseBase:
        inviting = named(organisation)
        if inviting is None:
            return self._gone(request)
        with tenant(inviting.pk):
            invitation = find(inviting, token).first()
        if invitation is None:
            return self._gone(request)
        account = User.objects.filter(email=invitation.email).first()
        return self._ask(request, inviting, invitation, account)

    def post(self, request: HttpRequest, organisation: str, token: str) -> HttpResponseBase:
        inviting = named(organisation)
        if inviting is None:
            return self._gone(request)
        with tenant(inviting.pk):
            # Locked: of two answers at once the second finds it accepted.
            invitation = find(inviting, token).select_for_update(of=("self",)).first()
            if invitation is None:
                return self._gone(request)
            return self._accept(request, inviting, invitation)

    def _accept(
        self, request: HttpRequest, inviting: Organisation, invitation: Invitation
    ) -> HttpResponseBase:
        account = User.objects.filter(email=invitation.email).first()
        target = settings.LOGIN_REDIRECT_URL
        if account is None:
            form = JoinForm(request.POST, email=invitation.email, organisation=inviting.name)
            if not form.is_valid():
                return self._ask(request, inviting, invitation, None, form, status=HTTPStatus.BAD_REQUEST)
            try:
                with transaction.atomic():
                    account = form.create_user()
            except (IntegrityError, ValidationError):
                # The address got its account at this very moment, by another invitation.
                account = User.objects.get(email=invitation.email)
                return self._ask(request, inviting, invitation, account, status=HTTPStatus.FORBIDDEN)
            target = settings.LOGIN_URL
        elif not is_signed_in_as(request, account):
            return self._ask(request, inviting, invitation, account, status=HTTPStatus.FORBIDDEN)
        membership, created = Membership.objects.get_or_create(
            user=account, organisation=inviting, defaults={"role": invitation.role}
        )
        invitation.accepted_at = timezone.now()
        invitation.save(update_fields=["accepted_at"])
        audit.record(
            request,
            "members:invitation:accepted",
            organisations=[inviting.pk],
            actor=account.public_id,
            target=membership,
            detail={"role": membership.role, "created": created, "invitation": str(invitation.public_id)},
        )
        response = redirect(target)
        response.status_code = HTTPStatus.SEE_OTHER
        return response

    def _ask(
        self,
        request: HttpRequest,
        inviting: Organisation,
        invitation: Invitation,
        account: User | None,
        form: JoinForm | None = None,
        *,
        status: HTTPStatus = HTTPStatus.OK,
    ) -> TemplateResponse:
        context = {
            "organisation": inviting,
            "invitation": invitation,
            "words": all_roles().get(invitation.role, ""),
            "form": None if account else form or JoinForm(email=invitation.email, organisation=inviting.name),
            "may_accept": account is None or is_signed_in_as(request, account),
            "is_somebody_else": request.user.is_authenticated,
            "sign_in": f"{settings.LOGIN_URL}?{urlencode({'next': request.path})}",
        }
        return TemplateResponse(request, "accounts/invitation.html", context, status=status)

    def _gone(self, request: HttpRequest) -> TemplateResponse:
        return TemplateResponse(request, "accounts/invitation_gone.html", status=HTTPStatus.NOT_FOUND)


def named(organisation: str) -> Organisation | None:
    """The organisation of a link. Not a secret: all members know its public id."""
    public_id = canonical_uuid(organisation)
    return Organisation.objects.filter(public_id=public_id).first() if public_id else None


def find(inviting: Organisation, token: str) -> QuerySet[Invitation]:
    """The open invitation of a link, within the organisation that the link names."""
    return (
        Invitation.objects.open(now=timezone.now())
        .filter(organisation_id=inviting.pk, token_digest=Invitation.digest(token))
        .select_related("invited_by")
    )


def is_signed_in_as(request: HttpRequest, account: User) -> bool:
    """Whether the session is the account's own."""
    return bool(request.user.is_authenticated) and request.user.pk == account.pk
