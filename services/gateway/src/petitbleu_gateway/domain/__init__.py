"""Rules without I/O: what a message looks like in JMAP, and how one is made of JMAP."""
