"""Vendors and invoices, and the life of an invoice.

Rows belong to an organisation, known here only by an opaque id. Amounts are whole minor units of the
organisation's one currency. Every rule of an invoice's life is here, under a row lock that the view takes;
the constraints hold what locks cannot. A vendor may be shared with a contact, who then sees its invoices: the
grant on the vendor brings, by trigger, one on each of its invoices, so that both are found the same way.
"""

import re
import sys
import unicodedata
from datetime import datetime, timedelta
from typing import Any, ClassVar
from uuid import UUID

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from resources.errors import CoolingOff, SeparationOfDuties, VendorNotVerified
from resources.triggers import share_invoices, share_moved_invoice, share_new_invoice
from security.encryption import EncryptedField, blind_index, keep_public_id
from security.errors import StateConflict
from security.identifiers import PublicIdModel
from security.object_permissions import GroupGrant, UserGrant, place_grant
from security.row_security import SameTenant, TenantModel

MAX_NAME = 200
MAX_NUMBER = 64
#: So many vendors with the same account are named.
MAX_SAME_ACCOUNT = 20
MAX_AMOUNT = 99_999_999_999
#: From this amount (minor units) an invoice needs two approvers.
TWO_APPROVERS_FROM = 1_000_000
#: Nothing is released to a vendor whose bank details changed less than this ago.
BANK_COOLING_OFF = timedelta(hours=72)


class VendorQuerySet(models.QuerySet["Vendor"]):
    def named(self, prefix: str) -> "VendorQuerySet":
        return self.filter(**begins_with("name_normalised", normalise_name(prefix)))

    def with_account_of(self, vendor: "Vendor") -> "VendorQuerySet":
        """The others of the organisation that are paid to the same account."""
        others = self.filter(organisation_id=vendor.organisation_id).exclude(pk=vendor.pk)
        return others.filter(iban_index=vendor.iban_index).exclude(iban_index="")


class InvoiceQuerySet(models.QuerySet["Invoice"]):
    def numbered(self, prefix: str) -> "InvoiceQuerySet":
        return self.filter(**begins_with("number_normalised", normalise_number(prefix)))


def begins_with(field: str, prefix: str) -> dict[str, str]:
    """A prefix as a range: row security keeps LIKE from an index, as it could tell of rows out of sight."""
    return {f"{field}__gte": prefix, f"{field}__lt": prefix + chr(sys.maxunicode)}


class Vendor(PublicIdModel, TenantModel):
    """Somebody we pay. ``verification`` is set by an upstream verifier alone, never through the API."""

    class Verification(models.TextChoices):
        UNVERIFIED = "unverified"
        VERIFIED = "verified"
        MISMATCH = "mismatch"
        UNKNOWN = "unknown"

    name = models.CharField(max_length=MAX_NAME)
    # In the order of code points: only there is a prefix a range, which row security lets an index serve.
    name_normalised = models.CharField(max_length=MAX_NAME, default="", editable=False, db_collation="C")
    contact_email = models.EmailField(max_length=254)
    country = models.CharField(max_length=2, help_text="ISO 3166-1 alpha-2, of the vendor's bank.")
    tax_id = EncryptedField()
    # The number itself, what is shown of it, what equal ones of the organisation are found by, and what
    # stands for it outside: stable, and of no use to anybody who wants the number.
    iban = EncryptedField()
    iban_last4 = models.CharField(max_length=4, default="", editable=False)
    iban_index = models.CharField(max_length=43, default="", editable=False)
    iban_token = models.CharField(max_length=48, default="", editable=False)
    verification = models.CharField(
        max_length=16, choices=Verification.choices, default=Verification.UNVERIFIED, editable=False
    )
    bank_changed_at = models.DateTimeField(null=True, editable=False)
    bank_changed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, editable=False, related_name="+"
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, editable=False, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    version = models.PositiveIntegerField(default=1, editable=False)

    objects = VendorQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organisation_id", "name"], name="vendor_name_is_unique"),
            models.CheckConstraint(condition=Q(country__regex="^[A-Z]{2}$"), name="vendor_country_is_iso"),
            models.CheckConstraint(
                condition=Q(iban__isnull=True, iban_last4="", iban_index="", iban_token="")
                | (Q(iban__isnull=False) & ~Q(iban_last4="") & ~Q(iban_index="") & ~Q(iban_token="")),
                name="vendor_account_is_whole",
            ),
        ]
        indexes = [
            models.Index(fields=["organisation_id", "-public_id"], name="vendor_page"),
            models.Index(fields=["organisation_id", "name_normalised"], name="vendor_search"),
            models.Index(fields=["organisation_id", "iban_index"], name="vendor_account"),
        ]
        triggers = [keep_public_id()]

    def __str__(self) -> str:
        return str(self.public_id)

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.name_normalised = normalise_name(self.name)
        super().save(*args, **kwargs)

    def set_account(self, iban: str) -> None:
        """The account, and what is derived from it. Its country is the bank's."""
        self.iban = iban
        self.iban_last4 = iban[-4:]
        self.iban_index = self._blind("iban", iban)
        self.iban_token = f"acct_{self._blind('iban_token', iban)}"
        self.country = iban[:2]

    def change(self, data: dict[str, Any]) -> None:
        """What may be edited, not saved. Under another name or tax id it is another payee, and unverified."""
        tax_id = self.tax_id.decrypt() if self.tax_id is not None else None
        if (data.get("name", self.name), data.get("tax_id", tax_id)) != (self.name, tax_id):
            self.verification = self.Verification.UNVERIFIED
        for name, value in data.items():
            setattr(self, name, value)

    def change_bank(self, iban: str, *, user_id: int, now: datetime) -> None:
        """Another account: unverified, and by whom and when, which keeps payments back (check_payable)."""
        self.set_account(iban)
        self.verification = self.Verification.UNVERIFIED
        self.bank_changed_by_id = user_id
        self.bank_changed_at = now
        self.version += 1
        self.save()

    @property
    def same_account(self) -> list[UUID]:
        """Public ids of others with this account: a group's, or a fraud."""
        others = Vendor.objects.with_account_of(self).order_by("public_id")
        return list(others.values_list("public_id", flat=True)[:MAX_SAME_ACCOUNT])

    def _blind(self, column: str, value: str) -> str:
        return blind_index(value, column=f"vendor.{column}", organisation_id=self.organisation_id)

    def check_payable(self, *, now: datetime) -> None:
        """Raises VendorNotVerified or CoolingOff when nothing may be released to this vendor yet."""
        if self.verification != self.Verification.VERIFIED:
            raise VendorNotVerified
        if self.bank_changed_at is not None and now < self.bank_changed_at + BANK_COOLING_OFF:
            raise CoolingOff


