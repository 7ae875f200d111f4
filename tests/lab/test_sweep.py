"""A no-op for each layer and each control. The sweep itself takes minutes; the gate runs it."""

import pytest

from deploy.local.postgres import ROOT
from lab.layers import LAYERS
from lab.scenario import scenarios
from lab.sweep import NO_OPS, NOT_OURS, NOT_PLAYED, Edit, edited, reshapes_the_database, unplayed
from tests.lab.test_lab import APPS

PAGES = (ROOT / "docs" / "controls").glob("*.md")
CONTROLS = {path.stem.replace("-", "_") for path in PAGES if path.stem != "index"}


def test_every_control_has_a_no_op_in_its_source_or_a_reason():
    assert unplayed(CONTROLS) == set()


def test_a_control_without_either_is_named():
    assert unplayed({*CONTROLS, "brand_new"}) == {"brand_new"}


def test_a_reason_is_of_a_control_that_has_no_no_op():
    assert NOT_PLAYED.keys() <= CONTROLS
    for control in NOT_PLAYED:
        files = {edit.file for edits in NO_OPS.values() for edit in edits}
        assert f"security/{control}.py" not in files


def test_every_layer_has_a_no_op_or_is_not_ours():
    assert NO_OPS.keys() | NOT_OURS.keys() == LAYERS.keys()
    assert not NO_OPS.keys() & NOT_OURS.keys()


def test_every_layer_has_a_scenario():
    if not (ROOT / "resources").exists():
        return  # some went with the sample domain
    assert {layer for scenario in scenarios(APPS).values() for layer in scenario.layers} == LAYERS.keys()


@pytest.mark.parametrize("layer", NO_OPS)
def test_an_edit_finds_its_place_and_leaves_python(layer):
    texts = {}
    for edit in NO_OPS[layer]:
        if not (ROOT / edit.file).exists():
            continue  # the sample domain may have been deleted
        text = texts.get(edit.file, (ROOT / edit.file).read_text())
        assert edit.old in text, edit.file
        texts[edit.file] = text.replace(edit.old, edit.new)
    for file, text in texts.items():
        compile(text, file, "exec")


def test_what_migrations_do_takes_a_new_database():
    assert reshapes_the_database("row_security")
    assert reshapes_the_database("database_roles")
    assert not reshapes_the_database("headers")


def test_an_edit_is_undone_even_if_the_lab_breaks(tmp_path):
    file = tmp_path / "gate.py"
    file.write_text("is_open = False\n")

    def play():
        with edited(tmp_path, (Edit("gate.py", "False", "True"),)):
            seen.append(file.read_text())
            raise ZeroDivisionError

    seen = []
    with pytest.raises(ZeroDivisionError):
        play()

    assert seen == ["is_open = True\n"]
    assert file.read_text() == "is_open = False\n"


def test_an_edit_that_finds_nothing_is_an_error(tmp_path):
    (tmp_path / "gate.py").write_text("")

    with (
        pytest.raises(ValueError, match="has changed"),
        edited(tmp_path, (Edit("gate.py", "False", "True"),)),
    ):
        pass
