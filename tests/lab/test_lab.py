"""The lab itself: every play ends as it must, and every layer is missed by some attack."""

import json
import os
import subprocess
import sys

import pytest

from deploy.local.postgres import ROOT
from lab.layers import LAYERS
from lab.scenario import Play, Scenario, plays, scenarios
from lab.world import World

APPS = {path.name for path in (ROOT / "lab").iterdir() if (ROOT / path.name / "apps.py").exists()}


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "lab", *arguments],
        cwd=ROOT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings.development"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    file = tmp_path_factory.mktemp("lab") / "report.json"
    done = run("run", "--all", "--report", str(file))
    assert done.returncode == 0, done.stdout + done.stderr
    return {entry["scenario"]: entry["plays"] for entry in json.loads(file.read_text())}


def test_every_scenario_is_played(report):
    assert report.keys() == scenarios(APPS).keys()


@pytest.mark.parametrize("name", scenarios(APPS))
def test_an_attack_fails_while_a_layer_stands_and_succeeds_when_none_does(report, name):
    *standing, none = report[name]

    assert {play["attack"] for play in standing} == {"failed"}
    assert none["attack"] == "succeeded"
    assert all(play["as_it_must_be"] and not play["removed_and_never_met"] for play in report[name])


@pytest.mark.parametrize("layer", LAYERS)
def test_without_any_one_layer_some_play_turns_red(report, layer):
    """A play in which ``layer`` alone stands becomes the play with none, and that one succeeds."""
    using = [scenario for scenario in scenarios(APPS).values() if layer in scenario.layers]
    if not using and {"accounts", "security"} == APPS:
        return  # its scenarios went with the sample domain

    assert any(report[scenario.name][-1]["attack"] == "succeeded" for scenario in using)


@pytest.mark.parametrize("scenario", scenarios(APPS).values(), ids=lambda scenario: scenario.name)
def test_a_scenario_tells_its_story_and_names_layers_that_exist(scenario):
    assert scenario.story.endswith(".")
    assert scenario.layers
    assert set(scenario.layers) <= LAYERS.keys()


def test_the_plays_of_two_layers():
    scenario = Scenario("x", "X.", ("a", "b"), lambda world: True)

    assert [(play.title, play.must_succeed) for play in plays(scenario)] == [
        ("every layer", False),
        ("a alone", False),
        ("b alone", False),
        ("no layer", True),
    ]
    assert Play(scenario, frozenset({"a"})).title == "b alone"


@pytest.mark.parametrize(
    "url", ["https://example.com", "https://10.0.0.1:8443", "https://localhost.example:1"]
)
def test_it_attacks_this_machine_only(url):
    with pytest.raises(ValueError, match="own service only"):
        World(url, "", {})


def test_an_unknown_name_is_told():
    done = run("run", "nonsense")

    assert done.returncode == 2
    assert "There are:" in done.stderr
