"""Lists the packages: the folders `instruments` and `flows` are installed under names of their own."""

from setuptools import find_namespace_packages, find_packages, setup


def _packages(folder: str, name: str) -> list[str]:
    return [name, *(f"{name}.{package}" for package in find_packages(folder))]


setup(
    packages=[
        *_packages("sdl", "sdl"),
        *(f"sdl.{p}" for p in find_namespace_packages("sdl", include=["ledger.migrations*"]) if "versions" in p),
        *_packages("instruments", "sdl_instruments"),
        *_packages("flows", "sdl_flows"),
    ]
)
