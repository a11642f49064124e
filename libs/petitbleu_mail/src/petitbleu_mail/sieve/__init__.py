"""Sieve (RFC 5228 and its extensions) as a library: no input, no output, no clock.

A script is compiled once (`script.compile_script`) and evaluated for each message (`script.evaluate`) into a list of `actions`,
which delivery carries out. `faults.Limits` bounds both. `docs/sieve.md` tells what there is, and where we differ from Pigeonhole.
"""
