"""What the API reads and what it writes, apart. Nothing is writable that is not named in a writer."""

from typing import Any

from rest_framework import serializers

from resources.models import MAX_AMOUNT, Invoice, Vendor, normalise_number
from security.identifiers import PublicIdField, PublicIdRelatedField
from security.pagination import PageQuery
from security.serializers import ReadSerializer
from security.strict_input import (
    StrictChoiceField,
    StrictIntegerField,
    StrictModelSerializer,
    StrictRegexField,
)


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


class InvoiceReader(ReadSerializer[Invoice]):
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
        return value

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        issued = attrs.get("issue_date", getattr(self.instance, "issue_date", None))
        due = attrs.get("due_date", getattr(self.instance, "due_date", None))
        if issued is not None and due is not None and due < issued:
            raise serializers.ValidationError({"due_date": "It is before the issue date."}, code="order")
        return attrs


class InvoiceQuery(PageQuery):
    status = StrictChoiceField(choices=Invoice.Status.choices, required=False, help_text="Only this status.")
