"""The Autobahn test suite, the judge of the WebSocket side: its fuzzing client against an echoing stream of ours."""
