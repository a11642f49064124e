"""The door of the platform: ESMTP in, durable messages out."""

import petitbleu_kit  # noqa: F401 - before anything imports grpc, whose core it sets up
