"""The authorization server's rows: django-oauth-toolkit's models, swapped to carry what it has not.

Tokens, refresh tokens and codes are stored as digests. Every token acts for exactly one organisation,
chosen at consent. Column names follow the library's unreleased branch where it has them, so that an
upgrade deletes our code; columns of later RFCs (cnf, acr, PAR) are here from the first migration, because
swapped models cannot gain them cheaply later.
"""

from typing import Any, ClassVar

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.db import models
from oauth2_provider.models import (
    AbstractAccessToken,
    AbstractApplication,
    AbstractGrant,
    AbstractIDToken,
    AbstractRefreshToken,
    ApplicationManager,
    ClientSecretField,
    ResourceJSONField,
)

from accounts.oauth.signatures import KEYS, InvalidSignature, public_key

#: Values of token_endpoint_auth_method (RFC 7591 section 2).
NONE = "none"
CLIENT_SECRET = "client_secret_basic"  # noqa: S105  a method's name
PRIVATE_KEY_JWT = "private_key_jwt"
BASELINE = "baseline"
FAPI2 = "fapi2"


class Authentication(models.Model):
    """How and when the person authenticated in the session behind a code or token (RFC 9470, OIDC)."""

    acr = models.CharField(max_length=64, blank=True, default="")
    amr = ArrayField(models.CharField(max_length=32), default=list, blank=True)
    auth_time = models.DateTimeField(null=True, blank=True)

    class Meta:
        abstract = True


class Confirmation(models.Model):
    """The key that a token is bound to: DPoP (RFC 9449) or mTLS (RFC 8705) thumbprint."""

    cnf_jkt = models.CharField(max_length=64, blank=True, default="")
    cnf_x5t = models.CharField(max_length=64, blank=True, default="")

    class Meta:
        abstract = True


def own_resource() -> list[str]:
    """The audience of a token for this API."""
    return [settings.PUBLIC_URL]


def validate_public_jwks(value: Any) -> None:
    """A JSON Web Key Set of public keys that can verify this service's algorithms."""
    keys = value.get("keys") if isinstance(value, dict) else None
    if not isinstance(keys, list) or not keys or not all(_is_usable(key) for key in keys):
        raise ValidationError("Give a JWK Set of public P-256, RSA or Ed25519 keys.", code="invalid_jwks")


def _is_usable(key: Any) -> bool:
    for alg in KEYS:
        try:
            public_key(key, alg)
        except InvalidSignature:
            continue
        return True
    return False


class SecretField(ClientSecretField):
    """Leaves a blank secret blank. The library hashes it, so that no constraint could see it any more."""

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:  # noqa: FBT001  Django's signature
        if not getattr(model_instance, self.attname):
            return ""
        return super().pre_save(model_instance, add)


class Application(AbstractApplication):
    """A client. ``user`` is the person responsible for it; a service client acts as that person.

    ``organisation`` is set for service clients (client credentials), whose tokens act for it. Clients
    with sign-in have none: the organisation is chosen at consent.
    """

    AUTH_METHODS = (
        (NONE, NONE),
        (CLIENT_SECRET, CLIENT_SECRET),
        (PRIVATE_KEY_JWT, PRIVATE_KEY_JWT),
    )
    PROFILES = ((BASELINE, "RFC 9700"), (FAPI2, "FAPI 2.0 Security Profile"))

    client_secret = SecretField(max_length=255, blank=True, default="")
    organisation = models.ForeignKey(
        "accounts.Organisation", on_delete=models.CASCADE, null=True, blank=True, related_name="applications"
    )
    scopes = ArrayField(
        models.CharField(max_length=64), default=list, help_text="The scopes that this client may ask for."
    )
    audiences = ArrayField(
        models.URLField(),
        default=list,
        blank=True,
        help_text="The resources (RFC 8707) that this client may get tokens for; none is this API alone.",
    )
    serves_audiences = ArrayField(
        models.URLField(),
        default=list,
        blank=True,
        help_text="The resources that this client is: it may introspect tokens for them (RFC 7662).",
    )
    profile = models.CharField(max_length=16, choices=PROFILES, default=BASELINE)
    token_endpoint_auth_method = models.CharField(max_length=32, choices=AUTH_METHODS, default=CLIENT_SECRET)
    client_jwks = models.JSONField(null=True, blank=True, validators=[validate_public_jwks])
    client_jwks_uri = models.URLField(blank=True, default="")
    require_pushed_authorization_requests = models.BooleanField(default=False)

    objects = ApplicationManager()

    class Meta(AbstractApplication.Meta):
        swappable = "OAUTH2_PROVIDER_APPLICATION_MODEL"
        constraints: ClassVar[list[models.BaseConstraint]] = [
            # A blank secret would authenticate by client_id alone.
            models.CheckConstraint(
                condition=~models.Q(token_endpoint_auth_method=CLIENT_SECRET) | ~models.Q(client_secret=""),
                name="application_secret_is_not_blank",
            ),
            models.CheckConstraint(
                condition=models.Q(client_type="public", token_endpoint_auth_method=NONE)
                | (models.Q(client_type="confidential") & ~models.Q(token_endpoint_auth_method=NONE)),
                name="application_confidential_authenticates",
            ),
            # Implicit, password, hybrid and device grants are not offered, to anybody.
            models.CheckConstraint(
                condition=models.Q(authorization_grant_type="authorization-code", organisation__isnull=True)
                | models.Q(
                    authorization_grant_type="client-credentials",
                    client_type="confidential",
                    organisation__isnull=False,
                    user__isnull=False,
                ),
                name="application_grant_type_is_offered",
            ),
            models.CheckConstraint(
                condition=models.Q(skip_authorization=False), name="application_never_skips_consent"
            ),
            models.CheckConstraint(
                condition=models.Q(hash_client_secret=True), name="application_secret_is_hashed"
            ),
            # Who signs has a key known here, in one place, and no secret besides.
            models.CheckConstraint(
                condition=~models.Q(token_endpoint_auth_method=PRIVATE_KEY_JWT)
                | models.Q(
                    models.Q(client_jwks__isnull=False, client_jwks_uri="")
                    | models.Q(models.Q(client_jwks__isnull=True) & ~models.Q(client_jwks_uri="")),
                    client_secret="",
                ),
                name="application_key_is_known",
            ),
            # What the profile is for cannot be switched off one by one. The proof of possession is asked for
            # where tokens are issued, for it is of a request and not of a row.
            models.CheckConstraint(
                condition=~models.Q(profile=FAPI2)
                | models.Q(
                    token_endpoint_auth_method=PRIVATE_KEY_JWT, require_pushed_authorization_requests=True
                ),
                name="application_fapi2_is_whole",
            ),
        ]

    @property
    def permitted_audiences(self) -> list[str]:
        return self.audiences or own_resource()

    def redirect_uri_allowed(self, uri: str) -> bool:
        """RFC 9700 section 4.1.3: to the letter. The library drops line breaks and the case of the host."""
        return uri in self.redirect_uris.split()

    def natural_key(self) -> tuple[str]:
        return (self.client_id,)


