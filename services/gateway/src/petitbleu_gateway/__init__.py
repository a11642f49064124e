"""The HTTP doors: JMAP, sessions, downloads and readiness. It keeps nothing durable."""

import petitbleu_kit  # noqa: F401 - before anything imports grpc, whose core it sets up
