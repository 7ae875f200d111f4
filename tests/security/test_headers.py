"""security.headers."""

import pytest

from tests.clients import Api, Page

pytestmark = pytest.mark.django_db

EVERYWHERE = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
}
API_CSP = "default-src 'none'; frame-ancestors 'none'"


def assert_headers(response):
    for name, value in EVERYWHERE.items():
        assert response[name] == value, name
    assert response["Permissions-Policy"]
    assert {part.strip().lower() for part in response["Vary"].split(",")} >= {"origin", "accept"}
    hsts = response["Strict-Transport-Security"]
    assert int(hsts.split(";")[0].removeprefix("max-age=")) >= 31_536_000
    assert "includeSubDomains" in hsts
    assert "X-Powered-By" not in response


@pytest.mark.asvs("14.2.2", "14.3.2")
@pytest.mark.parametrize(
    ("method", "route", "status"),
    [
        ("GET", "/v1/me", 401),
        ("GET", "/nowhere", 404),
        ("DELETE", "/v1/me", 405),
        ("TRACE", "/v1/me", 405),
        ("GET", "/healthz", 200),
        ("GET", "/.well-known/oauth-authorization-server", 200),
        ("POST", "/oauth/token", 400),
        ("GET", "/docs", 302),
    ],
)
def test_every_answer_carries_them_and_is_not_stored(method, route, status):
    response = Api().generic(method, route)

    assert response.status_code == status
    assert_headers(response)
    assert response["Cache-Control"] == "no-store"
    if not response.headers.get("Content-Type", "").startswith("text/html"):
        assert response["Content-Security-Policy"] == API_CSP


def test_plain_http_and_bad_hosts_carry_them_too():
    assert_headers(Api().get("/v1/me", plain=True))
    assert_headers(Api().get("/v1/me", HTTP_HOST="evil.example"))


def test_pages_have_a_policy_without_inline_code():
    response = Page().get("/sign-in")

    assert_headers(response)
    policy = response["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "form-action 'self'" in policy
    assert "unsafe" not in policy


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "nope", 404), ("POST", "accounts/page.css", 405)]
)
def test_what_is_no_static_file_may_not(method, path, status):
    response = Api().generic(method, f"/static/{path}")

    assert response.status_code == status
    assert response["Cache-Control"] == "no-store"


def test_static_files_may_be_cached_and_carry_them():
    response = Api().get("/static/accounts/page.css")

    assert response.status_code == 200
    assert_headers(response)
    assert response["Cache-Control"] != "no-store"
    response.close()


@pytest.mark.parametrize(
    ("origin", "allowed"), [("https://app.example", True), ("https://evil.example", False), ("null", False)]
)
def test_cors_is_an_exact_list_without_credentials(settings, origin, allowed):
    settings.CORS_ALLOWED_ORIGINS = ["https://app.example"]

    response = Api().get("/v1/me", HTTP_ORIGIN=origin)

    assert ("Access-Control-Allow-Origin" in response) is allowed
    assert "Access-Control-Allow-Credentials" not in response
    if allowed:
        exposed = response["Access-Control-Expose-Headers"]
        assert {"RateLimit", "RateLimit-Policy", "Retry-After", "WWW-Authenticate"} <= {
            name.strip() for name in exposed.split(",")
        }


def test_cors_is_never_on_the_authorize_page(settings):
    settings.CORS_ALLOWED_ORIGINS = ["https://app.example"]

    assert "Access-Control-Allow-Origin" not in Api().get(
        "/oauth/authorize", HTTP_ORIGIN="https://app.example"
    )