def normalise_name(name: str) -> str:
    """A name as searched for: case and width do not matter."""
    return unicodedata.normalize("NFKC", name).casefold()[:MAX_NAME]


def normalise_number(number: str) -> str:
    """An invoice number as compared for duplicates: case, blanks and punctuation do not make it another."""
    return re.sub(r"[\W_]+", "", unicodedata.normalize("NFKC", number)).upper()


class Invoice(PublicIdModel, TenantModel):
    """One invoice of a vendor. Created as a draft; changes state through actions only."""

    class Status(models.TextChoices):
        DRAFT = "draft"
        SUBMITTED = "submitted"
        APPROVED = "approved"
        RELEASED = "released"
        REJECTED = "rejected"
        VOID = "void"

    #: action → the states it may start from.
    TRANSITIONS: ClassVar[dict[str, frozenset[str]]] = {
        "submit": frozenset({Status.DRAFT}),
        "approve": frozenset({Status.SUBMITTED}),
        "reject": frozenset({Status.SUBMITTED}),
        "release": frozenset({Status.APPROVED}),
        "void": frozenset({Status.DRAFT, Status.SUBMITTED, Status.APPROVED}),
    }

    vendor = models.ForeignKey(Vendor, on_delete=models.PROTECT, related_name="invoices")
    number = models.CharField(max_length=MAX_NUMBER)
    number_normalised = models.CharField(max_length=MAX_NUMBER, editable=False, db_collation="C")
    amount = models.BigIntegerField(help_text="Minor units of the organisation's currency.")
    currency = models.CharField(max_length=3, editable=False)
    issue_date = models.DateField()
    due_date = models.DateField()
    internal_note = models.CharField(max_length=2000, blank=True, default="")
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.DRAFT, editable=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, editable=False, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    released_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, editable=False, related_name="+"
    )
    version = models.PositiveIntegerField(default=1, editable=False)

    objects = InvoiceQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["vendor", "number_normalised"], name="invoice_number_is_unique"),
            models.CheckConstraint(
                condition=Q(amount__gte=1, amount__lte=MAX_AMOUNT), name="invoice_amount_in_range"
            ),
            models.CheckConstraint(
                condition=Q(due_date__gte=F("issue_date")), name="invoice_due_not_before_issue"
            ),
            models.CheckConstraint(
                condition=Q(status="released", released_by__isnull=False)
                | (~Q(status="released") & Q(released_by__isnull=True)),
                name="invoice_released_by_somebody",
            ),
            models.CheckConstraint(
                condition=~Q(released_by=F("created_by")), name="invoice_releaser_is_not_creator"
            ),
        ]
        indexes = [
            models.Index(fields=["organisation_id", "-public_id"], name="invoice_page"),
            models.Index(fields=["vendor", "-public_id"], name="invoice_page_of_vendor"),
            models.Index(fields=["organisation_id", "number_normalised"], name="invoice_search"),
        ]
        triggers = [SameTenant("vendor"), share_new_invoice(), share_moved_invoice()]

    def __str__(self) -> str:
        return str(self.public_id)

    def submit(self) -> None:
        """draft → submitted."""
        self._leave("submit")
        self.status = self.Status.SUBMITTED
        self._save()

    def approve(self, user_id: int) -> None:
        """submitted → approved, once enough people other than the creator have approved."""
        self._leave("approve")
        if user_id in {self.created_by_id, self.vendor.bank_changed_by_id}:
            raise SeparationOfDuties
        _, created = Approval.objects.get_or_create(
            invoice=self, user_id=user_id, defaults={"organisation_id": self.organisation_id}
        )
        if not created:
            raise SeparationOfDuties
        if self.approvals.count() >= self.approvals_needed:
            self.status = self.Status.APPROVED
        self._save()

    def reject(self) -> None:
        """submitted → rejected."""
        self._leave("reject")
        self.status = self.Status.REJECTED
        self._save()

    def void(self) -> None:
        """draft, submitted or approved → void."""
        self._leave("void")
        self.status = self.Status.VOID
        self._save()

    def release(self, user_id: int, *, now: datetime | None = None) -> None:
        """approved → released, to a vendor that is payable.

        Creator, approvers, releaser and who last entered the account are different people, whatever their
        roles were at the time.
        """
        self._leave("release")
        editor = self.vendor.bank_changed_by_id
        approvers = set(self.approvals.values_list("user_id", flat=True))
        if user_id in {self.created_by_id, editor, *approvers}:
            raise SeparationOfDuties
        if editor in {self.created_by_id, *approvers}:
            raise SeparationOfDuties("Its creator and approvers may not have entered the vendor's account.")
        self.vendor.check_payable(now=now or timezone.now())
        self.status = self.Status.RELEASED
        self.released_by_id = user_id
        self._save()

    @property
    def approvals_needed(self) -> int:
        return 2 if self.amount >= TWO_APPROVERS_FROM else 1

    def _leave(self, action: str) -> None:
        if self.status not in self.TRANSITIONS[action]:
            raise StateConflict(self.status)

    def _save(self) -> None:
        self.version += 1
        self.save(update_fields=["status", "released_by", "version"])


