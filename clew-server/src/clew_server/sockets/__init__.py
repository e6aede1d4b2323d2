"""How clew's HTTP ports accept connections and what one connection may take: bounds that hold before any handler runs.

`server.py` starts a port, `accept.py` takes connections and sheds them when descriptors run out, `protocol.py` bounds the
head of a request and the time a connection may do nothing.
"""
