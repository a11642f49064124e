"""The text inside attachments, read in processes that can do nothing else.

It is an adapter of store, because store owns the search terms and nobody else needs this text; the process is a backend like
others: asked over a pipe, bounded, and replaced when it fails. Only `reading` and what it uses run in the worker.
"""
