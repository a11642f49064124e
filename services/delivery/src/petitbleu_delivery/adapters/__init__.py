"""The peers behind the ports."""
