"""Production. This module is what runs when nothing else is said; it refuses to start on anything unsafe.

Development and test start from these values and relax them in ``development.py`` and ``test.py``, one
place each, with reasons. Every variable read here is listed in ``.env.example``.
"""

from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from csp.constants import NONCE, NONE, SELF
from django.core.exceptions import ImproperlyConfigured

from config import environment as env

BASE_DIR = Path(__file__).resolve().parent.parent.parent

# --- Refuse to start on what is missing or unsafe ---------------------------------------------------------

MIN_SECRET_LENGTH = 50
PLACEHOLDERS = ("change", "insecure", "secret", "example", "placeholder", "password", "default")

SECRET_KEY = env.secret("SECRET_KEY")
if len(SECRET_KEY) < MIN_SECRET_LENGTH or len(set(SECRET_KEY)) < 10:
    raise ImproperlyConfigured(
        f"SECRET_KEY is too short or too uniform: give at least {MIN_SECRET_LENGTH} random characters, "
        'such as those of python -c "import secrets; print(secrets.token_urlsafe(64))".'
    )
if any(word in SECRET_KEY.lower() for word in PLACEHOLDERS):
    raise ImproperlyConfigured("SECRET_KEY is a placeholder: give random characters of your own.")
#: Former keys, newest first: what they signed is still read, and nothing is signed with them.
SECRET_KEY_FALLBACKS = env.secret("SECRET_KEY_FALLBACKS", default="").split()

DEBUG = False
if env.boolean("DEBUG", default=False):
    raise ImproperlyConfigured(
        "DEBUG is on. Errors would show settings and source to every caller: unset DEBUG, or use "
        "DJANGO_SETTINGS_MODULE=config.settings.development on a machine of your own."
    )

ALLOWED_HOSTS = env.items("ALLOWED_HOSTS", default="")
if not ALLOWED_HOSTS or any(host.startswith(("*", ".")) for host in ALLOWED_HOSTS):
    raise ImproperlyConfigured(
        "ALLOWED_HOSTS must list the exact host names that this service answers for, separated by commas; "
        "neither empty nor a wildcard."
    )

#: What this service signs for itself, the first of several with it (security.keyring). None: SECRET_KEY does.
SIGNING_KEYS = env.secret("SIGNING_KEYS", default="").replace(",", " ").split()

#: What lies encrypted in the database: "id:key", of which the first encrypts and all decrypt; and the key of
#: the indexes by which some of it is found (security.encryption).
ENCRYPTION_KEYS = env.secret("ENCRYPTION_KEYS").replace(",", " ").split()
BLIND_INDEX_KEY = env.secret("BLIND_INDEX_KEY")

#: The https:// origin under which clients reach the service: the OAuth issuer and the resource identifier.
PUBLIC_URL = env.https_origin("PUBLIC_URL")

# --- Application ------------------------------------------------------------------------------------------

INSTALLED_APPS = [
    "config.apps.ConfigConfig",
    "security",
    "accounts",
    "accounts.oauth",
    "resources",
    "django.contrib.admin.apps.SimpleAdminConfig",  # without the packages' own pages (accounts.staff)
    "guardian",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "oauth2_provider",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "corsheaders",
    "csp",
    "pgtrigger",
]

# Outermost first. Headers and the request id are outside everything, so that no answer escapes them.
MIDDLEWARE = [
    "security.logging.RequestLogMiddleware",
    "security.headers.HeadersMiddleware",
    "django_permissions_policy.PermissionsPolicyMiddleware",
    "csp.middleware.CSPMiddleware",
    "security.errors.ProblemMiddleware",
    "security.limits.LimitsMiddleware",
    "security.transport.TransportMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "corsheaders.middleware.CorsMiddleware",
    "accounts.oauth.dpop.NonceMiddleware",
    "security.audit.AuditMiddleware",
    "security.availability.AvailabilityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "security.page_limits.PageLimitMiddleware",
]

ROOT_URLCONF = "config.urls"
#: That serve requests, in each process; each keeps a connection to PostgreSQL.
THREADS = env.integer("THREADS", default=4, minimum=1)
APPEND_SLASH = False

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "csp.context_processors.nonce",
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

