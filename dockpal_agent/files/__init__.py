"""Files of containers: list, read, write, delete; by the Engine's archive API wherever that gives the right answer.

That works for stopped containers and for images without a shell. What the archive API cannot see or do (a tmpfs, /proc,
deleting) is done by a program of the container's own where one runs, and else refused with the reason.
"""
