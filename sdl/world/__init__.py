"""The interface to a simulated world: its own record of what physically happened, and its draws."""

from sdl.world.remote import RemoteWorld, address_of, campaign_actor
from sdl.world.world import Operation, World

__all__ = ["Operation", "RemoteWorld", "World", "address_of", "campaign_actor"]
