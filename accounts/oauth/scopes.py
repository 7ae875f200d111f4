"""Which scopes a client may ask for: its own allow-list, within the scopes that exist."""

from typing import Any

from oauth2_provider.scopes import BaseScopes

from security.scopes import all_scopes


class ApplicationScopes(BaseScopes):
    """SCOPES_BACKEND_CLASS. No application, no list: the metadata then names every scope that exists."""

    def get_all_scopes(self) -> dict[str, str]:
        return all_scopes()

    def get_available_scopes(
        self, application: Any = None, request: Any = None, *args: Any, **kwargs: Any
    ) -> list[str]:
        if application is None:
            return list(all_scopes())
        return [scope for scope in all_scopes() if scope in application.scopes]

    def get_default_scopes(
        self, application: Any = None, request: Any = None, *args: Any, **kwargs: Any
    ) -> list[str]:
        return []
