"""Good requests for the contract tests."""

from datetime import timedelta

from django.utils import timezone

from accounts.models import Invitation, Membership, Session
from accounts.oauth.models import RefreshToken
from tests import factories
from tests.contract.walk import Call, Team


def membership(team: Team) -> Membership:
    user = factories.member("auditor", team.organisation)
    return Membership.objects.get(user=user, organisation=team.organisation)


def invitation(team: Team) -> Invitation:
    return Invitation.objects.create(
        organisation_id=team.organisation.pk,
        email=f"invited{next(factories.number)}@new.example",
        role="auditor",
        invited_by=team.user("org_admin"),
        token_digest=Invitation.digest(Invitation.new_token()),
        expires_at=timezone.now() + timedelta(days=1),
    )


def own_session(team: Team) -> Session:
    return factories.session(team.user("auditor"))


def own_grant(team: Team) -> RefreshToken:
    return factories.grant(team.user("auditor"), team.organisation)


def several(make, role="org_admin"):
    """A list's cost must not depend on its length."""

    def build(team: Team) -> Call:
        for _ in range(4):
            make(team)
        return Call(role)

    return build


def new_invitation(team: Team) -> Call:
    return Call("org_admin", None, {"email": f"new{next(factories.number)}@new.example", "role": "auditor"})


EXAMPLES = {
    "GET /v1/me": lambda team: Call("org_admin"),
    "GET /v1/me/sessions": several(own_session, "auditor"),
    "DELETE /v1/me/sessions/{id}": lambda team: Call("auditor", own_session(team)),
    "GET /v1/me/grants": several(own_grant, "auditor"),
    "DELETE /v1/me/grants/{id}": lambda team: Call("auditor", own_grant(team)),
    "GET /v1/members": several(membership),
    "GET /v1/members/{id}": lambda team: Call("org_admin", membership(team)),
    "PATCH /v1/members/{id}": lambda team: Call("org_admin", membership(team), {"role": "org_admin"}),
    "DELETE /v1/members/{id}": lambda team: Call("org_admin", membership(team)),
    "GET /v1/invitations": several(invitation),
    "POST /v1/invitations": new_invitation,
    "DELETE /v1/invitations/{id}": lambda team: Call("org_admin", invitation(team)),
}
