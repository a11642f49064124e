"""The other services and backends, as the gateway reaches them."""
