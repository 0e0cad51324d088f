"""What `verify` finds, what it says of its reach, and that it never ends in a traceback."""

from __future__ import annotations

import json

import pytest
from postgreskit import ONLY_SQLITE

from sdl.errors import InputError, LedgerError
from sdl.ledger import Ledger
from sdl.ledger.verify import Head, head_in_file, verify

ON_POSTGRESQL = {
    "UPDATE commands SET simulated = 2 WHERE experiment = 1": "UPDATE commands SET simulated = false WHERE experiment = 1",
    "UPDATE observations SET unit = CAST(x'ff' AS TEXT) WHERE id = '1.conductivity.1'": (
        "UPDATE observations SET unit = unit || chr(27) WHERE id = '1.conductivity.1'"
    ),
}
"""What stands for a statement where a database holds to its columns' types."""


def where(found):
    return {f.where for f in found.findings}


def test_untouched_campaign_verifies_and_says_that_a_cut_could_not_be_noticed(ledger):
    found = verify(ledger, "demo")
    assert found.ok
    assert found.rows == len(ledger.rows("demo"))
    assert found.artefacts == 3  # one file of the version; three commands gave raw data, of two contents
    assert found.told_up_to == 0
    assert "No head of this campaign was written elsewhere" in found.text()
    assert "cut rows off the end" in found.text()


def test_other_campaigns_of_the_home_do_not_bear_on_it(ledger, fill, tamper):
    fill(ledger, "other")
    tamper("UPDATE journal SET body = '{}' WHERE campaign = 'other' AND seq = 3")
    assert verify(ledger, "demo").ok
    assert not verify(ledger, "other").ok


def test_unknown_campaign_is_refused_with_those_there_are(ledger):
    with pytest.raises(InputError, match=r"no campaign 'dmeo'; it has: 'demo'"):
        verify(ledger, "dmeo")


def test_edited_body_is_found_with_the_value_that_the_journal_gave(ledger, tamper):
    assert tamper("UPDATE journal SET body = replace(body, '\"value\":0.09', '\"value\":0.99') WHERE seq = 9") == 1
    found = verify(ledger, "demo")
    assert "row 9" in where(found)
    assert any("observations (1.conductivity.1).value" in f.where for f in found.findings)
    assert "row 9: was changed" in found.text()


def test_edited_time_is_found(ledger, tamper):
    tamper("UPDATE journal SET at = replace(at, '1970', '1971') WHERE seq = 6")
    assert "row 6" in where(verify(ledger, "demo"))


def test_edit_hashed_anew_shows_in_the_row_after_it(ledger, tamper):
    from sdl.ledger.ledger import row_hash

    rows = ledger.rows("demo")
    body = json.dumps({**rows[6].event.body(), "instrument": "oven"}, separators=(",", ":"))
    row = rows[6]
    digest = row_hash(row.previous, "demo", row.seq, row.at, row.event.kind, body)
    tamper("UPDATE journal SET body = ?, hash = ? WHERE seq = ?", body, digest, row.seq)
    found = verify(ledger, "demo")
    assert f"row {row.seq + 1}" in where(found)
    assert any(f.where.startswith("commands (") and f.where.endswith(".instrument") for f in found.findings)


def test_removed_row_is_named(ledger, tamper):
    tamper("DELETE FROM journal WHERE seq = 6")
    assert "row 7: row 6 is missing before it" in verify(ledger, "demo").text()
    tamper("DELETE FROM journal WHERE seq = 5")
    assert "row 7: rows 5 to 6 are missing before it" in verify(ledger, "demo").text()


def test_removed_first_row_is_named(ledger, tamper):
    tamper("DELETE FROM journal WHERE seq = 1")
    assert "row 2: row 1 is missing before it" in verify(ledger, "demo").text()


def test_removed_row_with_the_others_moved_up_is_found(ledger, tamper):
    tamper("DELETE FROM journal WHERE seq = 6")
    tamper("UPDATE journal SET seq = -seq WHERE seq > 6")
    tamper("UPDATE journal SET seq = -seq - 1 WHERE seq < 0")
    assert "row 6" in where(verify(ledger, "demo"))


