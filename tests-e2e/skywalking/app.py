"""Two services that trace with SkyWalking's agent for Python: grpc|http HOST:PORT FRONT BACK; prints the trace id.

Each service is a process of its own, as the agent has one service for a process: the first starts the second within its call. Both
stay until their input ends. What the agent itself logs goes to stderr.
"""

from __future__ import annotations

import subprocess
import sys
import threading

from skywalking.trace.carrier import Carrier
from skywalking.trace.context import get_context
from skywalking.trace.tags import TagDbInstance, TagDbStatement, TagDbType, TagHttpMethod, TagHttpStatusCode, TagHttpURL

from skywalking import Component, Layer, agent, config

how, address, front, back, *received = sys.argv[1:]
service = back if received else front
config.init(
    agent_collector_backend_services=address,
    agent_protocol=how,
    agent_name=service,
    agent_instance_name=service + "-1",
    agent_collector_heartbeat_period=1,
    agent_meter_reporter_active=how == "grpc",
    agent_meter_reporter_period=1,
    agent_log_reporter_active=False,
    agent_profile_active=how == "grpc",
    agent_collector_get_profile_task_interval=1,
    agent_logging_level="INFO",
    agent_disable_plugins=[".*"],
)
agent.start()


def buy() -> None:
    with get_context().new_entry_span(op="/buy") as entry:
        entry.layer, entry.component = Layer.Http, Component.Flask
        entry.tag(TagHttpMethod("GET"))
        with get_context().new_exit_span(op="/stock", peer="127.0.0.1:8094", component=Component.Requests) as call:
            call.layer = Layer.Http
            call.tag(TagHttpMethod("POST"))
            call.tag(TagHttpURL("http://127.0.0.1:8094/stock?of=7"))
            headers = {item.key: item.val for item in call.inject()}
            other = subprocess.Popen([sys.executable, *sys.argv, headers["sw8"]], stdout=subprocess.PIPE, text=True)
            assert other.stdout is not None
            assert other.stdout.readline() == "done\n"
            call.tag(TagHttpStatusCode(500))
            call.error_occurred = True
        entry.tag(TagHttpStatusCode(502))
        entry.error_occurred = True
    print(entry.context.segment.related_traces[0], flush=True)


def stock() -> None:
    carrier = Carrier()
    for item in carrier:
        if item.key == "sw8":
            item.val = received[0]
    with get_context().new_entry_span(op="/stock", carrier=carrier) as entry:
        entry.layer, entry.component = Layer.Http, Component.Flask
        entry.tag(TagHttpMethod("POST"))
        snapshot = get_context().capture()
        thread = threading.Thread(target=look, args=(snapshot,))
        thread.start()
        thread.join()
        entry.tag(TagHttpStatusCode(500))
        entry.error_occurred = True


def look(snapshot: object) -> None:
    with get_context().new_local_span(op="look") as local:
        get_context().continued(snapshot)
        with get_context().new_exit_span(op="select", peer="db:5432", component=Component.Psycopg) as query:
            query.layer = Layer.Database
            query.tag(TagDbType("PostgreSQL"))
            query.tag(TagDbInstance("shop"))
            query.tag(TagDbStatement("select 1"))
        try:
            raise LookupError("no stock")
        except LookupError:
            local.raised()


if received:
    stock()
    print("done", flush=True)
else:
    buy()
sys.stdin.read()
