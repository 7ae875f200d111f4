"""Headers: the ones that every answer carries, errors and static files included.

Threat: cached private answers, sniffed types, framed pages, leaking referrers, a server that names its
versions. Guarantee: whatever answers (a view, an error handler, another middleware) leaves with this set.
An answer that is not HTML may load nothing and be framed by nobody; the HTML pages have the
page policy with nonces of settings.CONTENT_SECURITY_POLICY.

OWASP API8:2023. ASVS 3.4.1, 3.4.4, 3.4.5, 3.4.6, 3.4.8, 3.5.8, 14.3.2.
"""

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase
from django.utils.cache import patch_vary_headers

API_CSP = "default-src 'none'; frame-ancestors 'none'"
ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
}


class HeadersMiddleware:
    """Sets the headers. Just inside the request log, outside everything else."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response
        self.hsts = hsts()

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        headers = response.headers
        for name, value in ALWAYS.items():
            headers[name] = value
        headers["Strict-Transport-Security"] = self.hsts
        if not headers.get("Content-Type", "").startswith("text/html"):
            headers["Content-Security-Policy"] = API_CSP
        is_file = request.path_info.startswith(str(settings.STATIC_URL)) and response.status_code < 400
        if not is_file:
            # 404, 405 and 414 are cacheable by default; private answers must never be.
            headers["Cache-Control"] = "no-store"
        patch_vary_headers(response, ["Origin", "Accept"])
        return response


def hsts() -> str:
    """The value of Strict-Transport-Security. RFC 6797."""
    preload = "; preload" if settings.SECURE_HSTS_PRELOAD else ""
    return f"max-age={settings.SECURE_HSTS_SECONDS}; includeSubDomains{preload}"
