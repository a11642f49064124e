"""Translation between gRPC and the use cases."""
