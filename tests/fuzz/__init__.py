"""Coverage-guided fuzzing of what reads strangers' octets (atheris)."""
