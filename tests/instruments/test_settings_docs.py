"""The examples of docs/drivers.md for `python`, `calculation` and `manual` work as they stand."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from sdl.driver import get_driver

DOCS = Path(__file__).parents[2] / "docs" / "drivers.md"


def test_examples_of_the_docs(write):
    text = DOCS.read_text()
    for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        named = re.match(r"# (mylab/\w+\.py)\n", code)
        if named:
            path = write(named.group(1), code)
    home = path.parent.parent
    found = {}
    for block in re.findall(r"```yaml\n(instruments:.*?)```", text, re.DOTALL):
        for name, spec in yaml.safe_load(block)["instruments"].items():
            driver = get_driver(spec["driver"])
            settings = driver.settings_model.model_validate(spec["settings"], context={"resolve": lambda p: home / p})
            found[name] = driver.describe(settings, spec["driver"])
            if driver.nature_in_settings:
                stand_in = driver.stand_in(settings)
                assert stand_in is not None and driver.describe(stand_in).nature == "simulated"
    assert {n: (d.nature, list(d.actions)) for n, d in found.items()} == {
        "pump": ("real", ["dispense"]),
        "model": ("calculation", ["compute"]),
        "person": ("manual", ["weigh"]),
    }
