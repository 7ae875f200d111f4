"""The sample domain: accounts payable. What a fork replaces."""

from django.apps import AppConfig


class ResourcesConfig(AppConfig):
    name = "resources"

    scopes = {
        "vendors:read": "Read vendors",
        "vendors:write": "Create and edit vendors",
        "vendors:share": "Share vendors, and their invoices, with contacts",
        "vendors.bank:write": "Change the bank details of vendors",
        "vendors.bank:reveal": "See account numbers of vendors in full",
        "invoices:read": "Read invoices",
        "invoices:write": "Create, edit and submit invoices",
        "invoices:approve": "Approve, reject and void invoices",
        "invoices:release": "Release invoices for payment",
    }
    roles = {
        "clerk": "Enters vendors and invoices",
        "approver": "Approves or rejects what clerks submit",
        "treasurer": "Releases approved invoices for payment",
    }
    #: Roles that nobody has in a session without a second factor (accounts.second_factor).
    roles_requiring_mfa = frozenset({"approver", "treasurer"})
    #: Objects for the demo's organisations: (module with create(organisation_id, users) → public ids).
    demo = "resources.demo"
