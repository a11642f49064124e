"""What at least three services need. It knows nothing of mail."""

import os

# gRPC's core would write lines of its own among our JSON logs.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