def test_swapped_rows_are_found(ledger, tamper):
    tamper("UPDATE journal SET seq = -6 WHERE seq = 6")
    tamper("UPDATE journal SET seq = 6 WHERE seq = 7")
    tamper("UPDATE journal SET seq = 7 WHERE seq = -6")
    assert {"row 6", "row 7"} <= where(verify(ledger, "demo"))


@pytest.mark.parametrize("seq", [0, -3])
def test_surplus_row_before_the_first_is_found(ledger, tamper, seq):
    tamper("INSERT INTO journal SELECT campaign, ?, at, kind, body, previous, hash FROM journal WHERE seq = 3", seq)
    assert f"row {seq}: cannot stand" in verify(ledger, "demo").text()


def test_cut_tail_shows_in_the_projections_left_behind(ledger, tamper):
    rows = len(ledger.rows("demo"))
    tamper("DELETE FROM journal WHERE seq > ?", rows - 2)
    found = verify(ledger, "demo")
    assert where(found) >= {"model_versions (gp, 1)", "campaigns (demo).state"}


def test_cut_tail_with_projections_made_to_agree_needs_a_head(ledger, tamper):
    seq, digest = ledger.head("demo")
    tamper("DELETE FROM journal WHERE seq > ?", seq - 2)
    tamper.reproject(ledger)
    assert verify(ledger, "demo").ok  # and it says that it cannot tell
    found = verify(ledger, "demo", [Head(seq, digest, "report r.html")])
    assert f"head in report r.html: was row {seq}, but the journal ends at row {seq - 2}" in found.text()
    assert found.told_up_to == 0
    assert "nothing vouches" in found.text()


def test_cut_tail_is_found_by_the_head_noted_in_the_home(ledger, tamper):
    seq, _ = ledger.note_head("demo", "report r.html")
    found = verify(ledger, "demo")
    assert found.ok
    assert found.told_up_to == seq
    assert f"Rows 1 to {seq} are vouched for by the head written elsewhere: report r.html" in found.text()
    tamper("DELETE FROM journal WHERE seq > ?", seq - 1)
    tamper.reproject(ledger)
    assert not verify(ledger, "demo").ok


def test_journal_removed_altogether_is_found(ledger, tamper):
    tamper("DELETE FROM journal")
    assert "campaigns (demo): the row is surplus" in verify(ledger, "demo").text()


def test_rehashed_tail_is_found_up_to_the_last_head(ledger, tamper, life):
    seq, _ = ledger.note_head("demo", "export e.json")
    early = ledger.rows("demo")[4]
    tamper("UPDATE journal SET body = replace(body, 'simulate', 'Simulate') WHERE seq = 1")
    tamper.rehash()
    tamper.reproject(ledger)
    found = verify(ledger, "demo", [Head(early.seq, early.hash, "report early.html")])
    assert found.told_up_to == 0
    assert {f.kind for f in found.findings} == {"head"}
    assert f"row {early.seq} had another hash: something in rows 1 to {early.seq}" in found.text()
    assert f"row {seq} had another hash" in found.text()


def test_rehashed_rows_after_the_last_head_cannot_be_noticed_and_it_says_so(ledger, tamper):
    rows = ledger.rows("demo")
    head = Head(rows[5].seq, rows[5].hash, "report r.html")
    tamper("UPDATE journal SET body = replace(body, 'Q1', 'Q2') WHERE seq = ?", rows[-1].seq)
    tamper.rehash()
    tamper.reproject(ledger)
    found = verify(ledger, "demo", [head])
    assert found.ok
    assert found.told_up_to == 6
    assert f"Rows 7 to {rows[-1].seq} only vouch for each other" in found.text()


def test_rehash_between_two_heads_names_the_rows_between(ledger, tamper):
    rows = ledger.rows("demo")
    heads = [Head(r.seq, r.hash, f"report {r.seq}") for r in (rows[4], rows[-1])]
    tamper("UPDATE journal SET at = '1980-01-01T00:00:00.000000+00:00' WHERE seq = 8")
    tamper.rehash()
    tamper.reproject(ledger)
    found = verify(ledger, "demo", heads)
    assert found.told_up_to == 5
    assert f"something in rows 6 to {rows[-1].seq}" in found.text()


