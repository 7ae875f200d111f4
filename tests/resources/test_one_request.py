"""docs/one-request.md is a transcript of the served demo. UPDATE_PAGE=1 writes its answers anew."""

import os
import re
import subprocess

from deploy.local.postgres import ROOT

PAGE = ROOT / "docs" / "one-request.md"
BLOCK = re.compile(r"(?<=```console\n)(.*?)(?=```)", re.DOTALL)
#: What differs from run to run: pattern → what is compared instead.
VARYING = {
    r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}": "(id)",
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z": "(time)",
    r"(?m)^date: .*": "date: (time)",
    r"(?m)^content-length: \d+": "content-length: (bytes)",  # of times, which may end in zeros
    r"r=\d+;t=\d+": "r=(left);t=(seconds)",
    r'"number":"2026-\d+"': '"number":"(number)"',
    r'"milliseconds":[\d.]+': '"milliseconds":(time)',
    r'"next":(null|"[^"]+")': '"next":"(cursor)"',
}


def played(live, commands):
    """What each command prints, in one shell of a user's who has ``live`` in the place of `make run`."""
    places = {
        "https://localhost:8443": live.base_url,
        ".run/demo.json": live.demo_file,
        ".run/tls/ca.pem": live.directory / "tls" / "ca.pem",
        ".run/service.log": live.log,
        ".venv/bin/python": "python",
    }
    script = ""
    for command in commands:
        for place, real in places.items():
            command = command.replace(place, str(real))
        script += f"{command}\nprintf '\\x1e'\n"
    done = subprocess.run(
        ["bash"], input=script, env=live.environment, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert not done.stderr
    output = done.stdout.replace(live.base_url, "https://localhost:8443").replace("\r\n", "\n")
    return output.split("\x1e")[:-1]


def test_the_page_is_what_happens(live):
    page = PAGE.read_text()
    commands = re.findall(r"^\$ (.*)$", "".join(BLOCK.findall(page)), re.MULTILINE)
    printed = iter(played(live, commands))

    def transcript(block):
        lines = [line for line in block[1].splitlines() if line.startswith("$ ")]
        shown = "\n".join(f"{line}\n{next(printed)}" for line in lines)
        return "".join(f"{line.rstrip()}\n" for line in shown.splitlines() if line.strip())

    now = BLOCK.sub(transcript, page)
    if "UPDATE_PAGE" in os.environ:
        PAGE.write_text(now)
    assert without_what_varies(now) == without_what_varies(page)


def without_what_varies(text):
    for pattern, instead in VARYING.items():
        text = re.sub(pattern, instead, text)
    return text
