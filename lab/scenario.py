"""What a scenario is: one module with a story, an attack, and the layers that stop it.

::

    STORY = "A clerk of Globex knows the id of one of Acme's invoices and reads it."
    LAYERS = ("scoping", "row_security")

    def attack(world: World) -> bool:
        '''True when the attack got what it wanted.'''

It lies in ``lab/<app>/`` and is played where that app is installed. A layer is a name of ``lab.layers``.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from lab.world import World

HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Scenario:
    name: str
    story: str
    layers: tuple[str, ...]
    attack: Callable[[World], bool]


@dataclass(frozen=True, slots=True)
class Play:
    """A scenario with some of its layers removed. It has to fail unless all are."""

    scenario: Scenario
    removed: frozenset[str]

    @property
    def must_succeed(self) -> bool:
        return self.removed == frozenset(self.scenario.layers)

    @property
    def alone(self) -> str:
        """The one layer that stands; empty where more do, or none."""
        standing = [layer for layer in self.scenario.layers if layer not in self.removed]
        return standing[0] if len(standing) == 1 else ""

    @property
    def title(self) -> str:
        if self.must_succeed:
            return "no layer"
        return "every layer" if not self.removed else f"{self.alone} alone"


def scenarios(apps: set[str]) -> dict[str, Scenario]:
    """Every scenario of ``apps``, by name."""
    found = {}
    for path in sorted(HERE.glob("*/*.py")):
        if path.parent.name not in apps or path.stem == "__init__":
            continue
        module = import_module(f"lab.{path.parent.name}.{path.stem}")
        if not hasattr(module, "attack"):
            continue  # what the scenarios of an app share
        name = path.stem.replace("_", "-")
        found[name] = Scenario(name, module.STORY, module.LAYERS, module.attack)
    return found


def plays(scenario: Scenario) -> Iterator[Play]:
    """With every layer, with each alone, with none."""
    every = frozenset(scenario.layers)
    yield Play(scenario, frozenset())
    if len(every) > 1:
        for layer in scenario.layers:
            yield Play(scenario, every - {layer})
    yield Play(scenario, every)
