"""Who sent a message, as far as the DNS lets one tell: SPF, DMARC, iprev, HELO, and the field that reports it. No I/O of its own."""
