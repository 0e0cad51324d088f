"""Who may do what: tokens with roles, refusals that move nothing and are logged."""

from __future__ import annotations

import asyncio
import json
import stat

import httpx
import pytest
from labkit import command, effects, served

from sdl.errors import InputError, LabError, LedgerError
from sdl.lab.served_plan import served_plan
from sdl.lab.tokens import ROLES, Tokens, may
from sdl.lab.wire import command_json

ASKED = command("f", with_={"hold": 0.0}, campaign="c.id")
SUBMIT = ("POST", "/commands", {"command": command_json(ASKED), "begins_sample": True, "digest": ASKED.digest})
REQUESTS = {
    "observe": [("GET", "/lab", None), ("GET", "/lab/health", None), ("GET", "/campaigns/c.id", None)],
    "operate": [
        SUBMIT,
        ("POST", "/campaigns/c.id/join", {"name": "c", "epoch": 1}),
        ("POST", "/campaigns/c.id/abort", {"epoch": 1}),
        ("POST", "/campaigns/c.id/safe", {"epoch": 1}),
        ("POST", "/campaigns/c.id/withdraw", {"epoch": 1}),
        ("POST", "/campaigns/c.id/here", {"epoch": 1}),
        ("POST", "/commands/f/settle", {"campaign": "c.id", "epoch": 0}),
        ("POST", "/commands/f/answer", {"question": "q"}),
        ("POST", "/commands/f/taken", None),
    ],
    "administer": [("POST", "/lab/safe", None), ("POST", "/lab/release", None)],
}


def test_a_token_is_shown_once_and_its_file_is_nobody_elses(tmp_path):
    tokens = Tokens(tmp_path / "labs" / "tokens.json")
    assert tokens.all() == ()
    text, token = tokens.new("operate")
    assert stat.S_IMODE(tokens.path.stat().st_mode) == 0o600
    assert text not in tokens.path.read_text()
    assert Tokens(tokens.path).of(text) == token
    assert token.role == "operate"
    assert tokens.of(text + "x") is None
    assert tokens.of("") is None
    other, _ = Tokens(tokens.path).new("observe")  # made by another process: known at once
    assert tokens.of(other).role == "observe"
    assert tokens.of(text) == token
    with pytest.raises(InputError, match="'observe', 'operate', 'administer'"):
        tokens.new("root")
    tokens.path.write_text("[1]")
    with pytest.raises(LedgerError, match="cannot be read"):
        tokens.all()


def test_each_role_may_what_those_before_it_may():
    allowed = [[may(have, want) for want in ROLES] for have in ROLES]
    assert allowed == [[True, False, False], [True, True, False], [True, True, True]]


def test_every_route_asks_for_its_role(tmp_path, caplog):
    async def main():
        tokens = Tokens(tmp_path / "tokens.json")
        given = {role: tokens.new(role)[0] for role in ROLES}
        async with served(tmp_path, tokens=tokens) as lab, httpx.AsyncClient(base_url=lab.url, trust_env=False) as http:
            paths = set((await http.get("/openapi.json")).json()["paths"])
            asked = {
                p.replace("c.id", "{campaign}").replace("/f/", "/{command}/")
                for r in REQUESTS.values()
                for _, p, _ in r
            }
            others = {
                "/commands/{command}/answered",
                "/samples/{sample}/cleared",
                "/campaigns/{campaign}/leave",
                "/campaigns/{campaign}/commands",
                "/artefacts/{sha256}",
                "/lab/estimate",
            }
            assert paths == asked | others | {"/commands/{command}"}
            for role, requests in REQUESTS.items():
                for method, path, body in requests:
                    for token in (None, "sdl_wrong"):
                        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
                        refused = await http.request(method, path, json=body, headers=headers)
                        assert refused.status_code == 401, path
                        assert refused.headers["www-authenticate"] == "Bearer"
                        assert "sdl lab token new" in refused.json()["error"]
                    for have in ROLES:
                        if not may(have, role):
                            headers = {"Authorization": f"Bearer {given[have]}"}
                            refused = await http.request(method, path, json=body, headers=headers)
                            assert refused.status_code == 403, path
                            assert f"may {have}; this needs one that may {role}" in refused.json()["error"]
            for path in ("/campaigns/c.id/commands", "/artefacts/00", "/commands/f"):
                assert (await http.get(path)).status_code == 401
            for path in ("/lab/estimate", "/campaigns/c.id/leave", "/commands/f/answered", "/samples/s/cleared"):
                assert (await http.post(path, json={"epoch": 1})).status_code == 401
            assert effects(tmp_path) == []
            assert lab.server.log.record("f") is None
            assert list(lab.server.log.campaigns()) == []
            for requests in REQUESTS.values():
                for method, path, body in requests:
                    headers = {"Authorization": f"Bearer {given['administer']}"}
                    answer = await http.request(method, path, json=body, headers=headers)
                    assert answer.status_code < 300, (path, answer.text)
            assert effects(tmp_path) == ["f"]

    asyncio.run(main())
    assert "401 for 127.0.0.1:" in caplog.text
    assert "POST /commands: the token is unknown" in caplog.text
    assert "403 for 127.0.0.1:" in caplog.text
    assert "nothing was moved" in caplog.text


def test_a_client_says_what_to_do_about_its_token(tmp_path):
    async def main():
        tokens = Tokens(tmp_path / "tokens.json")
        text, _ = tokens.new("operate")
        seen, _ = tokens.new("observe")
        async with served(tmp_path, tokens=tokens) as lab:
            with pytest.raises(
                LabError, match="a token is needed; make one with sdl lab token new and set SDL_LAB_TOKEN"
            ):
                await asyncio.to_thread(served_plan, lab.url, None)
            watcher = await lab.stranger(token=seen)
            with pytest.raises(LabError, match="may observe; this needs one that may operate"):
                await watcher.take_over("c.id", 1)
            watcher._epoch = 0
            await watcher.close()
            client = await lab.client(token=text)
            assert (await client.execute(command("f"), True)).status == "succeeded"
            await client.close()

    asyncio.run(main())


def test_a_page_in_a_browser_reaches_nothing(tmp_path):
    """Without tokens a page of another name that resolves to this machine is refused, and one that sends a form too."""

    async def main():
        async with served(tmp_path) as lab, httpx.AsyncClient(base_url=lab.url, trust_env=False) as http:
            answer = await http.get("/lab", headers={"Host": "evil.example:8470"})
            assert answer.status_code == 403
            assert "not to 'evil.example'" in answer.json()["error"]
            body = json.dumps(SUBMIT[2])
            answer = await http.post("/commands", content=body, headers={"Content-Type": "text/plain"})
            assert answer.status_code == 422
            assert effects(tmp_path) == []
            assert (await http.get("/lab")).status_code == 200

    asyncio.run(main())
