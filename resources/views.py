"""Vendors and invoices over HTTP. Who may do what is the ``rules`` table of each view."""

from datetime import timedelta
from typing import Any

from django.contrib.auth.models import Permission
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils import timezone
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from resources.account_numbers import has_iban, tells
from resources.errors import NoBankDetails
from resources.models import (
    DRAFT,
    Invoice,
    InvoiceQuerySet,
    Vendor,
    VendorUserObjectPermission,
    normalise_number,
)
from resources.serializers import (
    BankDetailsReader,
    BankDetailsWriter,
    InvoiceQuery,
    InvoiceReader,
    InvoiceWriter,
    RevealReader,
    RevealWriter,
    ShareReader,
    ShareWriter,
    VendorQuery,
    VendorReader,
    VendorWriter,
)
from security.audit import record_change
from security.errors import Duplicate, FieldFrozen
from security.object_permissions import SharedObjects, TenantObjects
from security.pagination import PageQuery
from security.policy import Allow, NoBody, Parent, PolicyViewSet, Rule
from security.quotas import spend
from security.scopes import CONTACT_ROLE, SERVICE_ROLE
from security.step_up import StepUp

CLERK = frozenset({"clerk"})
APPROVER = frozenset({"approver"})
TREASURER = frozenset({"treasurer"})
ADMIN = frozenset({"org_admin"})
EDITORS = CLERK | {SERVICE_ROLE}
#: For whatever leads to money: somebody who has been here just now.
PRESENT = StepUp(max_age=timedelta(minutes=5))
READERS = EDITORS | APPROVER | TREASURER | {"auditor", CONTACT_ROLE}


class VendorViewSet(PolicyViewSet):
    """Somebody we pay."""

    queryset = Vendor.objects.all()
    rules = {
        "list": Rule(
            allow=(Allow("vendors:read", READERS),),
            objects=SharedObjects(),
            throttle="read",
            query=VendorQuery,
            response=VendorReader,
        ),
        "retrieve": Rule(
            allow=(Allow("vendors:read", READERS),),
            objects=SharedObjects(),
            throttle="read",
            response=VendorReader,
        ),
        "create": Rule(
            allow=(Allow("vendors:write", EDITORS),),
            objects=TenantObjects(),
            throttle="write",
            request=VendorWriter,
            response=VendorReader,
            status=201,
            idempotent=True,
        ),
        "partial_update": Rule(
            allow=(Allow("vendors:write", EDITORS),),
            objects=TenantObjects(),
            throttle="write",
            request=VendorWriter,
            response=VendorReader,
            if_match=True,
        ),
        "bank_details": Rule(
            allow=(Allow("vendors.bank:write", CLERK),),
            objects=TenantObjects(),
            throttle="write",
            request=BankDetailsWriter,
            response=BankDetailsReader,
            step_up=PRESENT,
            if_match=True,
        ),
        "reveal_iban": Rule(
            allow=(Allow("vendors.bank:reveal", TREASURER),),
            objects=TenantObjects(),
            throttle="write",
            request=RevealWriter,
            response=RevealReader,
            step_up=PRESENT,
            if_match=False,
        ),
    }

    def filter_queryset(self, queryset: Any) -> Any:
        return queryset.named(self.query["search"]) if "search" in self.query else queryset

    def create(self, request: Request, **kwargs: Any) -> Response:
        data = self.read_body()
        vendor = Vendor(
            organisation_id=self.access.organisation_id, created_by_id=self.access.user_id, **data
        )
        save_unique(vendor)
        record_change(request, "vendors:vendor:created", vendor, fields=data)
        return self.respond(vendor)

    def partial_update(self, request: Request, **kwargs: Any) -> Response:
        vendor: Vendor = self.get_object(lock=True)
        data = self.read_body(vendor)
        if vendor.iban is not None and data.get("country", vendor.country) != vendor.country:
            raise FieldFrozen(["country"])  # it is that of the account
        if data:
            vendor.change(data)
            vendor.version += 1
            save_unique(vendor)
            record_change(request, "vendors:vendor:updated", vendor, fields=data)
        return self.respond(vendor)

    def bank_details(self, request: Request, **kwargs: Any) -> Response:
        """Another account. Whoever enters it has no other part in a payment to it, and nobody releases one
        before the account is verified and three days have passed."""
        vendor: Vendor = self.get_object(lock=True)
        data = self.read_body()
        vendor.change_bank(data["iban"], user_id=self.access.user_id, now=timezone.now())
        record_change(request, "vendors:bank:changed", vendor, fields=data)
        return self.respond(vendor)

    def reveal_iban(self, request: Request, **kwargs: Any) -> Response:
        """The account number in full, to a person, for a reason, so many times a day."""
        vendor: Vendor = self.get_object()
        reason = self.read_body()["reason"]
        if vendor.iban is None:
            raise NoBankDetails
        # First: were a reason judged when nothing is left, guesses in it would tell the number for nothing.
        spend("reveal", self.access.user_public_id)
        # Not for the tax id, which nobody is shown: whether it is in a reason would tell it, guess by guess.
        if has_iban(reason) or tells(reason, vendor.iban.decrypt()):
            raise ValidationError({"reason": "It holds an account number."}, code="value")
        record_change(request, "vendors:iban:revealed", vendor, reason=reason)
        return self.respond(vendor)


