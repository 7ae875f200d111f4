"""Triggers: a grant on a vendor brings one on each of its invoices, and takes it along when it goes.

In the database, so that no writer of either table can forget it, and so that a contact's list of invoices is
read from one index whatever was shared. A grant that came this way names its ``source``; deleting that one
deletes it, and changing whom that one is for, or what, or which permission it is, makes them anew.
"""

import pgtrigger

HOLDERS = ("user", "group")
VIEW_INVOICE = (
    "(SELECT p.id FROM auth_permission p JOIN django_content_type c ON c.id = p.content_type_id "
    "WHERE c.app_label = 'resources' AND c.model = 'invoice' AND p.codename = 'view_invoice')"
)


def share_invoices(holder: str) -> pgtrigger.Trigger:
    """Of a grant on a vendor. The lock waits for invoices that are being entered and holds up those to come,
    so that none is missed between the two, and none is shared that is on its way to another vendor."""
    old, new = (f"({row}.content_object_id, {row}.{holder}_id, {row}.can_view)" for row in ("OLD", "NEW"))
    unshare = (
        f"IF TG_OP = 'UPDATE' THEN IF {old} IS NOT DISTINCT FROM {new} THEN RETURN NULL; END IF; "
        f"DELETE FROM {_grants_on('invoice', holder)} WHERE source_id = NEW.id; END IF;"
    )
    lock = "PERFORM 1 FROM resources_vendor WHERE id = NEW.content_object_id FOR UPDATE;"
    share = (
        f"{_insert(holder)} SELECT i.id, {VIEW_INVOICE}, NEW.{holder}_id, NEW.id FROM resources_invoice i "
        f"WHERE i.vendor_id = NEW.content_object_id AND NEW.can_view "
        "FOR SHARE OF i ON CONFLICT DO NOTHING;"
    )
    changed = pgtrigger.UpdateOf("content_object_id", f"{holder}_id", "permission_id")  # type: ignore[no-untyped-call]  # the library's
    return pgtrigger.Trigger(
        name="share_invoices",
        when=pgtrigger.After,
        operation=pgtrigger.Insert | changed,
        func=f"{unshare} {lock} {share} RETURN NULL;",
    )


def share_new_invoice() -> pgtrigger.Trigger:
    """Of an invoice: with those who hold a grant on its vendor."""
    return pgtrigger.Trigger(
        name="share_new_invoice",
        when=pgtrigger.After,
        operation=pgtrigger.Insert,
        func=f"{_share_one()} RETURN NULL;",
    )


def share_moved_invoice() -> pgtrigger.Trigger:
    """Of an invoice that goes to another vendor: no longer with the first one's contacts."""
    tables = [_grants_on("invoice", holder) for holder in HOLDERS]
    ids = "content_object_id = NEW.id AND source_id IS NOT NULL"
    unshare = " ".join(f"DELETE FROM {table} WHERE {ids};" for table in tables)
    return pgtrigger.Trigger(
        name="share_moved_invoice",
        when=pgtrigger.After,
        operation=pgtrigger.UpdateOf("vendor_id"),  # type: ignore[no-untyped-call]  # the library's
        condition=pgtrigger.Q(old__vendor__df=pgtrigger.F("new__vendor")),
        func=f"{unshare} {_share_one()} RETURN NULL;",
    )


def _share_one() -> str:
    """SQL: an invoice is shared with those with whom its vendor is."""
    lock = "PERFORM 1 FROM resources_vendor WHERE id = NEW.vendor_id FOR KEY SHARE;"
    return " ".join([lock, *(_share_with_holders(holder) for holder in HOLDERS)])


def _share_with_holders(holder: str) -> str:
    return (
        f"{_insert(holder)} SELECT NEW.id, {VIEW_INVOICE}, v.{holder}_id, v.id "
        f"FROM {_grants_on('vendor', holder)} v "
        f"WHERE v.content_object_id = NEW.vendor_id AND v.can_view "
        "FOR KEY SHARE OF v ON CONFLICT DO NOTHING;"
    )


def _insert(holder: str) -> str:
    columns = f"content_object_id, permission_id, {holder}_id, source_id"
    return f"INSERT INTO {_grants_on('invoice', holder)} ({columns})"


def _grants_on(what: str, holder: str) -> str:
    return f"resources_{what}{holder}objectpermission"
