"""People, organisations, and who may do what where."""

import hashlib
import secrets
import unicodedata
from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from django.contrib.auth.models import AbstractBaseUser, BaseUserManager, PermissionsMixin
from django.contrib.sessions.base_session import AbstractBaseSession
from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Lower
from django.db.models.signals import post_delete, post_save
from django.dispatch import receiver
from django.utils import timezone

from accounts.signals import access_ended, membership_removed
from security.identifiers import PublicIdModel, uuid7
from security.object_permissions import revoke_all
from security.row_security import TenantModel
from security.scopes import CONTACT_ROLE, all_roles

#: The role that manages members. An organisation always has somebody with it.
ADMINISTRATOR = "org_admin"


def address_as_kept(typed: str) -> str:
    """What is looked for when ``typed`` is the address of a sign-in.

    Django's form of it folds letters of other widths and styles into plain ones (NFKC). Guesses are counted
    by what comes of that: otherwise each spelling of one address would have guesses of its own.
    """
    return unicodedata.normalize("NFKC", typed.strip()).strip().lower()


def validate_role(value: str) -> None:
    """A role has to be contributed by an installed app (security.scopes)."""
    if value not in all_roles():
        raise ValidationError("There is no such role.", code="unknown_role")


class UserManager(BaseUserManager["User"]):
    """Users by e-mail address, whatever its case."""

    def create_user(self, email: str, password: str | None = None, **fields: Any) -> "User":
        user = self.model(email=email.strip().lower(), **fields)
        user.set_password(password)
        user.full_clean(exclude=["password"])
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> "User":
        """Staff who may do everything on the staff's site; for ``manage.py createsuperuser``."""
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)

    def contacts_of(self, organisation_id: int) -> models.QuerySet["User"]:
        """The active people to whom an organisation may share objects: its contacts.

        Locked, so that nothing is shared with somebody who is being removed.
        """
        return self.select_for_update(no_key=True).filter(
            is_active=True,
            memberships__organisation_id=organisation_id,
            memberships__role=CONTACT_ROLE,
        )

    def get_by_natural_key(self, username: str | None) -> "User":
        return self.get(email=address_as_kept(username or ""))


class User(PublicIdModel, AbstractBaseUser, PermissionsMixin):  # type: ignore[django-manager-missing]  # of OAuth
    """A person. Signs in with an e-mail address, kept in lower case.

    A new password or a deactivation ends every session and token of theirs: by triggers on this table, so
    that it does not matter what changed the row.
    """

    email = models.EmailField(max_length=254, unique=True)
    name = models.CharField(max_length=150)
    is_active = models.BooleanField(default=True)
    is_staff = models.BooleanField(default=False)
    joined_at = models.DateTimeField(default=timezone.now, editable=False)
    failed_sign_ins = models.PositiveIntegerField(
        default=0, editable=False, help_text="Refused passwords and codes since the last sign-in."
    )

    objects: ClassVar[UserManager] = UserManager()

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = ["name"]

    class Meta:
        constraints = [
            models.CheckConstraint(condition=models.Q(email=Lower("email")), name="user_email_is_lower_case")
        ]

    def __str__(self) -> str:
        return str(self.public_id)

    def end_access(self, *, keep: UUID | None = None) -> None:
        """End every session but ``keep``; the receivers of ``access_ended`` end what they have issued.

        For whatever triggers do not see: a new password and a deactivation end all by themselves.
        """
        with transaction.atomic():
            # As a token request and a decision do: what is issued at the same moment ends as well.
            User.objects.select_for_update(no_key=True).get(pk=self.pk)
            sessions = self.sessions.all()
            (sessions if keep is None else sessions.exclude(public_id=keep)).delete()
            access_ended.send(type(self), user=self)


class Organisation(PublicIdModel):  # type: ignore[django-manager-missing]  # of OAuth
    """A tenant. Everything that a token may reach belongs to one."""

    name = models.CharField(max_length=150, unique=True)
    currency = models.CharField(max_length=3, help_text="ISO 4217; all amounts are in its minor unit.")

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(currency__regex="^[A-Z]{3}$"), name="organisation_currency_is_iso_4217"
            )
        ]

    def __str__(self) -> str:
        return self.name


