"""Routes of the sample domain, under /v1/."""

from django.urls import URLPattern

from resources.views import (
    InvoiceViewSet,
    ShareViewSet,
    VendorInvoiceViewSet,
    VendorShareViewSet,
    VendorViewSet,
)
from security.routes import nested, resource

urlpatterns: list[URLPattern] = [
    *resource("vendors", VendorViewSet, actions=("bank_details", "reveal_iban")),
    *nested("vendors", "invoices", VendorInvoiceViewSet),
    *nested("vendors", "shares", VendorShareViewSet),
    *resource("shares", ShareViewSet),
    *resource("invoices", InvoiceViewSet, actions=("submit", "approve", "reject", "void", "release")),
]
