"""Routes: the URL patterns of a resource, from the actions that its rules declare.

Threat: a route for a method that nobody meant to offer. Guarantee: an action without a rule has no route;
PUT does not exist; every path is exact, without a trailing slash or format suffix. OWASP API9:2023.
ASVS 4.1.4.
"""

from django.urls import URLPattern, path

from security.policy import PolicyViewSet

COLLECTION = {"get": "list", "post": "create"}
MEMBER = {"get": "retrieve", "patch": "partial_update", "delete": "destroy"}


def resource(prefix: str, view: type[PolicyViewSet], *, actions: tuple[str, ...] = ()) -> list[URLPattern]:
    """``prefix``, ``prefix/<id>`` and ``prefix/<id>/<action>`` (POST) for what ``view.rules`` declares."""
    member = f"{prefix}/<str:id>"
    offered = [(prefix, COLLECTION), (member, MEMBER)]
    offered += [(f"{member}/{action.replace('_', '-')}", {"post": action}) for action in actions]
    patterns = []
    for route, methods in offered:
        declared = {method: action for method, action in methods.items() if action in view.rules}
        # An explicit action goes through even undeclared, so that the start-up check names it.
        declared |= {method: action for method, action in methods.items() if action in actions}
        if declared:
            name = route.replace("/<str:id>", "-item").replace("/", "-")
            patterns.append(path(route, view.as_view(dict(declared)), name=name))
    return patterns


def nested(parents: str, prefix: str, view: type[PolicyViewSet]) -> list[URLPattern]:
    """``parents/<id>/prefix``: the collection of what belongs to one parent (``view.parent``)."""
    declared = {method: action for method, action in COLLECTION.items() if action in view.rules}
    return [path(f"{parents}/<str:id>/{prefix}", view.as_view(dict(declared)), name=f"{parents}-{prefix}")]
