"""Object permissions: single objects shared with people outside, and nothing more than was shared.

Threat: an outsider who was shown one object and reads its neighbours; a list filtered by a check that costs
the whole table, so that somebody turns it off; one global permission, or the superuser's flag, that opens
every row. Guarantee: each action's rule says which rows its caller may see at all. ``TenantObjects`` are the
rows of the organisation. ``SharedObjects`` are these for its members; for a contact
(``security.scopes.CONTACT_ROLE``) only those for which they, or a group of theirs, hold the model's ``view``
permission: a row of django-guardian's in a table of that model's own. Global permissions and ``is_superuser``
are never asked. A contact's list takes the newest grants of the person and of each group by index, then joins
the rows: its cost is that of a page, however many grants there are and however old.

A model that can be shared has two grant models beside it, ``UserGrant`` and ``GroupGrant``::

    class VendorUserObjectPermission(UserGrant):
        content_object = models.ForeignKey(Vendor, on_delete=models.CASCADE)

        class Meta(UserGrant.Meta):
            triggers = [place_grant("resources", "vendor")]

and its migration gives all three tables row security. A rule that shares a model without them is
security.E002; settings that would let guardian open more are security.E060.

OWASP API1:2023. ASVS 8.2.2, 8.2.3, 8.3.1, 8.3.2.
"""

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, cast

import pgtrigger
from django.apps import apps
from django.conf import settings
from django.contrib.postgres.expressions import ArraySubquery
from django.core.checks import CheckMessage, Error, Tags, register
from django.db import models
from django.db.models import Exists, F, Func, OuterRef, Q, QuerySet
from guardian.models import GroupObjectPermissionBase, UserObjectPermissionBase

from security.pagination import Page, PageRequest, paginate
from security.row_security import TenantModel, TenantTrigger, tenant
from security.scopes import CONTACT_ROLE, Access


class ObjectRule:
    """Which rows of a view's queryset a caller may see at all. Everything else does not exist for them."""

    #: Whether a rule of an action with this may admit contacts.
    for_contacts: ClassVar[bool] = False

    def scope(self, queryset: QuerySet[Any], access: Access) -> QuerySet[Any]:
        """The rows of ``queryset`` that ``access`` may see."""
        return queryset.none()

    def page(
        self,
        queryset: QuerySet[Any],
        access: Access,
        wanted: PageRequest,
        narrow: Callable[[QuerySet[Any]], QuerySet[Any]],
    ) -> Page:
        """A page of those rows, filtered by ``narrow``."""
        return paginate(narrow(self.scope(queryset, access)), wanted)

    def faults(self, model: type[models.Model] | None) -> Iterator[str]:
        """What keeps the rule from working on ``model``, for the start-up check."""
        yield from ()


@dataclass(frozen=True, slots=True)
class TenantObjects(ObjectRule):
    """Rows of the one organisation that the token acts for."""

    lookup: str = "organisation_id"

    def scope(self, queryset: QuerySet[Any], access: Access) -> QuerySet[Any]:
        return queryset.filter(**{self.lookup: access.organisation_id})


@dataclass(frozen=True, slots=True)
class NoObjects(ObjectRule):
    """The action touches no stored object. The reason is for the reader."""

    for_contacts: ClassVar[bool] = True

    reason: str


class Grant(TenantModel):
    """What both kinds of grant have beside guardian's columns, filled in by the table's trigger.

    ``can_view`` says that the permission is the one to see the object. ``position`` is the public id of the
    object: the key of the index that a contact's page is read from.
    """

    can_view = models.BooleanField(editable=False)
    position = models.UUIDField(editable=False)

    class Meta:
        abstract = True


class UserGrant(Grant, UserObjectPermissionBase):
    """A permission on one object for one person. Subclasses add ``content_object``."""

    class Meta(UserObjectPermissionBase.Meta):
        abstract = True
        indexes = [
            models.Index(fields=["user", "organisation_id", "can_view", "-position"]),
            models.Index(fields=["user", "content_object", "can_view"]),
        ]


class GroupGrant(Grant, GroupObjectPermissionBase):
    """A permission on one object for the people of one group. Subclasses add ``content_object``."""

    class Meta(GroupObjectPermissionBase.Meta):
        abstract = True
        indexes = [
            models.Index(fields=["group", "organisation_id", "can_view", "-position"]),
            models.Index(fields=["group", "content_object", "can_view"]),
        ]


class PlaceGrant(TenantTrigger):
    """A grant is placed in the organisation of its object (``place_grant``)."""

    reference = "content_object"