class Grant(Authentication, AbstractGrant):
    """An authorization code. ``code`` holds its digest; a spent one is kept, to recognise a replay."""

    organisation = models.ForeignKey("accounts.Organisation", on_delete=models.CASCADE, related_name="+")
    consumed_at = models.DateTimeField(null=True, blank=True)
    token_family = models.UUIDField(null=True, blank=True)
    dpop_jkt = models.CharField(max_length=64, blank=True, default="")

    class Meta(AbstractGrant.Meta):
        swappable = "OAUTH2_PROVIDER_GRANT_MODEL"

    def __str__(self) -> str:
        return f"grant {self.pk}"


class PushedRequest(models.Model):
    """An authorization request that its client has sent ahead (RFC 9126). ``reference`` is a digest.

    From its first use on it belongs to one browser's session; the decision deletes it.
    """

    reference = models.CharField(max_length=64, unique=True)
    application = models.ForeignKey(Application, on_delete=models.CASCADE, related_name="+")
    parameters = models.TextField(help_text="application/x-www-form-urlencoded")
    expires = models.DateTimeField(db_index=True)
    presented = models.BooleanField(default=False)

    def __str__(self) -> str:
        return f"pushed request {self.pk}"


class AccessToken(Authentication, Confirmation, AbstractAccessToken):
    """An opaque access token, by digest, for one organisation. ``resource`` is its audience, never empty."""

    resource = ResourceJSONField(default=own_resource)
    organisation = models.ForeignKey("accounts.Organisation", on_delete=models.CASCADE, related_name="+")

    class Meta(AbstractAccessToken.Meta):
        swappable = "OAUTH2_PROVIDER_ACCESS_TOKEN_MODEL"
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(condition=models.Q(token=""), name="access_token_is_a_digest"),
            models.CheckConstraint(condition=~models.Q(resource=[]), name="access_token_has_an_audience"),
        ]

    def __str__(self) -> str:
        return f"access token {self.pk}"


class RefreshToken(Authentication, Confirmation, AbstractRefreshToken):
    """A refresh token, by digest. The family ends at ``family_expires_at``, however often refreshed."""

    organisation = models.ForeignKey("accounts.Organisation", on_delete=models.CASCADE, related_name="+")
    family_expires_at = models.DateTimeField()

    class Meta(AbstractRefreshToken.Meta):
        swappable = "OAUTH2_PROVIDER_REFRESH_TOKEN_MODEL"
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(condition=models.Q(token=""), name="refresh_token_is_a_digest")
        ]

    def __str__(self) -> str:
        return f"refresh token {self.pk}"


class IDToken(AbstractIDToken):
    """Swapped with the others; ID tokens are off."""

    class Meta(AbstractIDToken.Meta):
        swappable = "OAUTH2_PROVIDER_ID_TOKEN_MODEL"
