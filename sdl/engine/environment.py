"""What a computation depended on; the word lies lower down, where the audit reaches it."""

from sdl.planners.environment import LIBRARIES, environment

__all__ = ["LIBRARIES", "environment"]
