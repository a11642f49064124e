"""A small internet of network namespaces: two deployments of ours, a Postfix of others, and their DNS."""