class VendorShareViewSet(PolicyViewSet):
    """With which contacts a vendor is shared. They see it and its invoices, and no internal note."""

    queryset = VendorUserObjectPermission.objects.filter(can_view=True).select_related("user")
    parent = Parent("content_object", Vendor.objects.all())
    rules = {
        "list": Rule(
            allow=(Allow("vendors:share", ADMIN),),
            objects=TenantObjects(),
            throttle="read",
            query=PageQuery,
            response=ShareReader,
        ),
        "create": Rule(
            allow=(Allow("vendors:share", ADMIN),),
            objects=TenantObjects(),
            throttle="write",
            request=ShareWriter,
            response=ShareReader,
            status=201,
            idempotent=True,
        ),
    }

    def create(self, request: Request, **kwargs: Any) -> Response:
        vendor = self.get_parent(lock=True)
        contact = self.read_body()["contact"]
        share = VendorUserObjectPermission(content_object=vendor, user=contact, permission=view_vendor())
        save_unique(share)
        record_change(request, "vendors:vendor:shared", vendor, contact=str(contact.public_id))
        return self.respond(share)


class ShareViewSet(PolicyViewSet):
    """One share, to be taken back."""

    queryset = VendorUserObjectPermission.objects.select_related("content_object", "user")
    rules = {
        "destroy": Rule(
            allow=(Allow("vendors:share", ADMIN),),
            objects=TenantObjects(),
            throttle="write",
            response=None,
            status=204,
        ),
    }

    def destroy(self, request: Request, **kwargs: Any) -> Response:
        share: VendorUserObjectPermission = self.get_object(lock=True)
        vendor, contact = share.content_object, share.user
        share.delete()
        record_change(request, "vendors:vendor:unshared", vendor, contact=str(contact.public_id))
        return self.respond(None)


class VendorInvoiceViewSet(PolicyViewSet):
    """The invoices of one vendor."""

    queryset = Invoice.objects.select_related("vendor")
    parent = Parent("vendor", Vendor.objects.all())
    rules = {
        "list": Rule(
            allow=(Allow("invoices:read", READERS),),
            objects=SharedObjects(),
            throttle="read",
            query=InvoiceQuery,
            response=InvoiceReader,
        ),
    }

    def filter_queryset(self, queryset: Any) -> QuerySet[Invoice]:
        return filter_invoices(queryset, self.query)