# --- Start-up ---------------------------------------------------------------------------------------------

#: System checks of this level and above end the process (``config/startup.py``).
STARTUP_FAIL_LEVEL = "WARNING"

SILENCED_SYSTEM_CHECKS = [
    # A plain-HTTP API call is refused, not redirected: a redirect would hide that the token has already
    # travelled in the clear. security.transport does it; ASVS 4.1.2.
    "security.W008",
    # Framing is denied by CSP frame-ancestors and X-Frame-Options of security.headers on every answer.
    "security.W002",
    # Django's Redis cache is shared, and its increment is atomic. An outage of it, which the library does not
    # expect of this one, is security.page_limits' 503.
    "django_ratelimit.W001",
    # Guardian's backend lets a superuser and a global permission into every row. Nothing here asks
    # user.has_perm(): grants are read by security.object_permissions.
    "guardian.W001",
]

# --- Data -------------------------------------------------------------------------------------------------

# The API connects as the service role, which owns nothing. `manage.py migrate` connects as the owner.
DATABASES: dict[str, dict[str, Any]] = {
    "default": {
        **env.database("DATABASE_URL"),
        # One request is one transaction: the tenant is set for its length (security.policy).
        "ATOMIC_REQUESTS": True,
        # Connections are kept; security.availability replaces a dead one without a health-check query.
        "CONN_MAX_AGE": None,
        "CONN_HEALTH_CHECKS": False,
    }
}
DATABASES["default"]["OPTIONS"].setdefault("connect_timeout", "3")
# Values go to PostgreSQL beside the statement, which keeps the plan of what a connection asks again: planning
# was most of what the API's statements cost. A pooler in between has to know them (PgBouncer 1.21 does).
DATABASES["default"]["OPTIONS"] |= {"server_side_binding": True, "prepare_threshold": 5}
DATABASE_SERVICE_ROLE: str = DATABASES["default"]["USER"]
DATABASE_OWNER = env.database("DATABASE_OWNER_URL", required=False)
DATABASE_OPS = env.database("DATABASE_OPS_URL", required=False)
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

VALKEY_URL = env.secret("VALKEY_URL")
# For django-ratelimit alone (security.page_limits). Its keys are among those that Valkey's user may touch.
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": VALKEY_URL,
        "KEY_PREFIX": "throttle:page",
        "OPTIONS": {"socket_timeout": 0.5, "socket_connect_timeout": 0.5},
    }
}

# --- Who is calling ---------------------------------------------------------------------------------------

AUTH_USER_MODEL = "accounts.User"
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    # Generated client secrets only (CLIENT_SECRET_HASHER below); never the first, so never a user's password.
    "accounts.oauth.hashers.ClientSecretHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 15},
    },
    {"NAME": "accounts.passwords.MaximumLengthValidator"},
    {
        "NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator",
        "OPTIONS": {"user_attributes": ("email", "name")},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "accounts.passwords.CommonLongPasswordValidator"},
    {"NAME": "accounts.passwords.ContextValidator"},
]
#: Seconds for which a link to set a new password is good.
PASSWORD_RESET_TIMEOUT = 3600
LOGIN_URL = "/sign-in"
LOGIN_REDIRECT_URL = "/docs"
#: Where somebody who is signed in shows again that it is they (accounts.reauthentication).
REAUTHENTICATION_URL = "/reauthenticate"
LOGOUT_REDIRECT_URL = "/signed-out"

# django-allauth: the steps of sign-in and the second factors. Sign-up is closed by the adapter.
ACCOUNT_ADAPTER = "accounts.adapters.AccountAdapter"
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_EMAIL_VERIFICATION = "none"
#: Seconds for which a sign-in may rest between its steps.
ACCOUNT_LOGIN_TIMEOUT = 300
#: Every view of ours is limited by security.throttling, before it judges anything.
ACCOUNT_RATE_LIMITS = False
MFA_ADAPTER = "accounts.second_factor.SecondFactorAdapter"
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_PASSKEY_LOGIN_ENABLED = True
#: A passkey is unlocked by its owner, always, so it is two factors.
MFA_WEBAUTHN_USER_VERIFICATION = "required"
MFA_RATE_LIMITS = False

