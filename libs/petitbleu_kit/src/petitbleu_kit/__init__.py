"""What at least three services need. It knows nothing of mail.

It sets gRPC's core up, which reads its environment when `grpc` is imported: whoever serves or calls imports this package first.
"""

import os

# Its core would write lines of its own among our JSON logs.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

# Its event engine wakes two more threads for each message than its older polling does, each perhaps on a processor that sleeps (ADR 12).
os.environ.setdefault("GRPC_EXPERIMENTS", "-event_engine_client,-event_engine_listener")
