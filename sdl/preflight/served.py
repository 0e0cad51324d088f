"""Check a campaign whose lab is a server: it must answer before anything is recorded, and says what its lab can do."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from sdl.errors import LabError, ProtocolError

if TYPE_CHECKING:
    from sdl.campaign import Draft, LabSpec, Reader
    from sdl.lab import LabPlan

TOKEN_VARIABLE = "SDL_LAB_TOKEN"  # noqa: S105  the name of a variable, no secret
"""Environment variable from which the token is taken where the campaign names none."""


def token_of(reference: str | None) -> str | None:
    """Return the token that `env:NAME` (by default `env:SDL_LAB_TOKEN`) stands for, or None where it is not set."""
    return os.environ.get(TOKEN_VARIABLE if reference is None else reference.removeprefix("env:")) or None


def check_served(draft: Draft, spec: LabSpec, server: str, reader: Reader, *, simulate: bool) -> LabPlan | None:
    """Return the lab as its server describes it; problems are noted in the draft."""
    where = ("lab", "server")
    if simulate:
        reader.wrong(
            where,
            "--simulate takes simulators in the place of instruments of this process; a served lab is what its server says: "
            "name the lab file here instead, or serve a simulated lab",
        )
        return None
    if spec.token is not None and token_of(spec.token) is None:
        name = spec.token.removeprefix("env:")
        reader.wrong(("lab", "token"), f"the environment variable {name} is not set; set it before sdl run")
        return None
    try:
        from sdl.lab.served_plan import served_plan  # HTTP is needed by campaigns on a server alone
    except ImportError as error:
        reader.wrong(where, f"a lab server needs the extra sdl[server] ({error}); install it")
        return None
    try:
        plan = served_plan(server, token_of(spec.token))
    except (LabError, ProtocolError) as error:
        reader.wrong(where, str(error))
        return None
    # Steps name instruments, which no file of the campaign's own does.
    draft.lab = replace(spec, name=plan.name, clock=plan.clock, written=tuple(plan.instruments))
    return plan
