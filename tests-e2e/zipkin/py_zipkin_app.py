"""Two services by py-zipkin, one calling the other, which fails: python py_zipkin_app.py URL ENCODING FRONT BACK START_US.

Runs with py-zipkin 1.x (V2_JSON, V2_PROTO3, V1_JSON) and 0.20 (V1_THRIFT). Prints the trace id.
"""

import sys
import threading

import requests
from py_zipkin import Encoding, Kind
from py_zipkin.request_helpers import create_http_headers
from py_zipkin.zipkin import ZipkinAttrs, zipkin_client_span, zipkin_span

url, encoding, front, back, start_us = sys.argv[1:]
start_s = int(start_us) / 1e6
TYPES = {"V2_PROTO3": "application/x-protobuf", "V1_THRIFT": "application/x-thrift"}


def send(body):
    answer = requests.post(
        url, data=body, headers={"Content-Type": TYPES.get(encoding, "application/json")}, timeout=30
    )
    assert answer.status_code == 202, answer.text


def common(service, port):
    return {
        "service_name": service,
        "transport_handler": send,
        "host": "127.0.0.1",
        "port": port,
        "encoding": getattr(Encoding, encoding),
    }


def be_called(headers):
    attrs = ZipkinAttrs(
        headers["X-B3-TraceId"], headers["X-B3-SpanId"], headers["X-B3-ParentSpanId"], headers["X-B3-Flags"], True
    )
    with zipkin_span(
        span_name="post /stock",
        zipkin_attrs=attrs,
        kind=Kind.SERVER,
        timestamp=start_s + 0.07,
        duration=0.03,
        **common(back, 8081),
    ) as span:
        span.update_binary_annotations({"http.status_code": "500", "error": "no stock"})
        with zipkin_span(service_name=back, span_name="look", timestamp=start_s + 0.078125, duration=0.015625):
            pass


with zipkin_span(
    span_name="get /buy",
    kind=Kind.SERVER,
    sample_rate=100.0,
    use_128bit_trace_id=True,
    timestamp=start_s,
    duration=0.1,
    **common(front, 8080),
) as root:
    root.update_binary_annotations({"http.method": "GET", "http.path": "/buy"})
    with zipkin_client_span(service_name=front, span_name="post", timestamp=start_s + 0.0625, duration=0.0625) as call:
        call.add_sa_binary_annotation(8081, back, "127.0.0.1")
        call.add_annotation("queued", start_s + 0.0703125)
        sent = create_http_headers()
        thread = threading.Thread(target=be_called, args=(sent,))
        thread.start()
        thread.join()
    trace_id = root.zipkin_attrs.trace_id
print(trace_id)
