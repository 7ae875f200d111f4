"""What the API reads and what it writes, apart. Nothing is writable that is not named in a writer."""

from typing import Any

from django.contrib.auth import get_user_model
from rest_framework import serializers
from schwifty import IBAN
from schwifty.exceptions import SchwiftyException

from resources.models import (
    DRAFT,
    MAX_AMOUNT,
    MAX_NAME,
    MAX_NUMBER,
    MAX_SAME_ACCOUNT,
    Invoice,
    Vendor,
    VendorUserObjectPermission,
    normalise_number,
)
from security.field_access import FieldRule
from security.identifiers import PublicIdField, PublicIdRelatedField
from security.masking import MaskedField, RevealedField
from security.pagination import PageQuery
from security.scopes import CONTACT_ROLE, SERVICE_ROLE, all_roles
from security.serializers import ReadSerializer
from security.strict_input import (
    StrictCharField,
    StrictChoiceField,
    StrictIntegerField,
    StrictModelSerializer,
    StrictRegexField,
    StrictSerializer,
)

#: Whoever belongs to the organisation.
MEMBERS = frozenset(all_roles()) - {CONTACT_ROLE} | {SERVICE_ROLE}


class VendorReader(ReadSerializer[Vendor]):
    field_rules = dict.fromkeys(("iban_token", "bank_changed_at"), FieldRule(roles=MEMBERS))

    id = PublicIdField()
    tax_id = MaskedField(help_text="Dots where there is one.")
    iban = MaskedField(last="iban_last4", help_text="The last four characters.")

    class Meta:
        model = Vendor
        fields = (
            "id",
            "name",
            "contact_email",
            "country",
            "tax_id",
            "iban",
            "iban_token",
            "verification",
            "bank_changed_at",
            "created_at",
            "version",
        )


class VendorWriter(StrictModelSerializer[Vendor]):
    """What may be written of a vendor."""

    examples = {"name": "Northwind Paper", "country": "DE", "tax_id": "DE 123 456 788"}

    country = StrictRegexField("^[A-Z]{2}$", min_length=2, max_length=2, help_text="ISO 3166-1 alpha-2.")
    tax_id = StrictRegexField(
        "^[A-Z0-9][A-Z0-9 ./-]*[A-Z0-9]$",
        min_length=4,
        max_length=32,
        required=False,
        allow_null=True,
        write_only=True,
        help_text="Capital letters, digits, blanks, dots, slashes and hyphens. Shown to nobody afterwards.",
    )

    class Meta:
        model = Vendor
        fields = ("name", "contact_email", "country", "tax_id")


class BankDetailsWriter(StrictSerializer):
    examples = {"iban": "NO9386011117947"}

    iban = StrictRegexField(
        "^[A-Z]{2}[0-9]{2}[A-Z0-9]+$",
        min_length=15,
        max_length=34,
        write_only=True,
        help_text="IBAN (ISO 13616) in electronic format: capital letters and digits, without blanks.",
    )

    def validate_iban(self, value: str) -> str:
        try:
            IBAN(value)
        except SchwiftyException:
            # Without the library's words, which repeat the value.
            raise serializers.ValidationError("It is not an IBAN.", code="iban") from None
        return value


class BankDetailsReader(ReadSerializer[Vendor]):
    """A vendor's bank after a change, and who else of the organisation's vendors is paid there."""

    id = PublicIdField()
    iban = MaskedField(last="iban_last4", help_text="The last four characters.")
    same_account = serializers.ListField(
        child=serializers.UUIDField(),
        max_length=MAX_SAME_ACCOUNT,
        read_only=True,
        help_text="Other vendors of the organisation with this account.",
    )

    class Meta:
        model = Vendor
        fields = (
            "id",
            "country",
            "iban",
            "iban_token",
            "same_account",
            "verification",
            "bank_changed_at",
            "version",
        )


class RevealWriter(StrictSerializer):
    examples = {"reason": "The bank sent the payment back"}

    reason = StrictCharField(
        min_length=10,
        max_length=200,
        help_text="Why the number is needed. Kept in the audit trail, so without numbers of its own.",
    )


class RevealReader(ReadSerializer[Vendor]):
    """An account number in full."""

    id = PublicIdField()
    iban = RevealedField(max_length=34)

    class Meta:
        model = Vendor
        fields = ("id", "iban")


class VendorQuery(PageQuery):
    search = StrictCharField(required=False, max_length=MAX_NAME, help_text="The beginning of the name.")


class ShareReader(ReadSerializer[VendorUserObjectPermission]):
    """A vendor shared with a contact."""

    id = PublicIdField()
    contact = PublicIdField(source="user.public_id")

    class Meta:
        model = VendorUserObjectPermission
        fields = ("id", "contact", "created_at")


class ShareWriter(StrictSerializer):
    contact = PublicIdRelatedField(
        queryset=lambda access: get_user_model().objects.contacts_of(access.organisation_id),
        help_text="The public id of a person who is a contact of the organisation.",
    )


class InvoiceReader(ReadSerializer[Invoice]):
    field_rules = {"internal_note": FieldRule(roles=MEMBERS)}

    id = PublicIdField()
    vendor = PublicIdField(source="vendor.public_id")

    class Meta:
        model = Invoice
        fields = (
            "id",
            "vendor",
            "number",
            "amount",
            "currency",
            "issue_date",
            "due_date",
            "internal_note",
            "status",
            "created_at",
            "version",
        )


class InvoiceWriter(StrictModelSerializer[Invoice]):
    """What may be written of an invoice."""

    examples = {"number": "NP-2026-001", "amount": 129_900}

    # Settled when the invoice is submitted: what is approved is what is paid. The note stays open until then.
    field_rules = dict.fromkeys(
        ("vendor", "number", "amount", "issue_date", "due_date"), FieldRule(states=DRAFT)
    )

    vendor = PublicIdRelatedField(
        queryset=lambda access: Vendor.objects.filter(organisation_id=access.organisation_id)
    )
    amount = StrictIntegerField(
        min_value=1, max_value=MAX_AMOUNT, help_text="Minor units of the organisation's currency."
    )

    class Meta:
        model = Invoice
        fields = ("vendor", "number", "amount", "issue_date", "due_date", "internal_note")

    def validate_number(self, value: str) -> str:
        if not normalise_number(value):
            raise serializers.ValidationError("It has neither letters nor digits.", code="empty")
        if len(normalise_number(value)) > MAX_NUMBER:
            raise serializers.ValidationError("Its letters stand for too many others.", code="max_length")
        return value

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        issued = attrs.get("issue_date", getattr(self.instance, "issue_date", None))
        due = attrs.get("due_date", getattr(self.instance, "due_date", None))
        if issued is not None and due is not None and due < issued:
            raise serializers.ValidationError({"due_date": "It is before the issue date."}, code="order")
        return attrs


class InvoiceQuery(PageQuery):
    search = StrictCharField(required=False, max_length=64, help_text="The beginning of the number.")
    status = StrictChoiceField(choices=Invoice.Status.choices, required=False, help_text="Only this status.")
