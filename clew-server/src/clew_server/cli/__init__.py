"""The server's commands, one file each; they join `clew` by entry point. Reading commands speak HTTP to a running server.

Only `serve` imports the app. Modules stay light at import: `clew --help` loads all of them.
"""
