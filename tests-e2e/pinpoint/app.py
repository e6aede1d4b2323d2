"""One service that traces with pinpointPy: ROLE NAME HOST:PORT. Prints its port and stays until its input ends.

`front` calls the port in its query; `back` fails.
"""

import sys
import threading
from wsgiref.simple_server import make_server

import pinpointPy
import requests
from flask import Flask, request
from pinpointPy.CommonPlugin import PinpointCommonPlugin
from pinpointPy.Flask import PinPointMiddleWare

role, name, address = sys.argv[1:]
pinpointPy.set_agent(f"{name}-1", name, f"tcp:{address}", -1)
if hasattr(pinpointPy, "use_thread_local_context"):
    pinpointPy.use_thread_local_context()
pinpointPy.monkey_patch_for_pinpoint()
app = Flask(__name__)
app.wsgi_app = PinPointMiddleWare(app, app.wsgi_app)


@app.route("/buy")
def buy():
    requests.get(f"http://127.0.0.1:{request.args['port']}/stock?of=7", timeout=30)
    return "bought"


@PinpointCommonPlugin("look")
def look():
    raise LookupError("no stock")


@app.route("/stock")
def stock():
    look()


server = make_server("127.0.0.1", 0, app)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(f"port {server.server_port}", flush=True)
sys.stdin.read()