SESSION_COOKIE_NAME = "__Host-session"
SESSION_COOKIE_SECURE = True
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_ENGINE = "accounts.sessions"
SESSION_COOKIE_AGE = int(timedelta(hours=12).total_seconds())
SESSION_IDLE_SECONDS = int(timedelta(minutes=30).total_seconds())
#: Signing in once more than this ends the session that was used least lately.
SESSIONS_PER_PERSON = 10
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"
SESSION_EXPIRE_AT_BROWSER_CLOSE = True
CSRF_COOKIE_NAME = "__Host-csrf"
CSRF_COOKIE_SECURE = True
CSRF_COOKIE_HTTPONLY = True
CSRF_COOKIE_SAMESITE = "Strict"
CSRF_FAILURE_VIEW = "security.errors.csrf_failure"

# Grants on single objects (security.object_permissions). Guardian makes no user of its own, and patches none.
ANONYMOUS_USER_NAME = None
GUARDIAN_MONKEY_PATCH_USER = False
GUARDIAN_MONKEY_PATCH_GROUP = False

#: How long a request with the same Idempotency-Key gets the answer of the first.
IDEMPOTENCY_LIFETIME = timedelta(hours=24)

#: How long the link of an invitation works.
INVITATION_LIFETIME = timedelta(days=7)

OAUTH2_PROVIDER_APPLICATION_MODEL = "oauth.Application"
OAUTH2_PROVIDER_GRANT_MODEL = "oauth.Grant"
OAUTH2_PROVIDER_ACCESS_TOKEN_MODEL = "oauth.AccessToken"  # noqa: S105  a model's name
OAUTH2_PROVIDER_REFRESH_TOKEN_MODEL = "oauth.RefreshToken"  # noqa: S105  a model's name
OAUTH2_PROVIDER_ID_TOKEN_MODEL = "oauth.IDToken"  # noqa: S105  a model's name
#: A refresh-token family ends this long after its sign-in, however often it was refreshed.
REFRESH_FAMILY_LIFETIME = timedelta(days=7)
OAUTH2_PROVIDER: dict[str, Any] = {
    "OAUTH2_VALIDATOR_CLASS": "accounts.oauth.validators.OAuthValidator",
    "OAUTH2_BACKEND_CLASS": "accounts.oauth.backends.OAuthBackend",
    "SCOPES_BACKEND_CLASS": "accounts.oauth.scopes.ApplicationScopes",
    # No scope asked is no scope: the request is refused.
    "DEFAULT_SCOPES": [],
    "ACCESS_TOKEN_EXPIRE_SECONDS": 300,
    "REFRESH_TOKEN_EXPIRE_SECONDS": 86_400,
    "AUTHORIZATION_CODE_EXPIRE_SECONDS": 60,
    "REFRESH_TOKEN_REUSE_PROTECTION": True,
    "ROTATE_REFRESH_TOKEN": True,
    "PKCE_REQUIRED": True,
    "ALLOWED_REDIRECT_URI_SCHEMES": ["https"],
    "ALLOW_URI_WILDCARDS": False,
    "REQUEST_APPROVAL_PROMPT": "force",
    "OIDC_ENABLED": False,
    "OIDC_ISS_ENDPOINT": PUBLIC_URL,
    "OAUTH2_GRANT_TYPES_SUPPORTED": ["authorization_code", "client_credentials", "refresh_token"],
    "OAUTH2_RESPONSE_TYPES_SUPPORTED": ["code"],
    "CLIENT_SECRET_HASHER": "client_secret_sha256",
    "COMPLIANT_BCP_RFC9700_IMPLICIT_GRANT": True,
    "COMPLIANT_BCP_RFC9700_PASSWORD_GRANT": True,
    "COMPLIANT_BCP_RFC9700_PKCE_METHOD": True,
    "COMPLIANT_BCP_RFC9700_ACCESS_TOKEN_TRANSPORT": True,
    "COMPLIANT_BCP_RFC9700_AUTHZ_RESPONSE_ISS": True,
    "COMPLIANT_BCP_RFC9700_TOKEN_STORAGE": True,
    "COMPLIANT_BCP_RFC9700_REFRESH_TOKEN": True,
    "COMPLIANT_BCP_RFC9700_REDIRECT_URI_SCHEME": True,
    "COMPLIANT_BCP_RFC9700_REDIRECT_URI_MATCHING": True,
    "COMPLIANT_BCP_RFC9700_PKCE_REQUIRED": True,
}

