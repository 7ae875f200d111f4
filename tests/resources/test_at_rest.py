"""A copy of the database holds no account number and no tax id, in whatever spelling."""

import pytest
from django.db import ProgrammingError, connection, transaction

from tests.dumps import dump, in_dump

pytestmark = pytest.mark.django_db

SECRETS = {
    "iban": "DE89370400440532013000",
    "former iban": "GB82WEST12345698765432",
    "tax id": "DE 987.654-321",
    "former tax id": "SE556677889901",
    "refused iban": "DE89370400440532013001",
    "refused tax id": "se556677889902",
}


@pytest.fixture
def vendor(us, make):
    """A vendor to whom everything has happened that writes rows."""
    vendor = make.vendor(us, tax_id=SECRETS["former tax id"])
    us.clerk.send("PATCH", f"/v1/vendors/{vendor}", {"tax_id": SECRETS["tax id"]})
    us.clerk.send("PATCH", f"/v1/vendors/{vendor}", {"tax_id": SECRETS["refused tax id"]})
    for name in ("former iban", "iban", "refused iban"):
        us.clerk.send("POST", f"/v1/vendors/{vendor}/bank-details", {"iban": SECRETS[name]})
    revealed = us.treasurer.send("POST", f"/v1/vendors/{vendor}/reveal-iban", {"reason": "To compare it"})
    assert revealed.json()["iban"] == SECRETS["iban"]
    for name in ("iban", "former iban"):
        noted = f"For {SECRETS[name]}"
        us.treasurer.send("POST", f"/v1/vendors/{vendor}/reveal-iban", {"reason": noted})
    return vendor


def test_a_dump_holds_none_of_it(vendor):
    assert vendor.encode() in dump()
    assert in_dump(SECRETS) == set()


def test_a_ciphertext_does_not_take_its_id_to_another_row(vendor, us, make):
    """It is bound to the id: whoever moved both would have an account open as another vendor's."""
    make.vendor(us)

    with pytest.raises(ProgrammingError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "UPDATE resources_vendor SET public_id = gen_random_uuid() WHERE public_id = %s", [vendor]
        )
