"""A campaign read back from the ledger asks the planner exactly what it was asked before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sdl.errors import InputError, LedgerError
from sdl.ledger import CampaignCreated, Ledger, VersionRecorded
from sdl.preflight import Checked, check, recorded_draft, recorded_problem

ROOT = Path(__file__).parents[2]
SHIPPED = ["opv_photostability.yaml", "electrolyte_sintering.yaml"]


def record(ledger: Ledger, checked: Checked, *, version: int = 1) -> None:
    campaign = checked.campaign
    for key, path in campaign.files.contents().items():
        ledger.artefacts.put(key, path.read_bytes(), "application/octet-stream")
    document = campaign.document
    created = [CampaignCreated(campaign.seed, {})] if version == 1 else []
    recorded = VersionRecorded(
        version, campaign.digest, document.text, document.data, list(document.overridden), dict(campaign.files.used)
    )
    ledger.append(campaign.name, 0.0, [*created, recorded])


def same(one: Any, other: Any) -> None:
    assert one.parameters == other.parameters
    assert one.constraints == other.constraints
    assert (one.pool is None) == (other.pool is None)
    if one.pool is not None:
        assert one.pool.names == other.pool.names
        assert one.pool.categories == other.pool.categories
        np.testing.assert_array_equal(one.pool.codes, other.pool.codes)


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize("overrides", [(), ("stop.experiments=3", "planner.initial.count=4")], ids=["plain", "set"])
def test_the_problem_is_the_same(campaigns: Path, name: str, overrides: tuple[str, ...]) -> None:
    checked = check(campaigns / name, overrides=overrides, seed=11)
    ledger = Ledger(None)
    record(ledger, checked)
    planner, problem = recorded_problem(ledger, checked.campaign.name)
    assert planner == checked.campaign.planner.type
    same(problem.space, checked.problem.space)
    assert problem.settings == checked.problem.settings
    assert problem.objectives == checked.problem.objectives
    assert problem.outcome_constraints == checked.problem.outcome_constraints
    assert (problem.seed, problem.budget) == (11, checked.plan.budget)
    draft = recorded_draft(ledger, checked.campaign.name)
    assert draft.problems == []
    assert set(draft.files.used) <= set(checked.campaign.files.used)
    ledger.close()


def test_it_needs_none_of_the_files(tmp_path: Path) -> None:
    import shutil

    folder = tmp_path / "campaigns"
    shutil.copytree(ROOT / "campaigns", folder)
    ledger = Ledger(tmp_path / "home")
    for name in SHIPPED:
        record(ledger, check(folder / name))
    expected = [check(folder / name).problem.space for name in SHIPPED]
    shutil.rmtree(folder)
    for space, name in zip(expected, ["opv-photostability", "electrolyte-sintering"], strict=True):
        same(recorded_problem(ledger, name)[1].space, space)
    ledger.close()


def test_versions(campaigns: Path) -> None:
    ledger = Ledger(None)
    path = campaigns / SHIPPED[0]
    record(ledger, check(path))
    record(ledger, check(path, overrides=("stop.experiments=7",)), version=2)
    assert recorded_problem(ledger, "opv-photostability")[1].budget == 7
    assert recorded_problem(ledger, "opv-photostability", 1)[1].budget == 40
    with pytest.raises(InputError, match="campaign 'opv-photostability' has no version 3; it has: 1, 2"):
        recorded_problem(ledger, "opv-photostability", 3)
    with pytest.raises(InputError, match="has no campaign 'x'; it has: opv-photostability"):
        recorded_problem(ledger, "x")
    ledger.close()


def test_a_changed_file_is_refused(campaigns: Path, tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    checked = check(campaigns / SHIPPED[0])
    record(ledger, checked)
    sha = checked.campaign.files.used["data/opv_wf3.csv"]
    (path,) = [
        p
        for p in (tmp_path / "artefacts").rglob("*")
        if p.is_file() and sha[:8] in str(p.relative_to(tmp_path)).replace("/", "")
    ]
    path.chmod(0o644)
    path.write_bytes(b"wf3\n1\n")
    with pytest.raises(LedgerError):
        recorded_draft(ledger, checked.campaign.name)
    ledger.close()


def test_digests(campaigns: Path) -> None:
    path = campaigns / SHIPPED[1]
    first = check(path).campaign.digest
    assert check(path).campaign.digest == first
    assert check(path, name="other", overrides=("description=x",)).campaign.digest == first, (
        "names do not make a version"
    )
    others = [
        check(path, seed=1).campaign.digest,
        check(path, overrides=("stop.experiments=7",)).campaign.digest,
        check(path, overrides=("protocol[0].with.mass=3 g",)).campaign.digest,
    ]
    assert len({first, *others}) == 4
    lab = campaigns / "labs/simulated_ceramics.yaml"
    text = lab.read_text()
    try:
        lab.write_text(text.replace("seed: 1", "seed: 2"))
        assert check(path).campaign.digest != first
    finally:
        lab.write_text(text)
    assert check(path).campaign.digest == first