def test_head_beyond_a_broken_row_does_not_vouch_for_it(ledger, tamper):
    rows = ledger.rows("demo")
    heads = [Head(r.seq, r.hash, f"report {r.seq}") for r in (rows[4], rows[-1])]
    tamper("UPDATE journal SET at = '1980-01-01T00:00:00.000000+00:00' WHERE seq = 8")
    found = verify(ledger, "demo", heads)
    assert found.told_up_to == 5


def test_head_of_another_campaign_is_refused(ledger):
    with pytest.raises(InputError, match="of campaign 'other', not of 'demo'"):
        verify(ledger, "demo", [Head(1, "0" * 64, "r.html", "other")])


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("kind", "campaign.creatd", "unknown kind"),
        ("body", "{", "cannot be read"),
        ("body", "[" * 100_000, "cannot be read"),
        ("body", "[1]", "cannot be read"),
        ("body", '{"seed":1}', "cannot be read"),
        ("body", '{"seed":NaN,"settings":{}}', "row 1"),
        ("body", '{"seed":[1],"settings":{}}', "row 1"),
        ("body", b"\xff\xfe", "row 1"),
        ("at", b"\xff", "row 1"),
        ("hash", 12, "row 1"),
        ("seq", "first", "row 'first'"),
    ],
)
@pytest.mark.parametrize("rehashed", [False, True])
def test_malformed_rows_are_findings_and_no_tracebacks(ledger, tamper, column, value, said, rehashed, database):
    if database == "postgresql" and column == "seq":
        with pytest.raises(Exception, match="invalid input syntax for type bigint"):
            tamper(f"UPDATE journal SET {column} = ? WHERE seq = 1", value)
        return
    tamper(f"UPDATE journal SET {column} = ? WHERE seq = 1", value)
    if rehashed and column in {"kind", "body"} and isinstance(value, str):
        tamper.rehash()
    found = verify(ledger, "demo")
    assert not found.ok
    assert said in found.text()


def test_rows_that_contradict_each_other_are_findings(ledger, tamper):
    tamper(
        "UPDATE journal SET body = replace(body, '\"experiment\":1', '\"experiment\":99') WHERE kind = 'experiment.started'"
    )
    tamper.rehash()
    assert "speaks of something that no earlier row recorded" in verify(ledger, "demo").text()


@pytest.mark.parametrize(
    ("statement", "place"),
    [
        ("UPDATE campaigns SET state = 'done'", "campaigns (demo).state"),
        ("UPDATE campaigns SET seed = 8", "campaigns (demo).seed"),
        ("UPDATE versions SET text = text || ' '", "versions (1).text"),
        ("UPDATE rounds SET seed = seed || '0' WHERE round = 2", "rounds (2).seed"),
        ("UPDATE experiments SET candidate = '{}' WHERE number = 2", "experiments (2).candidate"),
        ("UPDATE steps SET state = 'open' WHERE experiment = 1", "steps (1, 0).state"),
        (
            "UPDATE commands SET simulated = 2 WHERE experiment = 1",
            "commands (00000000-0000-0000-0000-000000000001).simulated",
        ),
        (
            "UPDATE observations SET value = value + 1e-16 WHERE id = '1.conductivity.1'",
            "observations (1.conductivity.1).value",
        ),
        (
            "UPDATE observations SET unit = CAST(x'ff' AS TEXT) WHERE id = '1.conductivity.1'",
            "observations (1.conductivity.1).unit",
        ),
        (
            "UPDATE artefacts SET size = size + 1 WHERE position = 0",
            "artefacts (00000000-0000-0000-0000-000000000001, 0).size",
        ),
        ("DELETE FROM questions", "questions (Q1)"),
        ("UPDATE model_versions SET version = 2", "model_versions (gp, 2)"),
        ("INSERT INTO steps VALUES ('demo', 9, 9, 'a', 'b', 'c', 'd')", "steps (9, 9)"),
        (
            "UPDATE commands SET campaign = 'other' WHERE experiment = 1",
            "commands (00000000-0000-0000-0000-000000000001)",
        ),
    ],
)
def test_every_projection_is_compared_value_by_value(ledger, tamper, statement, place, database):
    if database == "postgresql":
        statement = ON_POSTGRESQL.get(statement, statement)
    assert tamper(statement) >= 1
    found = verify(ledger, "demo")
    assert place in where(found)
    assert {f.kind for f in found.findings} == {"projection"}


