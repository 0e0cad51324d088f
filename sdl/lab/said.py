"""What the lab server says, as JSON data: the lab, its health, commands."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING

from sdl import __version__
from sdl.lab.wire import Json, command_json, description_json, form_json, reply_json

if TYPE_CHECKING:
    from sdl.lab.jobs import Standing
    from sdl.lab.log import Record
    from sdl.lab.server import LabServer


def lab_json(server: LabServer, world: str | None) -> Json:
    """Return the lab as `LabSaid`."""
    plan, clock = server.plan, server.clock
    return {
        "name": plan.name,
        "id": server.id,
        "boot": server.boot,
        "version": __version__,
        "clock": {
            "type": clock.settings.type,
            "factor": clock.settings.factor,
            "unix": time.time(),
            "lab": clock.now(),
            "world": world,
        },
        "instruments": {
            name: {
                "driver": i.driver,
                "description": description_json(i.description),
                "place": i.place,
                "safe_after": i.safe_after,
            }
            for name, i in plan.instruments.items()
        },
        "places": dict(plan.places),
        "containers": dict(plan.containers),
        "consumables": {name: [amount.value, amount.unit] for name, amount in plan.consumables.items()},
    }


async def health_json(server: LabServer) -> Json:
    """Return the health of all instruments as `HealthSaid`."""
    health = {name: asdict(found) for name, found in (await server.lab.health()).items()}
    stopped = None if server.stopping.stopped is None else str(server.stopping.stopped)
    return {"health": health, "busy": server.lab.busy(), "is_stopping": server.work.is_stopping, "stopped": stopped}


def standing_json(standing: Standing) -> Json:
    """Return how a command stands as `StandingSaid`."""
    question = standing.question
    return {
        "command": standing.command,
        "state": standing.state,
        "reply": None if standing.reply is None else reply_json(standing.reply),
        "started": standing.started,
        "seconds": standing.seconds,
        "fraction": standing.fraction,
        "message": standing.message,
        "question": None if question is None else {"id": question.id, "form": form_json(question.form)},
        "held": None if standing.held is None else {"text": standing.held.text, "by": standing.held.by},
    }


def record_json(record: Record) -> Json:
    """Return a command of the log as `RecordSaid`."""
    return {
        "command": command_json(record.command),
        "begins_sample": record.begins_sample,
        "state": record.state,
        "accepted": record.accepted,
        "started": record.started,
        "finished": record.finished,
        "answer": record.answer,
        "reply": None if record.reply is None else reply_json(record.reply),
    }
