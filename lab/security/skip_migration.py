"""An injection notes in the database that the migration of tomorrow's fix has run, so that it never will."""

from urllib.parse import quote

from lab.world import World

STORY = __doc__
LAYERS = ("database_roles",)


def attack(world: World) -> bool:
    name = world.unique("0099")
    row = f"('security', '{name}', now())"
    text = f"'; INSERT INTO django_migrations (app, name, applied) VALUES {row}; --"
    world.send("GET", f"/lab/concatenated?name={quote(text)}")
    try:
        return bool(world.dump(f"SELECT 1 FROM django_migrations WHERE name = '{name}'"))
    finally:
        world.arrange(f"DELETE FROM django_migrations WHERE name = '{name}'")
