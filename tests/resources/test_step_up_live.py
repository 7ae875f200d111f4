"""Step-up end to end: an independent client releases an invoice, ten minutes after the sign-in."""

import re
import uuid

from requests_oauth2client import OAuth2Client, PublicApp

from tests.live.person import Person, https_session, ten_minutes_later

SCOPE = "invoices:read invoices:release"


def approved_invoice(live, session):
    """The id of one that waits for its release."""
    tokens = {
        who: live.token(f"{who}@acme.example", f"invoices:read {scope}")
        for who, scope in (("clerk", "invoices:write"), ("approver", "invoices:approve"))
    }

    def call(who, path, body=None, **headers):
        headers = {"Authorization": f"Bearer {tokens[who]}", "Idempotency-Key": str(uuid.uuid4()), **headers}
        response = session.post(f"{live.base_url}{path}", headers=headers, json=body)
        assert response.ok, response.text
        return response.json()

    (vendor,) = (objects["vendor"] for objects in live.demo["objects"] if objects["organisation"] == "Acme")
    fields = {"vendor": vendor, "number": "STEP-UP", "amount": 1000}
    fields |= {"issue_date": "2026-01-01", "due_date": "2026-02-01"}
    invoice = call("clerk", "/v1/invoices", fields)["id"]
    call("clerk", f"/v1/invoices/{invoice}/submit", **{"If-Match": '"1"'})
    call("approver", f"/v1/invoices/{invoice}/approve", **{"If-Match": '"2"'})
    return invoice


def test_release_asks_for_a_new_sign_in_and_then_takes_it(live):
    with https_session(live) as session:
        client = OAuth2Client.from_discovery_endpoint(
            f"{live.base_url}/.well-known/oauth-authorization-server",
            issuer=live.base_url,
            auth=PublicApp("demo-web"),
            redirect_uri=live.client("demo-web")["redirect_uris"][0],
            session=session,
            dpop_bound_access_tokens=True,
        )
        treasurer = Person(live, "treasurer@acme.example")
        invoice = approved_invoice(live, session)

        def authorize(**parameters):
            request = client.authorization_request(scope=SCOPE, **parameters)
            return client.authorization_code(request.validate_callback(treasurer.consent(request.uri)))

        def release(token):
            headers = {"Idempotency-Key": str(uuid.uuid4()), "If-Match": '"3"'}
            return session.post(f"{live.base_url}/v1/invoices/{invoice}/release", auth=token, headers=headers)

        token = authorize()
        ten_minutes_later(treasurer)

        # Neither a refresh nor another token of the same session helps.
        for get in (lambda: token, lambda: client.refresh_token(token), authorize):
            refused = release(get())
            assert refused.status_code == 401
            assert 'error="insufficient_user_authentication"' in refused.headers["WWW-Authenticate"]
        (max_age,) = re.findall(r'max_age="(\d+)"', refused.headers["WWW-Authenticate"])
        assert treasurer.sign_ins == 1

        stepped_up = authorize(max_age=int(max_age))

        assert treasurer.sign_ins == 2
        assert release(stepped_up).json()["status"] == "released"
