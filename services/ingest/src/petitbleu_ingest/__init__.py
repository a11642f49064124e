"""The door of the platform: ESMTP in, durable messages out."""
