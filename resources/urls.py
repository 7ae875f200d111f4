"""Routes of the sample domain, under /v1/."""

from django.urls import URLPattern

from resources.views import InvoiceViewSet, VendorViewSet
from security.routes import resource

urlpatterns: list[URLPattern] = [
    *resource("vendors", VendorViewSet),
    *resource("invoices", InvoiceViewSet, actions=("submit", "approve", "reject", "void", "release")),
]
