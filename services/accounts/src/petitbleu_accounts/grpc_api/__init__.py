"""The contract, translated to use cases and back."""
