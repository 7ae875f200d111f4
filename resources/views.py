"""Vendors and invoices over HTTP. Who may do what is the ``rules`` table of each view."""

from datetime import timedelta
from typing import Any

from django.contrib.auth.models import Permission
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from rest_framework.request import Request
from rest_framework.response import Response

from resources.models import (
    DRAFT,
    Invoice,
    InvoiceQuerySet,
    Vendor,
    VendorUserObjectPermission,
    normalise_number,
)
from resources.serializers import (
    InvoiceQuery,
    InvoiceReader,
    InvoiceWriter,
    ShareReader,
    ShareWriter,
    VendorQuery,
    VendorReader,
    VendorWriter,
)
from security.audit import record_change
from security.errors import Duplicate
from security.object_permissions import SharedObjects, TenantObjects
from security.pagination import PageQuery
from security.policy import Allow, NoBody, Parent, PolicyViewSet, Rule
from security.scopes import CONTACT_ROLE, SERVICE_ROLE
from security.step_up import StepUp

CLERK = frozenset({"clerk"})
APPROVER = frozenset({"approver"})
TREASURER = frozenset({"treasurer"})
ADMIN = frozenset({"org_admin"})
EDITORS = CLERK | {SERVICE_ROLE}
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
        ),
        "partial_update": Rule(
            allow=(Allow("vendors:write", EDITORS),),
            objects=TenantObjects(),
            throttle="write",
            request=VendorWriter,
            response=VendorReader,
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
        if data:
            for name, value in data.items():
                setattr(vendor, name, value)
            vendor.version += 1
            save_unique(vendor)
            record_change(request, "vendors:vendor:updated", vendor, fields=data)
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
        ),
        "partial_update": Rule(
            # In the second state only what the writer's field rules leave open.
            allow=(Allow("invoices:write", EDITORS, states=DRAFT | {Invoice.Status.SUBMITTED}),),
            objects=TenantObjects(),
            throttle="write",
            request=InvoiceWriter,
            response=InvoiceReader,
        ),
        "submit": Rule(
            allow=(Allow("invoices:write", CLERK, states=Invoice.TRANSITIONS["submit"]),),
            objects=TenantObjects(),
            throttle="write",
            request=NoBody,
            response=InvoiceReader,
        ),
        "approve": Rule(
            allow=(Allow("invoices:approve", APPROVER, states=Invoice.TRANSITIONS["approve"]),),
            objects=TenantObjects(),
            throttle="write",
            request=NoBody,
            response=InvoiceReader,
        ),
        "reject": Rule(
            allow=(Allow("invoices:approve", APPROVER, states=Invoice.TRANSITIONS["reject"]),),
            objects=TenantObjects(),
            throttle="write",
            request=NoBody,
            response=InvoiceReader,
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
        ),
        "release": Rule(
            allow=(Allow("invoices:release", TREASURER, states=Invoice.TRANSITIONS["release"]),),
            objects=TenantObjects(),
            throttle="write",
            request=NoBody,
            response=InvoiceReader,
            step_up=StepUp(max_age=timedelta(minutes=5)),
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
        """Lock, act, record: of parallel calls one succeeds and the others see the new state."""
        invoice: Invoice = self.get_object(lock=True)
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