def place_grant(app_label: str, model_name: str) -> PlaceGrant:
    """The trigger of a grant's table: organisation and position are those of the object, a row of the model.

    In the database, because guardian inserts in bulk as well; so a grant can never cross organisations. An
    object out of sight gives NULL, which the columns refuse.
    """
    fill_in = (
        f"SELECT o.organisation_id, o.public_id, p.codename = 'view_{model_name}' "
        "INTO NEW.organisation_id, NEW.position, NEW.can_view"
    )
    of = "o.id = NEW.content_object_id AND p.id = NEW.permission_id"
    return PlaceGrant(
        name="place_grant",
        when=pgtrigger.Before,
        operation=pgtrigger.Insert | pgtrigger.Update,
        func=f"{fill_in} FROM {app_label}_{model_name} o, auth_permission p WHERE {of}; RETURN NEW;",
    )


def revoke_all(*, user_id: int, organisation_id: int) -> None:
    """Take back every grant of one person in one organisation, whoever asks: a request, a page, a command."""
    with tenant(organisation_id):
        for model in apps.get_models():
            if issubclass(model, UserGrant):
                held = model.objects.filter(user_id=user_id, organisation_id=organisation_id)
                # In one order, so that two who take back the same do not wait for each other.
                keys = list(held.select_for_update().order_by("pk").values_list("pk", flat=True))
                model.objects.filter(pk__in=keys).delete()


@dataclass(frozen=True, slots=True)
class SharedObjects(TenantObjects):
    """Rows of the organisation for its members; for a contact, the rows that were shared with them."""

    for_contacts: ClassVar[bool] = True

    def scope(self, queryset: QuerySet[Any], access: Access) -> QuerySet[Any]:
        rows = TenantObjects.scope(self, queryset, access)
        return rows.filter(_is_shared(queryset.model, access)) if access.role == CONTACT_ROLE else rows

    def page(
        self,
        queryset: QuerySet[Any],
        access: Access,
        wanted: PageRequest,
        narrow: Callable[[QuerySet[Any]], QuerySet[Any]],
    ) -> Page:
        if access.role != CONTACT_ROLE:
            return TenantObjects.page(self, queryset, access, wanted, narrow)
        rows = TenantObjects.scope(self, queryset, access)
        narrowed = narrow(rows)
        of_person, of_group = grant_models(cast(Hashable, queryset.model))
        held = [of_person.objects.filter(user_id=access.user_id)]
        held += [of_group.objects.filter(group_id=group) for group in access.groups]
        ids: Any = None
        for grants in held:
            if narrowed is not rows:
                grants = grants.filter(content_object__in=narrowed)
            newest = ArraySubquery(_first(grants.filter(organisation_id=access.organisation_id), wanted))
            ids = newest if ids is None else Func(ids, newest, function="array_cat")
        return paginate(narrowed.filter(_is_any("pk", ids)), wanted)

    def faults(self, model: type[models.Model] | None) -> Iterator[str]:
        try:
            if model is not None:
                grant_models(model)
        except LookupError as error:
            yield str(error)


@cache
def grant_models(model: Any) -> tuple[Any, Any]:
    """The models of a person's and of a group's grants on ``model``. Raises LookupError if it lacks one.

    Guardian finds them too, and asks the database about content types for it.
    """
    related: list[Any] = [
        r.related_model for r in model._meta.related_objects if r.field.name == "content_object"
    ]
    found = [next((m for m in related if issubclass(m, base)), None) for base in (UserGrant, GroupGrant)]
    if None in found:
        raise LookupError(f"{model.__name__} is shared and lacks a UserGrant or a GroupGrant of its own")
    return found[0], found[1]


def _is_shared(model: type[models.Model], access: Access) -> Q:
    of_person, of_group = grant_models(model)
    this = {"content_object": OuterRef("pk"), "can_view": True}
    shared = Q(Exists(of_person.objects.filter(user_id=access.user_id, **this)))
    if access.groups:
        shared |= Q(Exists(of_group.objects.filter(group_id__in=access.groups, **this)))
    return shared


def _first(grants: QuerySet[Any], wanted: PageRequest) -> QuerySet[Any]:
    """The objects of the first of ``grants`` behind the cursor, read from the end of their index."""
    grants = grants.filter(can_view=True)
    if wanted.cursor is not None:
        grants = grants.filter(**{f"position__{wanted.beyond}": wanted.cursor})
    return grants.order_by(f"{wanted.sign}position").values("content_object_id")[: wanted.limit + 1]


def _is_any(field: str, array: Any) -> Func:
    """``field = ANY (array)``: an array that the database makes once, each of whose ids an index finds."""
    return Func(
        F(field),
        array,
        arg_joiner=" = ANY (",
        template="%(expressions)s)",
        output_field=models.BooleanField(),
    )


@register(Tags.security)
def check_object_permissions(**kwargs: Any) -> list[CheckMessage]:
    """security.E060: a setting under which guardian opens more than what was shared."""
    if getattr(settings, "ANONYMOUS_USER_NAME", "AnonymousUser") is None:
        return []
    return [
        Error(
            "ANONYMOUS_USER_NAME is not None: guardian makes an active user whom nobody is.",
            hint="Set ANONYMOUS_USER_NAME = None.",
            id="security.E060",
        )
    ]