class Membership(PublicIdModel):
    """A person's one role in an organisation. Read on every request, so a change is felt by the next.

    A contact is an outsider with a row here as well: one person has one relation to an organisation, so that
    nobody is a member and a contact of it. The role alone opens no object. While a tenant is set, row
    security shows that organisation's rows alone; before, all of them, for that is when authentication reads.
    """

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    organisation = models.ForeignKey(Organisation, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=32, validators=[validate_role])
    joined_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["user", "organisation"], name="one_membership_per_organisation")
        ]
        indexes = [models.Index(fields=["organisation", "-public_id"], name="membership_page")]

    def __str__(self) -> str:
        return f"{self.role} {self.user_id}@{self.organisation_id}"


@receiver(post_save, sender=Membership)
def begin_with_nothing(instance: Membership, created: bool, **kwargs: Any) -> None:  # noqa: FBT001  Django's signature
    """Whatever was left, by whatever way: a new contact has been shown nothing yet."""
    if created and instance.role == CONTACT_ROLE:
        revoke_all(user_id=instance.user_id, organisation_id=instance.organisation_id)


@receiver(post_delete, sender=Membership)
def tell_of_removal(instance: Membership, **kwargs: Any) -> None:
    """By the API, a command or a cascade: what hangs on a membership ends with it."""
    if instance.role == CONTACT_ROLE:
        revoke_all(user_id=instance.user_id, organisation_id=instance.organisation_id)
    membership_removed.send(sender=Membership, user=instance.user, organisation_id=instance.organisation_id)


class InvitationQuerySet(models.QuerySet["Invitation"]):
    """Invitations; rows come from here only."""

    def open(self, *, now: datetime) -> "InvitationQuerySet":
        """Those that can be accepted: pending, in time, and from somebody who may still invite.

        The last, so that an administrator who was removed does not come back by a link sent before.
        """
        sender = Membership.objects.filter(
            user_id=OuterRef("invited_by_id"),
            organisation_id=OuterRef("organisation_id"),
            role=ADMINISTRATOR,
            user__is_active=True,
        )
        return self.filter(Exists(sender), accepted_at=None, revoked_at=None, expires_at__gt=now)


class Invitation(PublicIdModel, TenantModel):
    """An address asked to join an organisation in a role. Of the link's token, only the digest is kept."""

    email = models.EmailField(max_length=254)
    role = models.CharField(max_length=32, validators=[validate_role])
    invited_by = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    token_digest = models.CharField(max_length=64, unique=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField(editable=False)
    accepted_at = models.DateTimeField(null=True, editable=False)
    revoked_at = models.DateTimeField(null=True, editable=False)

    objects = InvitationQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(email=Lower("email")), name="invitation_email_is_lower_case"),
            models.UniqueConstraint(
                fields=["organisation_id", "email"],
                condition=Q(accepted_at=None, revoked_at=None),
                name="one_pending_invitation_per_address",
            ),
        ]
        indexes = [models.Index(fields=["organisation_id", "-public_id"], name="invitation_page")]

    def __str__(self) -> str:
        return str(self.public_id)

    @staticmethod
    def new_token() -> str:
        """256 random bits, for the link."""
        return secrets.token_urlsafe(32)

    @staticmethod
    def digest(token: str) -> str:
        """What is stored of a token: SHA-256 in hexadecimal."""
        return hashlib.sha256(token.encode()).hexdigest()


class Session(AbstractBaseSession):
    """A browser's session, as far as the database may know it (accounts.sessions).

    ``session_key`` is the digest of the key and ``session_data`` is sealed under it, so a row opens nothing.
    """

    session_key = models.CharField(max_length=64, primary_key=True)
    public_id = models.UUIDField(default=uuid7, unique=True, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, null=True, related_name="sessions")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    last_seen_at = models.DateTimeField(default=timezone.now, editable=False)
    address = models.GenericIPAddressField(null=True, editable=False)
    user_agent = models.CharField(max_length=200, blank=True, default="", editable=False)
    second_factor = models.BooleanField(default=False, editable=False)

    def __str__(self) -> str:
        return f"session {self.public_id}"

    @classmethod
    def get_session_store_class(cls) -> Any:
        from accounts.sessions import SessionStore

        return SessionStore
