"""Vendors and invoices over HTTP. Who may do what is the ``rules`` table of each view."""

from datetime import timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from rest_framework.request import Request
from rest_framework.response import Response

from resources.models import Invoice, Vendor, normalise_number
from resources.serializers import InvoiceQuery, InvoiceReader, InvoiceWriter, VendorReader, VendorWriter
from security.audit import record_change
from security.errors import Duplicate
from security.pagination import PageQuery
from security.policy import Allow, NoBody, PolicyViewSet, Rule, TenantObjects
from security.scopes import SERVICE_ROLE
from security.step_up import StepUp

CLERK = frozenset({"clerk"})
APPROVER = frozenset({"approver"})
TREASURER = frozenset({"treasurer"})
EDITORS = CLERK | {SERVICE_ROLE}
READERS = EDITORS | APPROVER | TREASURER | {"auditor"}
DRAFT = frozenset({Invoice.Status.DRAFT})


class VendorViewSet(PolicyViewSet):
    """Somebody we pay."""

    queryset = Vendor.objects.all()
    rules = {
        "list": Rule(
            allow=(Allow("vendors:read", READERS),),
            objects=TenantObjects(),
            throttle="read",
            query=PageQuery,
            response=VendorReader,
        ),
        "retrieve": Rule(
            allow=(Allow("vendors:read", READERS),),
            objects=TenantObjects(),
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


class InvoiceViewSet(PolicyViewSet):
    """What a vendor asks us to pay, from draft to released."""

    queryset = Invoice.objects.select_related("vendor")
    rules = {
        "list": Rule(
            allow=(Allow("invoices:read", READERS),),
            objects=TenantObjects(),
            throttle="read",
            query=InvoiceQuery,
            response=InvoiceReader,
        ),
        "retrieve": Rule(
            allow=(Allow("invoices:read", READERS),),
            objects=TenantObjects(),
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
            allow=(Allow("invoices:write", EDITORS, states=DRAFT),),
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

    def filter_queryset(self, queryset: QuerySet[Invoice]) -> QuerySet[Invoice]:
        status = self.query.get("status")
        return queryset.filter(status=status) if status else queryset

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


def save_unique(instance: Vendor | Invoice) -> None:
    """Save, and turn a violated constraint into a 409 that leaves nothing behind."""
    try:
        with transaction.atomic():
            instance.save()
    except IntegrityError:
        raise Duplicate from None
