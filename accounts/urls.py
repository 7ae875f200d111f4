"""The pages of sign-in and account. Names are django-allauth's where it sends people to one; nothing else of
the library's is mounted.
"""

from django.urls import path

from accounts import account, sign_in
from accounts.pages import page

urlpatterns = [
    # --- signing in and out ---
    path(
        "sign-in",
        page(sign_in.SignInView.as_view(), reason="where people authenticate", passkeys=True),
        name="account_login",
    ),
    path(
        "sign-in/passkey",
        page(sign_in.PasskeySignInView.as_view(), reason="where people authenticate", passkeys=True),
        name="mfa_login_webauthn",
    ),
    path(
        "sign-in/code",
        page(sign_in.code, reason="a step of sign-in", passkeys=True),
        name="mfa_authenticate",
    ),
    path(
        "sign-in/enrol",
        page(sign_in.enrol, reason="a step of sign-in", passkeys=True),
        name="mfa_enrol",
    ),
    path(
        "sign-in/abandon",
        page(sign_in.abandon, reason="ends a sign-in that is in progress", methods=("POST",)),
        name="abandon-sign-in",
    ),
    path(
        "sign-out",
        page(sign_in.SignOutView.as_view(), reason="ends a session", methods=("POST",)),
        name="account_logout",
    ),
    path("signed-out", page(sign_in.signed_out, reason="static"), name="signed-out"),
    path(
        "reauthenticate",
        page(account.reauthenticate, reason="a page, for signed-in users", passkeys=True),
        name="account_reauthenticate",
    ),
    # --- the account ---
    path("account", page(account.overview, reason="a page, for signed-in users"), name="mfa_index"),
    path(
        "account/sessions/end",
        page(account.end_session, reason="a form of a page", methods=("POST",)),
        name="end-session",
    ),
    path(
        "account/grants",
        page(account.change_grant, reason="a form of a page", methods=("POST",)),
        name="change-grant",
    ),
    path(
        "account/totp",
        page(account.add_totp, reason="a page, for the recently authenticated"),
        name="mfa_activate_totp",
    ),
    path(
        "account/passkeys",
        page(account.add_passkey, reason="a page, for the recently authenticated", passkeys=True),
        name="mfa_add_webauthn",
    ),
    path(
        "account/factors/<int:pk>/remove",
        page(account.remove_factor, reason="a page, for the recently authenticated"),
        name="remove-factor",
    ),
    path(
        "account/recovery-codes",
        page(account.recovery_codes, reason="a page, for the recently authenticated"),
        name="mfa_generate_recovery_codes",
    ),
    path(
        "account/password",
        page(account.change_password, reason="a page, for the recently authenticated"),
        name="account_change_password",
    ),
    path(
        "account/password/changed", page(account.password_changed, reason="static"), name="password-changed"
    ),
    path(
        "account/email",
        page(account.change_email, reason="a page, for the recently authenticated"),
        name="account_email",
    ),
    path(
        "account/email/<str:token>",
        page(account.confirm_email, reason="a page, for the recently authenticated"),
        name="confirm-email",
    ),
    # --- a forgotten password ---
    path(
        "password-reset",
        page(account.reset_password, reason="for those who cannot sign in"),
        name="account_reset_password",
    ),
    path(
        "password-reset/<str:uidb64>/<str:token>",
        page(account.ResetPasswordView.as_view(), reason="for those who have the link"),
        name="account_reset_password_from_key",
    ),
]
