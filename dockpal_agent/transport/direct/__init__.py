"""Direct mode: the Server calls in, over HTTPS (or HTTP), WebSocket and SSE.

    server.py        listens, admits connections, stops in order
    connections.py   who is connected and in what state; decides whom to admit, evict, refuse
    handler.py       one connection in its own thread: TLS, request after request, the answer
    wire.py          bytes with deadlines
    head.py          a request's head, strictly (RFC 9112); pure
    body.py          a request's body: length or chunks, with bounds on size of framing and on time
    answer.py        answers as bytes
    websocket.py     the opening handshake and a viewer over WebSocket (RFC 6455, wsproto)
    sse.py           a viewer over server-sent events
    viewer.py        the one loop between a message stream and either viewer
    certificates.py  the certificate on disk; renewal.py keeps it fresh while serving

Knows no route, no token and no Docker. Nothing here is imported in edge mode. The size of thread stacks is the
process's matter (`threading.stack_size`, not below 512 KiB: JSON is decoded in these threads).
"""
