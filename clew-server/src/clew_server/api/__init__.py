"""What can be asked over HTTP: dialects over `query.service`, and the UI's files. A dialect translates, it holds no logic.

Start reading at `native.py`.
"""
