"""accounts.oauth.hashers."""

import time

from accounts.oauth.hashers import ClientSecretHasher


def test_it_verifies_the_secret_and_no_other():
    hasher = ClientSecretHasher()
    encoded = hasher.encode("secret", hasher.salt())

    assert hasher.verify("secret", encoded)
    assert not hasher.verify("Secret", encoded)
    assert not hasher.verify("", encoded)


def test_a_wrong_secret_is_no_lever_on_the_cpu():
    hasher = ClientSecretHasher()
    encoded = hasher.encode("secret", hasher.salt())
    started = time.perf_counter()

    for _ in range(1000):
        hasher.verify("wrong", encoded)

    assert time.perf_counter() - started < 0.5


def test_its_summary_hides_the_hash():
    hasher = ClientSecretHasher()
    encoded = hasher.encode("secret", "salt")

    assert encoded.rsplit("$", 1)[1] not in str(hasher.safe_summary(encoded))
    assert not hasher.must_update(encoded)
