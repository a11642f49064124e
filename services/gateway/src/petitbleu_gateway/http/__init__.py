"""HTTP: connections, the ASGI application and its doors. Translation only."""
