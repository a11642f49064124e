"""Mail to other servers: entering the queue, sending, keeping what was answered, telling who has to know."""
