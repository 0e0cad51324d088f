"""`python -m sdl.cli` is `sdl`."""

from sdl.cli.main import main

main()
