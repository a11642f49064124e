"""gRPC clients of the services that ingest asks."""
