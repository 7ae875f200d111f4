"""The page behind the link, in a real browser: its form works, and no request carries the link on."""

import json
import os
import re
import secrets
from pathlib import Path
from urllib.parse import urlsplit

CHOSEN = "a quite unusual pass phrase"


def invite(live, email):
    """By Acme's administrator; the link in the mail."""
    token = live.token("org-admin@acme.example", "members:manage")
    connection = live.connect()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    body = json.dumps({"email": email, "role": "auditor"})
    connection.request("POST", "/v1/invitations", body=body, headers=headers)
    response = connection.getresponse()
    assert response.status == 201, response.read()
    connection.close()
    mails = [path.read_text() for path in Path(urlsplit(os.environ["EMAIL_URL"]).path).iterdir()]
    (mail,) = [text for text in mails if f"To: {email}\n" in text]
    return re.search(rf"{live.base_url}/invitation/\S+", mail)[0]


def test_it_is_accepted_and_the_link_goes_nowhere_else(live, visitor):
    email = f"bob{secrets.token_hex(4)}@new.example"
    link = invite(live, email)
    page, requests = visitor.page, []
    page.context.on("request", lambda request: requests.append(request))

    page.goto(link)
    page.fill("#id_name", "Bob")
    page.eval_on_selector("#id_password", "field => field.removeAttribute('minlength')")
    page.fill("#id_password", "short")
    page.click("button[type=submit]")
    assert "too short" in page.inner_text("[role=alert]")
    page.fill("#id_password", CHOSEN)
    page.click("button[type=submit]")
    page.wait_for_url(f"{live.base_url}/sign-in*")
    page.goto(link)
    assert page.inner_text("h1") == "There is no such invitation"

    # A browser calls a refused form and a page that is gone an error; it is what was wanted.
    assert all("status of 40" in problem for problem in visitor.problems)
    visitor.problems.clear()

    secret = link.rpartition("/")[2]
    others = [request for request in requests if request.url != link]
    assert others
    assert not [request.url for request in requests if secret in (request.header_value("referer") or "")]
    assert not [request.url for request in others if secret in request.url]
    assert secret not in live.log.read_text()
