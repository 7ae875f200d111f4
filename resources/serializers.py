"""What the API reads and what it writes, apart. Nothing is writable that is not named in a writer."""

from typing import Any

from django.contrib.auth import get_user_model
from rest_framework import serializers

from resources.models import (
    DRAFT,
    MAX_AMOUNT,
    MAX_NAME,
    MAX_NUMBER,
    Invoice,
    Vendor,
    VendorUserObjectPermission,
    normalise_number,
)
from security.field_access import FieldRule
from security.identifiers import PublicIdField, PublicIdRelatedField
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
    id = PublicIdField()

    class Meta:
        model = Vendor
        fields = ("id", "name", "contact_email", "country", "verification", "created_at", "version")


class VendorWriter(StrictModelSerializer[Vendor]):
    country = StrictRegexField("^[A-Z]{2}$", min_length=2, max_length=2, help_text="ISO 3166-1 alpha-2.")

    class Meta:
        model = Vendor
        fields = ("name", "contact_email", "country")


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
