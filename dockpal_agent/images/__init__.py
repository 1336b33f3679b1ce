"""Images: references, credentials, pulls and their progress, update checks, what a host holds and what may go.

It knows the Engine, not the API. A registry's words reach the caller, its passwords never do.
"""