class InvoiceViewSet(PolicyViewSet):
    """What a vendor asks us to pay, from draft to released."""

    queryset = Invoice.objects.select_related("vendor")
    rules = {
        "list": Rule(
            allow=(Allow("invoices:read", READERS),),
            objects=SharedObjects(),
            throttle="read",
            query=InvoiceQuery,
            response=InvoiceReader,
        ),
        "retrieve": Rule(
            allow=(Allow("invoices:read", READERS),),
            objects=SharedObjects(),
            throttle="read",
            response=InvoiceReader,
        ),
        "create": Rule(
            allow=(Allow("invoices:write", EDITORS),),
            objects=TenantObjects(),
            throttle="write",
            request=InvoiceWriter,
            response=InvoiceReader,
            status=201,
            idempotent=True,
        ),
        "partial_update": Rule(
            # In the second state only what the writer's field rules leave open.
            allow=(Allow("invoices:write", EDITORS, states=DRAFT | {Invoice.Status.SUBMITTED}),),
            objects=TenantObjects(),
            throttle="write",
            request=InvoiceWriter,
            response=InvoiceReader,
            if_match=True,
        ),
        "submit": Rule(
            allow=(Allow("invoices:write", CLERK, states=Invoice.TRANSITIONS["submit"]),),
            objects=TenantObjects(),
            throttle="write",
            request=NoBody,
            response=InvoiceReader,
            if_match=True,
        ),
        "approve": Rule(
            allow=(Allow("invoices:approve", APPROVER, states=Invoice.TRANSITIONS["approve"]),),
            objects=TenantObjects(),
            throttle="write",
            request=NoBody,
            response=InvoiceReader,
            if_match=True,
        ),
        "reject": Rule(
            allow=(Allow("invoices:approve", APPROVER, states=Invoice.TRANSITIONS["reject"]),),
            objects=TenantObjects(),
            throttle="write",
            request=NoBody,
            response=InvoiceReader,
            if_match=True,
        ),
        "void": Rule(
            allow=(
                Allow("invoices:write", CLERK, states=DRAFT),
                Allow("invoices:approve", APPROVER, states=Invoice.TRANSITIONS["void"]),
            ),
            objects=TenantObjects(),
            throttle="write",
            request=NoBody,
            response=InvoiceReader,
            if_match=True,
        ),
        "release": Rule(
            allow=(Allow("invoices:release", TREASURER, states=Invoice.TRANSITIONS["release"]),),
            objects=TenantObjects(),
            throttle="write",
            request=NoBody,
            response=InvoiceReader,
            step_up=PRESENT,
            idempotent=True,
            if_match=True,
        ),
    }

    def filter_queryset(self, queryset: Any) -> QuerySet[Invoice]:
        return filter_invoices(queryset, self.query)

    def create(self, request: Request, **kwargs: Any) -> Response:
        data = self.read_body()
        invoice = Invoice(
            organisation_id=self.access.organisation_id,
            currency=self.access.currency,
            created_by_id=self.access.user_id,
            number_normalised=normalise_number(data["number"]),
            **data,
        )
        save_unique(invoice)
        record_change(request, "invoices:invoice:created", invoice, fields=data)
        return self.respond(invoice)

    def partial_update(self, request: Request, **kwargs: Any) -> Response:
        invoice: Invoice = self.get_object(lock=True)
        data = self.read_body(invoice)
        if data:
            for name, value in data.items():
                setattr(invoice, name, value)
            invoice.number_normalised = normalise_number(invoice.number)
            invoice.version += 1
            save_unique(invoice)
            record_change(request, "invoices:invoice:updated", invoice, fields=data)
        return self.respond(invoice)

    def submit(self, request: Request, **kwargs: Any) -> Response:
        return self._transition(request, "submitted", lambda invoice: invoice.submit())

    def approve(self, request: Request, **kwargs: Any) -> Response:
        return self._transition(request, "approved", lambda invoice: invoice.approve(self.access.user_id))

    def reject(self, request: Request, **kwargs: Any) -> Response:
        return self._transition(request, "rejected", lambda invoice: invoice.reject())

    def void(self, request: Request, **kwargs: Any) -> Response:
        return self._transition(request, "voided", lambda invoice: invoice.void())

    def release(self, request: Request, **kwargs: Any) -> Response:
        return self._transition(request, "released", lambda invoice: invoice.release(self.access.user_id))

    def _transition(self, request: Request, done: str, action: Any) -> Response:
        """Lock, act, record: of parallel calls one succeeds and the others see the new state.

        The vendor is locked too, and first, as a share does: its account is not changed while it is judged.
        """
        invoice: Invoice = self.get_object(lock=True, lock_first=["vendor"])
        self.read_body()
        before = invoice.status
        action(invoice)
        record_change(
            request, f"invoices:invoice:{done}", invoice, status={"from": before, "to": invoice.status}
        )
        return self.respond(invoice)


def filter_invoices(queryset: InvoiceQuerySet, query: dict[str, Any]) -> QuerySet[Invoice]:
    if status := query.get("status"):
        queryset = queryset.filter(status=status)
    return queryset.numbered(query["search"]) if "search" in query else queryset


def view_vendor() -> Permission:
    """The permission that a share is."""
    # With its content type, which guardian compares when the share is saved.
    return Permission.objects.select_related("content_type").get(
        codename="view_vendor", content_type__app_label="resources", content_type__model="vendor"
    )


def save_unique(instance: Vendor | Invoice | VendorUserObjectPermission) -> None:
    """Save, and turn a violated constraint into a 409 that leaves nothing behind."""
    try:
        with transaction.atomic():
            instance.save()
    except IntegrityError:
        raise Duplicate from None
