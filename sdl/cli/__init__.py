"""The terminal: the `sdl` command. Commands import what they need when they run, so that `sdl --help` is quick."""
