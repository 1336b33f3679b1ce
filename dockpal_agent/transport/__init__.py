"""Two ways to be reached: the Server calls in (direct), or the agent calls out (edge).

A transport turns bytes into a `Request` and a `Response` back into bytes. It knows no route and no Docker.
"""