#: The staff's site under /admin/ (accounts.staff). Off: it has no routes.
ADMIN = env.boolean("ADMIN", default=False)

# --- Mail -------------------------------------------------------------------------------------------------

MAIL = env.mail("EMAIL_URL")
EMAIL_BACKEND: str = MAIL["BACKEND"]
EMAIL_FILE_PATH = MAIL.get("FILE_PATH")
EMAIL_HOST: str = MAIL.get("HOST", "")
EMAIL_PORT: int = MAIL.get("PORT", 0)
EMAIL_HOST_USER: str = MAIL.get("HOST_USER", "")
EMAIL_HOST_PASSWORD: str = MAIL.get("HOST_PASSWORD", "")
EMAIL_USE_SSL: bool = MAIL.get("USE_SSL", False)
EMAIL_USE_TLS: bool = MAIL.get("USE_TLS", False)
EMAIL_TIMEOUT = 10  # seconds, for each step of talking to the mail server
DEFAULT_FROM_EMAIL = env.text("EMAIL_FROM", default=f"no-reply@{urlsplit(PUBLIC_URL).hostname}")

# --- The API ----------------------------------------------------------------------------------------------

REST_FRAMEWORK: dict[str, Any] = {
    # What a view of this service does is declared in its rules (security.policy). These defaults are for a
    # view that escaped it: nobody gets in.
    "DEFAULT_AUTHENTICATION_CLASSES": ["accounts.oauth.authentication.BearerAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["security.scopes.DenyAll"],
    "DEFAULT_PARSER_CLASSES": [
        "security.json_parser.StrictJSONParser",
        "security.json_parser.MergePatchParser",
    ],
    "DEFAULT_RENDERER_CLASSES": ["security.json_parser.ORJSONRenderer"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "security.json_parser.StrictNegotiation",
    "DEFAULT_SCHEMA_CLASS": "security.schema.PolicySchema",
    "DEFAULT_METADATA_CLASS": None,
    "DEFAULT_PAGINATION_CLASS": None,
    "EXCEPTION_HANDLER": "security.errors.exception_handler",
    "UNAUTHENTICATED_USER": None,
    "UNAUTHENTICATED_TOKEN": None,
    "URL_FORMAT_OVERRIDE": None,
    "FORMAT_SUFFIX_KWARG": None,
}
SPECTACULAR_SETTINGS: dict[str, Any] = {
    "TITLE": "Portcullis",
    "VERSION": "1.0.0",
    "OAS_VERSION": "3.1.0",
    "DESCRIPTION": "Accounts payable behind a gate that is closed by default.",
    "LICENSE": {"name": "BSD-3-Clause", "identifier": "BSD-3-Clause"},
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": "/v1",
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    "SORT_OPERATION_PARAMETERS": True,
    "GET_LIB_DOC_EXCLUDES": "security.schema.lib_doc_excludes",
    # `make check` makes the document, and compares it; a start-up need not: it took half of the time.
    "ENABLE_DJANGO_DEPLOY_CHECK": False,
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "security.schema.complete",
    ],
}

#: The committed document, and what is not in it: together every route (security.inventory).
OPENAPI_DOCUMENT = BASE_DIR / "openapi.yaml"
INTERNAL_ROUTES = BASE_DIR / "config" / "internal_routes.toml"

#: Of path and query, and of the names and values of all headers.
MAX_TARGET_BYTES = 8 * 1024
MAX_HEADER_BYTES = 32 * 1024
MAX_BODY_BYTES = 64 * 1024
DATA_UPLOAD_MAX_MEMORY_SIZE = MAX_BODY_BYTES
DATA_UPLOAD_MAX_NUMBER_FIELDS = 100
FILE_UPLOAD_HANDLERS: list[str] = []

# --- Limits: requests / seconds ---------------------------------------------------------------------------

THROTTLES = {
    "address": env.text("THROTTLE_ADDRESS", default="1200/60"),
    "read": env.text("THROTTLE_READ", default="600/60"),
    "write": env.text("THROTTLE_WRITE", default="120/60"),
    "sign_in_address": env.text("THROTTLE_SIGN_IN_ADDRESS", default="60/60"),
    "sign_in_account": env.text("THROTTLE_SIGN_IN_ACCOUNT", default="10/60"),
    "sign_in_device": env.text("THROTTLE_SIGN_IN_DEVICE", default="10/60"),
    "second_factor": env.text("THROTTLE_SECOND_FACTOR", default="5/60"),
    "second_factor_day": env.text("THROTTLE_SECOND_FACTOR_DAY", default="50/86400"),
    "reset_address": env.text("THROTTLE_RESET_ADDRESS", default="20/3600"),
    "reset_account": env.text("THROTTLE_RESET_ACCOUNT", default="5/3600"),
    "token": env.text("THROTTLE_TOKEN", default="120/60"),
    "token_principal": env.text("THROTTLE_TOKEN_PRINCIPAL", default="60/60"),
    "authorize": env.text("THROTTLE_AUTHORIZE", default="120/60"),
    "invite": env.text("THROTTLE_INVITE", default="30/3600"),
}
#: The outer limit of what is not API: of an address, and of a client and of an account at one address.
PAGE_LIMITS = {
    "address": env.text("THROTTLE_PAGE_ADDRESS", default="600/60"),
    "client": env.text("THROTTLE_PAGE_CLIENT", default="300/60"),
    "account": env.text("THROTTLE_PAGE_ACCOUNT", default="60/60"),
}
#: What somebody may do so often in any such time, exactly: uses / seconds (security.quotas).
QUOTAS = {"reveal": env.text("QUOTA_REVEAL", default="20/86400")}
#: Networks whose X-Forwarded-For is believed (CIDR). Empty: the peer is the client.
TRUSTED_PROXIES = env.items("TRUSTED_PROXIES", default="")

# --- Transport and headers --------------------------------------------------------------------------------

SECURE_HSTS_SECONDS = 63_072_000  # two years
SECURE_HSTS_INCLUDE_SUBDOMAINS = True
SECURE_HSTS_PRELOAD = True
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "no-referrer"
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"

# The pages: nothing from elsewhere, nothing inline without a nonce. API answers get security.headers' own.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "style-src": [SELF, NONCE],
        "img-src": [SELF],
        "base-uri": [NONE],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
        "object-src": [NONE],
    }
}
PERMISSIONS_POLICY: dict[str, list[str]] = {
    name: [] for name in ("camera", "display-capture", "geolocation", "microphone", "payment", "usb")
}

