"""Headers by which a lab server and its clients know each other."""

LOG_HEADER = "Sdl-Log"
"""On a request: the id of the command log that is meant. A server with another one in its place takes nothing."""

BOOT_HEADER = "Sdl-Boot"
"""On an answer: the life of the server that gives it, another one after every start. On a request: the life that is meant; one
that was started since takes nothing, so that its client can look first whether its command log is whole."""

STOPPED_HEADER = "Sdl-Stopped"
"""On an answer 503: a person has stopped the lab, so it is no use to ask again."""
