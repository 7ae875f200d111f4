"""django-oauth-toolkit as it comes, in its strictest configuration, in a process of its own: what it does.

Run by test_defects. Prints JSON: the number of the defect → whether it was seen. SQLite, so that it needs
nothing; what only PostgreSQL or threads show (3, 9) is not among them.
"""

import base64
import hashlib
import json
import logging
import warnings
from urllib.parse import parse_qs, urlsplit

import django
from django.conf import settings
from django.urls import include, path

warnings.simplefilter("ignore")
logging.disable(logging.CRITICAL)
SCHEMES = ("IMPLICIT_GRANT", "PASSWORD_GRANT", "PKCE_METHOD", "ACCESS_TOKEN_TRANSPORT", "AUTHZ_RESPONSE_ISS")
SCHEMES += ("TOKEN_STORAGE", "REFRESH_TOKEN", "REDIRECT_URI_SCHEME", "REDIRECT_URI_MATCHING", "PKCE_REQUIRED")

settings.configure(
    SECRET_KEY="x" * 60,
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    USE_TZ=True,
    INSTALLED_APPS=[
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.sessions",
        "oauth2_provider",
        "rest_framework",
    ],
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
    ],
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
    OAUTH2_PROVIDER={
        **{f"COMPLIANT_BCP_RFC9700_{name}": True for name in SCHEMES},
        "REFRESH_TOKEN_REUSE_PROTECTION": True,
        "ROTATE_REFRESH_TOKEN": True,
        "PKCE_REQUIRED": True,
        "ALLOWED_REDIRECT_URI_SCHEMES": ["https"],
        "SCOPES": {"read": "Read", "introspection": "Introspect"},
        "OIDC_ENABLED": True,
        "OIDC_RSA_PRIVATE_KEY": "",
        "OIDC_ISS_ENDPOINT": "https://stock.example",
    },
)
django.setup()

from django.contrib.auth.models import User  # noqa: E402  after setup
from django.core.management import call_command  # noqa: E402  after setup
from django.test import Client  # noqa: E402  after setup
from oauth2_provider.contrib.rest_framework import OAuth2Authentication  # noqa: E402  after setup
from oauth2_provider.models import Application, Grant  # noqa: E402  after setup
from rest_framework.permissions import AllowAny, IsAuthenticated  # noqa: E402  after setup
from rest_framework.response import Response  # noqa: E402  after setup
from rest_framework.views import APIView  # noqa: E402  after setup

CALLBACK = "https://client.example/callback"


class Protected(APIView):
    authentication_classes = [OAuth2Authentication]
    permission_classes = [IsAuthenticated]

    def get(self, request):
        return Response({"user": str(request.user)})

    post = get


class Public(Protected):
    permission_classes = [AllowAny]


urlpatterns = [
    path("o/", include("oauth2_provider.urls")),
    path("api", Protected.as_view()),
    path("public", Public.as_view()),
]

call_command("migrate", verbosity=0)
user = User.objects.create_user("alice", password="alice")
browser = Client(raise_request_exception=False)
browser.force_login(user)


def application(**fields):
    return Application.objects.create(
        **{
            "name": "client",
            "client_type": "public",
            "authorization_grant_type": "authorization-code",
            "redirect_uris": CALLBACK,
            **fields,
        }
    )


def query(client, verifier="v" * 43, **changes):
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    return {
        "response_type": "code",
        "client_id": client.client_id,
        "redirect_uri": CALLBACK,
        "scope": "read",
        "state": "s",
        "code_challenge": challenge,
        "code_challenge_method": "S256",
        **changes,
    }


def consent(client, decision="on", **changes):
    asked = query(client, **changes)
    answer = browser.post(
        "/o/authorize/", {**asked, **({"allow": decision} if decision else {})}, secure=True
    )
    return answer.get("Location", "")


def parameter(location, name):
    return parse_qs(urlsplit(location).query).get(name, [""])[0]


def exchange(client, code, verifier="v" * 43, **changes):
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK}
    form |= {"client_id": client.client_id, "code_verifier": verifier, **changes}
    return Client(raise_request_exception=False).post("/o/token/", form, secure=True)


def tokens(client):
    return exchange(client, parameter(consent(client), "code")).json()


def status(token, path="/api"):
    caller = Client(raise_request_exception=False)
    return caller.get(path, HTTP_AUTHORIZATION=f"Bearer {token}", secure=True).status_code


def replay_leaves_tokens_alive():
    client = application()
    code = parameter(consent(client), "code")
    token = exchange(client, code).json()["access_token"]
    return exchange(client, code).status_code == 400 and status(token) == 200


