"""Carries decisions out: the one executor, with hooks; the local engine is it bare."""

from sdl.engine.engine import Engine
from sdl.engine.hooks import HookList, Hooks, View
from sdl.engine.session import Session, open_session
from sdl.engine.worker import InlineWorker, ProcessWorker, Worker, WorkerPool

__all__ = [
    "Engine",
    "HookList",
    "Hooks",
    "InlineWorker",
    "ProcessWorker",
    "Session",
    "View",
    "Worker",
    "WorkerPool",
    "open_session",
]
