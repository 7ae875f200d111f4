"""What is stored encrypted is decrypted where it is revealed, and not where rows are read."""

import pytest

from security import encryption
from tests.contract.walk import example, operations, perform

reads = [operation for operation in operations() if operation.method == "GET"]


@pytest.fixture
def decrypted(monkeypatch):
    """The columns of which a value was decrypted."""
    columns = []
    decrypt = encryption.decrypt

    def watched(ciphertext, *, table, column, row):
        columns.append((table, column))
        return decrypt(ciphertext, table=table, column=column, row=row)

    monkeypatch.setattr(encryption, "decrypt", watched)
    return columns


@pytest.mark.asvs("11.7.2")
@pytest.mark.parametrize("operation", reads, ids=lambda operation: operation.name)
def test_reading_decrypts_nothing(operation, us, decrypted):
    call = example(operation, us)
    decrypted.clear()

    assert perform(operation, us, call).status_code == operation.rule.status

    assert decrypted == []


def test_a_decryption_is_noticed(decrypted):
    place = {"table": "t", "column": "c", "row": "1"}
    sealed = encryption.Sealed(encryption.encrypt("text", **place), **place)

    assert sealed.decrypt() == "text"
    assert decrypted == [("t", "c")]