def an_inactive_person_goes_on():
    held = tokens(application())
    user.is_active = False
    user.save()
    seen = status(held["access_token"]) == 200
    user.is_active = True
    user.save()
    browser.force_login(user)
    return seen


def a_parameter_skips_consent():
    client = application()
    tokens(client)
    answer = browser.get("/o/authorize/", query(client, approval_prompt="auto"), secure=True)
    return answer.status_code == 302 and "code=" in answer["Location"]


def codes_are_in_the_clear():
    code = parameter(consent(application()), "code")
    return Grant.objects.filter(code=code).exists()


def a_blank_secret_authenticates():
    client = application(
        client_type="confidential", authorization_grant_type="client-credentials", client_secret=""
    )
    form = {"grant_type": "client_credentials", "client_id": client.client_id, "client_secret": ""}
    return Client().post("/o/token/", form, secure=True).status_code == 200


def a_verifier_of_one_character():
    client = application()
    return exchange(client, parameter(consent(client, verifier="v"), "code"), "v").status_code == 200


def what_looks_like_a_jwt_is_500():
    return status("eyx.y.z") == 500


def no_issuer_on_errors():
    return "iss=" not in consent(application(), decision="")


def a_fragment_is_honoured():
    answer = browser.post(
        "/o/authorize/?response_mode=fragment", {**query(application()), "allow": "on"}, secure=True
    )
    return "#" in answer.get("Location", "")


def anybody_introspects_anything():
    token = tokens(application())["access_token"]
    stranger = application(client_type="confidential", client_secret="stranger")
    credentials = base64.b64encode(f"{stranger.client_id}:stranger".encode()).decode()
    answer = Client().get(
        f"/o/introspect/?token={token}", HTTP_AUTHORIZATION=f"Basic {credentials}", secure=True
    )
    return (
        answer.status_code == 200
        and answer.json()["active"]
        and "no-store" not in answer.get("Cache-Control", "")
    )


def a_body_carries_the_token():
    token = tokens(application())["access_token"]
    return Client().post("/api", {"access_token": token}, secure=True).status_code == 200


def nothing_is_limited():
    return {exchange(application(), "x").status_code for _ in range(30)} == {400}


def bad_clients_are_challenged_with_bearer():
    form = {"grant_type": "client_credentials", "client_id": "nobody", "client_secret": "x"}
    answer = Client().post("/o/token/", form, secure=True)
    return answer.status_code == 401 and answer["WWW-Authenticate"].startswith("Bearer")


def a_bad_token_is_anonymous_on_a_public_route():
    return status("nonsense", "/public") == 200


def two_authentications_are_taken():
    client = application(
        client_type="confidential", authorization_grant_type="client-credentials", client_secret="right"
    )
    credentials = base64.b64encode(f"{client.client_id}:right".encode()).decode()
    form = "grant_type=client_credentials&client_secret=wrong&state=1&state=2&client_id=" + client.client_id
    answer = Client().post(
        "/o/token/",
        form,
        content_type="application/x-www-form-urlencoded",
        HTTP_AUTHORIZATION=f"Basic {credentials}",
        secure=True,
    )
    return answer.status_code == 200


def tokens_are_logged():
    seen = []
    handler = logging.Handler()
    handler.emit = lambda record: seen.append(record.getMessage())
    logger = logging.getLogger("oauthlib")
    logging.disable(logging.NOTSET)
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    held = tokens(application())
    logging.disable(logging.CRITICAL)
    return any(held["access_token"] in line or "code" in line for line in seen)


SEEN = {
    1: replay_leaves_tokens_alive,
    2: an_inactive_person_goes_on,
    4: a_parameter_skips_consent,
    5: codes_are_in_the_clear,
    6: a_blank_secret_authenticates,
    7: a_verifier_of_one_character,
    8: what_looks_like_a_jwt_is_500,
    10: no_issuer_on_errors,
    11: a_fragment_is_honoured,
    12: anybody_introspects_anything,
    13: a_body_carries_the_token,
    14: nothing_is_limited,
    16: bad_clients_are_challenged_with_bearer,
    17: a_bad_token_is_anonymous_on_a_public_route,
    18: two_authentications_are_taken,
    19: tokens_are_logged,
}

if __name__ == "__main__":
    seen = {}
    for number, look in SEEN.items():
        try:
            seen[number] = bool(look())
        except Exception as error:  # noqa: BLE001  told, and counted as not seen
            seen[number] = f"{type(error).__name__}: {error}"
    print(json.dumps(seen))  # noqa: T201  what it is for
