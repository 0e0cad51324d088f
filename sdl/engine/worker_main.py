"""The worker process's own end: answers calls until its input closes. Run as `python -m sdl.engine.worker_main`."""

from __future__ import annotations

import os
import pickle
import sys
import traceback
from contextlib import suppress
from typing import TYPE_CHECKING, Any, BinaryIO

from sdl.engine.worker import LENGTH, CallError

if TYPE_CHECKING:
    from collections.abc import Callable


def _carry_out(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:  # noqa: ANN401  whatever it gives
    return function(*arguments)


def serve(
    source: BinaryIO, sink: BinaryIO, carry_out: Callable[[Callable[..., Any], tuple[Any, ...]], Any] = _carry_out
) -> None:
    """Answer calls until the input closes.

    Args:
        source: where they come.
        sink: where answers go, each in one write.
        carry_out: calls a function.
    """
    while len(head := source.read(LENGTH.size)) == LENGTH.size:
        (length,) = LENGTH.unpack(head)
        function, arguments = pickle.loads(source.read(length))  # noqa: S301  our own parent wrote it
        try:
            answer = pickle.dumps((True, carry_out(function, arguments), ""))
        except BaseException as error:  # noqa: BLE001  everything goes back to the caller
            trace = traceback.format_exc()
            try:
                answer = pickle.dumps((False, error, trace))
                pickle.loads(answer)  # noqa: S301  some exceptions pickle and do not unpickle
            except Exception:  # noqa: BLE001
                answer = pickle.dumps((False, CallError(f"{type(error).__name__}: {error}"), trace))
        sink.write(LENGTH.pack(len(answer)) + answer)
        sink.flush()


def _main() -> None:
    # What libraries print must not get between the frames: the real output moves away, prints go to standard error.
    sink = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    with suppress(BrokenPipeError):  # the campaign's process is gone: nobody waits for the answer
        serve(sys.stdin.buffer, sink)


if __name__ == "__main__":
    _main()