CORS_ALLOWED_ORIGINS = env.items("CORS_ALLOWED_ORIGINS", default="")
CORS_ALLOW_CREDENTIALS = False
CORS_URLS_REGEX = r"^/(v1/|oauth/(token|par|revoke)$|\.well-known/)"
CORS_ALLOW_METHODS = ["GET", "POST", "PATCH", "DELETE"]
CORS_ALLOW_HEADERS = ["authorization", "content-type", "dpop", "idempotency-key", "if-match"]
CORS_EXPOSE_HEADERS = [
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "WWW-Authenticate",
    "DPoP-Nonce",
    "ETag",
]

# --- Static files -----------------------------------------------------------------------------------------

STATIC_URL = "/static/"
STATIC_ROOT = BASE_DIR / "staticfiles"
STORAGES = {"staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}}

# --- Language, time, log ----------------------------------------------------------------------------------

LANGUAGE_CODE = "en"
USE_I18N = False
USE_TZ = True
TIME_ZONE = "UTC"
LOG_LEVEL = env.choice("LOG_LEVEL", default="INFO", choices=("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"))
LOGGING_CONFIG = "security.logging.configure"
LOGGING = {"level": LOG_LEVEL}

# --- Demo -------------------------------------------------------------------------------------------------

#: Permits `seed_demo` and `demo_token`: organisations whose passwords are generated and written to a file.
DEMO = env.boolean("DEMO", default=False)
DEMO_FILE = Path(env.text("DEMO_FILE", default=str(BASE_DIR / ".run" / "demo.json")))
DEMO_CA_FILE = env.text("DEMO_CA_FILE", default="")
