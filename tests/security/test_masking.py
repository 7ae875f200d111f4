"""security.masking, on a model that only these tests have."""

from types import SimpleNamespace

import pytest
from django.db import models
from django.test.utils import isolate_apps
from rest_framework import serializers

from security import masking
from security.encryption import EncryptedField
from security.identifiers import PublicIdModel
from security.masking import MASK, MaskedField, RevealedField, check_masking
from security.policy import declared_rules
from security.serializers import ReadSerializer
from security.strict_input import StrictCharField, StrictModelSerializer

with isolate_apps("security"):

    class Card(PublicIdModel):
        number = EncryptedField()
        last4 = models.CharField(max_length=4, default="")

        class Meta:
            app_label = "security"

    class Payment(PublicIdModel):
        card = models.ForeignKey(Card, on_delete=models.CASCADE)

        class Meta:
            app_label = "security"


def reader(model=Card, base=ReadSerializer, **declared):
    meta = type("Meta", (), {"model": model, "fields": tuple(declared)})
    return type("Reader", (base,), {**declared, "Meta": meta})


@pytest.fixture
def card():
    return Card(number="4111111111111111", last4="1111")


@pytest.mark.asvs("14.2.6")
def test_a_masked_field_shows_dots_and_what_there_is_to_show(card):
    shown = reader(number=MaskedField(last="last4"), all=MaskedField(source="number"))

    assert shown(card).data == {"number": "•••• 1111", "all": "••••"}
    assert shown(Card()).data == {"number": None, "all": None}


def test_a_revealed_field_shows_it(card):
    shown = reader(number=RevealedField())

    assert shown(card).data == {"number": "4111111111111111"}
    assert shown(Card()).data == {"number": None}


def test_outside_a_reader_there_are_dots(card):
    for field in (MaskedField(), RevealedField()):
        assert field.to_representation(card.number) == MASK


def checked(monkeypatch, *serializers):
    monkeypatch.setattr(masking, "first_party_serializers", lambda: iter(serializers))
    return [message.id for message in check_masking()]


@pytest.mark.parametrize(
    "serializer",
    [
        lambda: reader(number=MaskedField(last="last4")),
        lambda: reader(number=RevealedField()),
        lambda: reader(last4=StrictCharField(max_length=4)),
        lambda: reader(Payment, number=MaskedField(source="card.number")),
        lambda: reader(base=StrictModelSerializer, number=StrictCharField(max_length=4, write_only=True)),
    ],
)
def test_covered_or_only_written_is_well(monkeypatch, serializer):
    assert checked(monkeypatch, serializer()) == []


@pytest.mark.asvs("14.2.4", "14.2.6")
@pytest.mark.parametrize(
    "serializer",
    [
        lambda: reader(number=StrictCharField(max_length=4)),
        lambda: reader(pan=serializers.CharField(source="number")),
        lambda: reader(pan=serializers.CharField(source="number.decrypt")),
        lambda: reader(Payment, pan=serializers.ReadOnlyField(source="card.number")),
        lambda: reader(base=StrictModelSerializer, number=StrictCharField(max_length=4)),
    ],
)
def test_an_encrypted_column_in_the_open_ends_start_up(monkeypatch, serializer):
    assert checked(monkeypatch, serializer()) == ["security.E090"]


def test_a_column_that_is_listed_and_not_declared_ends_start_up(monkeypatch):
    meta = type("Meta", (), {"model": Card, "fields": ("number",)})

    assert checked(monkeypatch, type("Reader", (ReadSerializer,), {"Meta": meta})) == ["security.E090"]


@pytest.mark.asvs("14.2.6")
@pytest.mark.parametrize("nested", [False, True])
def test_a_revealing_action_without_a_step_up_ends_start_up(monkeypatch, nested):
    shown = reader(number=RevealedField())
    shown = reader(Payment, card=shown(many=True)) if nested else shown
    for step_up, ids in ((None, ["security.E091"]), (object(), [])):
        rule = SimpleNamespace(response=shown, step_up=step_up, idempotent=False)
        monkeypatch.setattr(masking, "declared_rules", lambda rule=rule: iter([rule]))
        assert checked(monkeypatch) == ids


def test_a_revealed_value_is_not_stored_for_a_repetition(monkeypatch):
    rule = SimpleNamespace(response=reader(number=RevealedField()), step_up=object(), idempotent=True)
    monkeypatch.setattr(masking, "declared_rules", lambda: iter([rule]))

    assert checked(monkeypatch) == ["security.E092"]


def test_this_service_passes():
    assert list(declared_rules())
    assert check_masking() == []