def test_missing_changed_and_resized_artefacts_are_found(ledger, tamper):
    [one, two, three] = list(ledger.artefacts.all())
    folder = ledger.home / "artefacts"
    (folder / one[:2] / one).unlink()
    changed = folder / two[:2] / two
    changed.chmod(0o644)
    changed.write_bytes(changed.read_bytes()[:-1] + b"!")
    found = verify(ledger, "demo")
    assert {f.kind for f in found.findings} == {"artefact"}
    assert f"{one} is missing" in found.text()
    assert f"{two} in" in found.text()
    assert "was changed" in found.text()
    assert three not in found.text()


def test_artefact_of_a_wrong_recorded_size_and_of_a_wild_name_are_found(ledger, tamper):
    tamper("UPDATE journal SET body = replace(body, '\"size\":10', '\"size\":11') WHERE seq = 8")
    assert "has 10 bytes, recorded are 11" in verify(ledger, "demo").text()
    tamper('UPDATE journal SET body = replace(body, \'"sha256":"\', \'"sha256":"../../../\') WHERE seq = 8')
    assert "is no SHA-256" in verify(ledger, "demo").text()


@ONLY_SQLITE
def test_damaged_database_is_a_finding_or_a_ledger_error(ledger):
    ledger.close()
    path = ledger.home / "ledger.db"
    data = bytearray(path.read_bytes())
    at = data.find(b"campaign.version")
    data[at - 200 : at - 150] = b"\x00" * 50
    path.write_bytes(data)
    again = Ledger(ledger.home)
    try:
        assert not verify(again, "demo").ok
    except LedgerError as error:
        assert "cannot be read" in str(error)
    finally:
        again.close()


def test_broken_lines_of_noted_heads_are_findings_but_not_an_unfinished_last_one(ledger):
    seq, _ = ledger.note_head("demo", "report r.html")
    path = ledger.home / "heads" / "demo.jsonl"
    with path.open("a") as file:
        file.write('{"seq": 12, "ha')
    assert verify(ledger, "demo").ok
    with path.open("a") as file:
        file.write("\n[]\n")
    found = verify(ledger, "demo")
    assert {f.kind for f in found.findings} == {"head"}
    assert len(found.findings) == 2
    assert found.told_up_to == seq


def test_verification_works_in_memory(fill):
    ledger = fill(Ledger(None))
    assert verify(ledger, "demo").ok
    assert verify(ledger, "demo").ok  # the shared connection reads text as text again
    assert ledger.rows("demo")
    ledger.close()


def test_many_findings_are_counted_and_the_first_are_shown(ledger, tamper):
    tamper("UPDATE journal SET at = '1980-01-01T00:00:00.000000+00:00'")
    found = verify(ledger, "demo")
    assert len(found.text().splitlines()) < 40
    assert "more" in found.text()


# --- heads in files --------------------------------------------------------------------------------------------------


def test_head_is_read_from_a_report(tmp_path):
    path = tmp_path / "r.html"
    digest = "a1" * 32
    path.write_text(
        f"<html><script>var x = '<p>'</script><script id='sdl-head' type='application/json'>"
        f'{{"campaign":"demo","seq":5,"hash":"{digest}"}}</script></html>'
    )
    assert head_in_file(path) == Head(5, digest, str(path), "demo")


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("r.html", "<html></html>", "carries no head"),
        ("r.html", "<script id='sdl-head'>{</script>", "carries no head that can be read"),
        ("e.json", "{}", "'head' is missing"),
        ("e.json", "{", "carries no head"),
        ("e.json", '{"head": {"seq": 0, "hash": ""}}', "whole number from 1"),
        ("e.json", '{"head": {"seq": true, "hash": ""}}', "whole number from 1"),
        ("e.json", '{"head": {"seq": 1, "hash": "xyz"}}', "64 digits"),
        ("e.csv", "", "carries no head"),
    ],
)
def test_files_without_a_head_are_refused(tmp_path, name, text, said):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(InputError, match=said):
        head_in_file(path)


def test_unreadable_files_are_refused(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        head_in_file(tmp_path / "none.html")
    (tmp_path / "b.parquet").write_bytes(b"PAR1\xff\xfe")
    with pytest.raises(InputError, match="is no text"):
        head_in_file(tmp_path / "b.parquet")
