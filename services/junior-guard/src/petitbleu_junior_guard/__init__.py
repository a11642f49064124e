"""junior-guard: what reaches a child is decided here, by rules that its guardians set, and nowhere else."""

import petitbleu_kit  # noqa: F401 - before anything imports grpc, whose core it sets up
