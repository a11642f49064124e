"""junior-guard: what reaches a child is decided here, by rules that its guardians set, and nowhere else."""
