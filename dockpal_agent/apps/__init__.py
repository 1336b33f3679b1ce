"""Apps: projects as the Server shows them, their image checks, updates with a way back, records, feed and schedule.

It knows compose, containers, images and the engine, not the API. An update is proven before the old containers go
(docs/decisions/0014-updates-keep-the-old-containers-until-proven.md).
"""
