"""/v1/me: who am I here, where am I signed in, and what have I allowed to whom.

Threat: a session or a grant that its owner cannot see, and so never ends. Guarantee: each list holds the
caller's own rows, whatever their role; a session that is ended, by somebody who has just authenticated, feels
it with its next request, and taking back a
grant ends every code and token that the client has of the person, in all organisations, at once. A service
client has none of these.

ASVS 7.4.2, 7.5.2, 10.7.3. OWASP API2:2023.
"""

from datetime import timedelta
from typing import Any, ClassVar, cast

from django.conf import settings
from django.db.models import F, QuerySet
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.events import Event
from accounts.models import Session, User
from accounts.oauth.grants import alive, end
from accounts.oauth.models import RefreshToken
from accounts.reauthentication import RECENT
from accounts.serializers import GrantReader, MeReader, SessionReader
from security import audit
from security.object_permissions import NoObjects, ObjectRule
from security.pagination import PageQuery
from security.policy import Allow, PolicyViewSet, Rule
from security.scopes import Access, all_roles
from security.step_up import StepUp

READ = (Allow("account:read", frozenset(all_roles())),)
MANAGE = (Allow("account:manage", frozenset(all_roles())),)


class OwnObjects(ObjectRule):
    """Rows of the person's own: nobody else's exist for them, whatever their role."""

    for_contacts: ClassVar[bool] = True

    def scope(self, queryset: QuerySet[Any], access: Access) -> QuerySet[Any]:
        return queryset.filter(user_id=access.user_id)


class MeViewSet(PolicyViewSet):
    """Who am I, here?"""

    rules = {
        "retrieve": Rule(
            allow=READ,
            objects=NoObjects("the caller's own account, from the authentication statement"),
            throttle="read",
            response=MeReader,
        )
    }

    def retrieve(self, request: Request, **kwargs: Any) -> Response:
        return self.respond(self.access)


class SessionViewSet(PolicyViewSet):
    """The browsers in which I am signed in."""

    queryset = Session.objects.all()
    rules = {
        "list": Rule(
            allow=READ, objects=OwnObjects(), throttle="read", query=PageQuery, response=SessionReader
        ),
        "destroy": Rule(
            allow=MANAGE,
            objects=OwnObjects(),
            step_up=StepUp(max_age=RECENT),
            throttle="write",
            response=None,
            status=204,
        ),
    }

    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        now = timezone.now()
        idle = timedelta(seconds=settings.SESSION_IDLE_SECONDS)
        return queryset.filter(expire_date__gt=now, last_seen_at__gte=now - idle)

    def destroy(self, request: Request, **kwargs: Any) -> Response:
        self.get_object(lock=True).delete()
        _record(request, Event.SESSION_REVOKED)
        return self.respond(None)


class GrantViewSet(PolicyViewSet):
    """What I have allowed: one entry for each consent that still gives tokens."""

    queryset = (
        RefreshToken.objects.filter(revoked=None)
        .select_related("application", "organisation", "access_token")
        .annotate(public_id=F("token_family"))
    )
    rules = {
        "list": Rule(
            allow=READ, objects=OwnObjects(), throttle="read", query=PageQuery, response=GrantReader
        ),
        "destroy": Rule(allow=MANAGE, objects=OwnObjects(), throttle="write", response=None, status=204),
    }

    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return alive(queryset)

    def destroy(self, request: Request, **kwargs: Any) -> Response:
        """Ends every code and token that the client has of the caller, in all organisations."""
        # Locked first, as a token request does: what is issued at the same moment ends as well.
        User.objects.select_for_update(no_key=True).get(pk=self.access.user_id)
        grant = self.get_object(lock=True)
        end(grant)
        _record(request, Event.GRANT_REVOKED, client=grant.application.client_id)
        return self.respond(None)


def _record(request: Request, event: Event, **detail: str) -> None:
    """In the organisation in which the token acts."""
    access = cast(Access, request.auth)
    audit.record(
        request._request,
        event,
        organisations=[access.organisation_id],
        actor=access.user_public_id,
        client_id=access.client_id,
        detail=detail,
    )
