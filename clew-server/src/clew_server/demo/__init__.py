"""The demo: the services `user` and `message` of `examples/`, a load generator, and what `clew demo` needs to run them.

Start reading at `user.py`. The services know nothing of the server: they import `clew`, and this folder beside them.
"""
