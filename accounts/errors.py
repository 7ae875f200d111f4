"""Refusals about members and invitations. Each ``slug`` is a page under /problems/."""

from http import HTTPStatus

from security.errors import DependencyUnavailable, Problem


class OwnMembership(Problem):
    """Nobody changes their own role."""

    status_code = HTTPStatus.FORBIDDEN
    slug = "own-membership"
    title = "Own membership"
    default_detail = "Nobody changes their own role: ask another administrator."
    meaning = "Roles are given by somebody else. You may leave the organisation, unless you are the last."


class LastAdministrator(Problem):
    """The organisation would have nobody left to administrate it."""

    status_code = HTTPStatus.CONFLICT
    slug = "last-administrator"
    title = "Last administrator"
    default_detail = "The organisation's last administrator stays: make somebody else one first."
    meaning = (
        "Each organisation keeps at least one active administrator, whatever happens at the same moment."
    )


class ContactBoundary(Problem):
    """A contact does not become a member by a change of role, nor the other way round."""

    status_code = HTTPStatus.CONFLICT
    slug = "contact-boundary"
    title = "Contact boundary"
    default_detail = "A contact is not made a member, nor a member a contact: remove, then invite anew."
    meaning = (
        "A contact sees what was shared, a member what the role opens. Crossing over takes the person's own "
        "consent: an invitation."
    )


class MailUnavailable(DependencyUnavailable):
    """The mail server did not take the message."""

    slug = "mail-unavailable"
    title = "Mail unavailable"
    default_detail = "The invitation is stored and was not sent. Invite the address again to send it."
    meaning = (
        "The mail server did not take the message, so nobody has the link. Inviting the address again makes "
        "a new one and sends it; or revoke the invitation."
    )
