"""What the decoders of other systems share: their spans become OTLP bytes by the functions of these modules. No I/O.

- `conventions.beside(tags, kind)`: attributes with the standard names, to stand beside tags with older ones
- `conventions.typed(key, text)`: a number for a text, under keys whose standard type is a number
- `conventions.beside_event(fields)`: likewise for the fields of an event or a log
- `conventions.resource_of(tags)`: tags that describe the process, where an OpenTelemetry SDK put them on each span
- `conventions.peer(kind, service, address, port)`: the other side of a call as `peer.service`, `server.address`, `client.address`, …
- `marks.Marks.of(tags)`: status, scope, trace state and links that tags stand for, and the tags that are left
- `marks.is_failed_answer(status, kind)`: what an HTTP status means where no tag says it
- `writing.attributes`, `event`, `span_front`, `span_back`, `span`, `ns_from_us`, `address_text`: values to OTLP bytes
- `json_values.wrong`, `text_of`, `array`: what a value in JSON must be
- `writing.resource(items)`: the bytes of a resource
- `writing.Groups`: spans by resource and scope, and the request of them all
- `writing.batch(groups, received=…, rejected=…)`: what a decoder returns, of what `Groups` holds

A decoder calls `Marks.of`, then `beside`, and writes: the tags that are left, what stands beside them, attributes of its own
named after its system.
"""
