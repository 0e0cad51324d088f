"""People who are not at the screen are told; that they could not be is said, and touches no campaign."""

from __future__ import annotations

import http.server
import json
import threading

import pytest
from enginekit import CAMPAIGN, Gauge, Press, run, settled
from slowkit import SlowPress

from sdl.engine import HookList, Hooks
from sdl.engine.notifying import Notifier, NotifySettings, notifier_of, notify_settings, send_by_apprise
from sdl.errors import InputError
from sdl.ledger import Ledger


@pytest.fixture
def campaign(write, drivers):
    drivers(press=SlowPress, gauge=Gauge)
    Press.behaviour.__init__()
    SlowPress.takes.clear()
    return write("pellets.yaml", CAMPAIGN)


class Post:
    """Keeps what is sent."""

    def __init__(self, error: Exception | None = None, missed: tuple[str, ...] = ()) -> None:
        self.sent: list[tuple[list[str], str, str]] = []
        self._error, self._missed = error, missed

    def __call__(self, urls: list[str], title: str, text: str) -> list[str]:
        self.sent.append((urls, title, text))
        if self._error is not None:
            raise self._error
        return list(self._missed)


def _told(campaign, home, post, *overrides, on=("late", "question", "waiting", "failed", "done")):
    said: list[str] = []
    notifier = Notifier(NotifySettings(("post://a",), on), said.append, post)
    end, _, rows = run(campaign, home, *overrides, hooks=HookList(Hooks(), notifier))
    notifier.close()
    return end, rows, said


def test_late_and_done_are_told_in_order(campaign, tmp_path):
    SlowPress.takes[2] = 3 * 3600.0
    post = Post()
    _, _, said = _told(campaign, tmp_path / "home", post)
    assert [(urls, title) for urls, title, _ in post.sent] == [
        (["post://a"], "pellets: press.press is late"),
        (["post://a"], "pellets is done"),
    ]
    assert "Experiment 2" in post.sent[0][2] and "should take 60 min" in post.sent[0][2]
    assert "5 experiments were started" in post.sent[1][2] and "5 done" in post.sent[1][2]
    assert said == []


def test_a_question_is_told_with_how_to_answer_it(campaign, tmp_path):
    Press.behaviour.unknown.add(1)
    post = Post()
    end, _, _ = _told(campaign, tmp_path / "home", post, "stop.experiments=1")
    assert end[0] == "waiting"
    titles = [title for _, title, _ in post.sent]
    assert titles == ["pellets: a question", "pellets waits for a person"]
    assert "sdl answer pellets/" in post.sent[0][2]


def test_only_what_is_asked_for_is_told(campaign, tmp_path):
    SlowPress.takes[2] = 3 * 3600.0
    post = Post()
    _told(campaign, tmp_path / "home", post, on=("done",))
    assert [title for _, title, _ in post.sent] == ["pellets is done"]


@pytest.mark.parametrize(
    ("post", "words"),
    [
        (Post(OSError("password123")), "nobody was notified of 'pellets is done': OSError"),
        (Post(ImportError("no apprise")), "install sdl[notify]"),
        (Post(missed=("mailto://****",)), "mailto://**** was not notified of 'pellets is done'"),
    ],
)
def test_a_failure_is_said_and_touches_nothing(campaign, tmp_path, post, words):
    end, rows, said = _told(campaign, tmp_path / "home", post)
    assert end[0] == "done" and settled(rows) == ["succeeded"] * 10
    assert len(said) == 1 and words in said[0] and "password123" not in said[0]
    plain, _, without = run(campaign, tmp_path / "other")
    assert plain == end
    assert [r.at for r in rows] == [r.at for r in without]


def test_the_addresses_come_from_environment_or_home_and_never_reach_the_ledger(campaign, tmp_path):
    assert notify_settings(tmp_path, {}) is None
    assert notify_settings(None, {"SDL_NOTIFY": "json://a json://b"}) == NotifySettings(("json://a", "json://b"))
    file = tmp_path / "notify.yaml"
    file.write_text("urls: ['json://secret']\ntell: [late, failed]\n")
    assert notify_settings(tmp_path, {}) == NotifySettings(("json://secret",), ("late", "failed"))
    both = notify_settings(tmp_path, {"SDL_NOTIFY": "json://b", "SDL_NOTIFY_TELL": "done"})
    assert both == NotifySettings(("json://b",), ("done",))
    assert notify_settings(tmp_path, {"SDL_NOTIFY": ""}) is None
    run(campaign, tmp_path, "stop.experiments=1")
    rows = Ledger(tmp_path).rows("pellets")
    assert not any("json://secret" in json.dumps(r.event.body()) for r in rows)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("urls: [", "cannot be read"),
        ("[1]", "must hold 'urls'"),
        ("url: x", "must hold 'urls'"),
        ("urls: x", "'urls' must be a list of texts"),
        ("urls: [x]\ntell: [lat]", "'lat' cannot be notified of (did you mean 'late'?)"),
    ],
)
def test_settings_that_cannot_be_used_are_said(tmp_path, monkeypatch, text, words):
    monkeypatch.delenv("SDL_NOTIFY", raising=False)
    (tmp_path / "notify.yaml").write_text(text)
    with pytest.raises(InputError) as raised:
        notify_settings(tmp_path, {})
    assert words in str(raised.value)
    said: list[str] = []
    assert notifier_of(tmp_path, said.append) is None
    assert words in said[0]


@pytest.fixture
def inbox():
    """A web server that keeps what it gets; (address, messages)."""
    got: list[dict] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(500 if "broken" in self.path else 200)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.server_address[1]}", got
        server.shutdown()
        thread.join()


def test_apprise_sends_and_names_who_did_not_get_it_without_passwords(inbox):
    pytest.importorskip("apprise")
    address, got = inbox
    missed = send_by_apprise(
        [f"json://{address}/ok", f"json://me:hunter2@{address}/broken", "carrierpigeon://coop"], "title", "text"
    )
    assert [(m["title"], m["message"]) for m in got] == [("title", "text")] * 2
    assert len(missed) == 2
    assert "broken" in missed[0] and "hunter2" not in missed[0]
    assert "carrierpigeon" in missed[1] and "coop" not in missed[1]