#: The states in which everything about an invoice may be changed.
DRAFT = frozenset({Invoice.Status.DRAFT})


class Approval(TenantModel):
    """One person's approval of one invoice."""

    invoice = models.ForeignKey(Invoice, on_delete=models.CASCADE, related_name="approvals")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["invoice", "user"], name="one_approval_per_person")]
        triggers = [SameTenant("invoice")]

    def __str__(self) -> str:
        return f"{self.invoice_id} {self.user_id}"


# --- who outside sees what: named as django-guardian finds them ---


class VendorUserObjectPermission(PublicIdModel, UserGrant):
    """A vendor shared with a contact, and with it the vendor's invoices."""

    content_object = models.ForeignKey(Vendor, on_delete=models.CASCADE)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta(UserGrant.Meta):
        triggers = [place_grant("resources", "vendor"), share_invoices("user")]


class VendorGroupObjectPermission(GroupGrant):
    """A vendor shared with the people of a group."""

    content_object = models.ForeignKey(Vendor, on_delete=models.CASCADE)

    class Meta(GroupGrant.Meta):
        triggers = [place_grant("resources", "vendor"), share_invoices("group")]


class InvoiceUserObjectPermission(UserGrant):
    """An invoice shared with a contact: through its vendor (``source``), which takes it back as well."""

    content_object = models.ForeignKey(Invoice, on_delete=models.CASCADE)
    source = models.ForeignKey(VendorUserObjectPermission, on_delete=models.CASCADE, null=True)

    class Meta(UserGrant.Meta):
        triggers = [place_grant("resources", "invoice"), SameTenant("source")]


class InvoiceGroupObjectPermission(GroupGrant):
    """An invoice shared with the people of a group, as above."""

    content_object = models.ForeignKey(Invoice, on_delete=models.CASCADE)
    source = models.ForeignKey(VendorGroupObjectPermission, on_delete=models.CASCADE, null=True)

    class Meta(GroupGrant.Meta):
        triggers = [place_grant("resources", "invoice"), SameTenant("source")]
