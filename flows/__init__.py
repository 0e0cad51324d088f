"""Prefect around the engine: launch, watch, ask, cancel. What Prefect shows is never what is decided from."""
