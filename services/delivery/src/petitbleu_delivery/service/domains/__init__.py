"""What hosted domains say about their mail: keys and signatures, policies, records."""
