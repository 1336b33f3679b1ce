"""What a container needs beyond single Engine calls: lists, lifecycle, figures, logs, safe replacement.

It knows the engine and nothing of the API above it: no request, no status code.
"""
