"""A platform for self-driving laboratories: one YAML file, a durable loop, instruments, planners and models."""

__version__ = "0.1.0"
