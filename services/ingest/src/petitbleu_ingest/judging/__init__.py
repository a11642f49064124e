"""What comes in is judged: who sent it (SPF, DKIM, DMARC, ARC), what it carries, and what is to be done with it."""
