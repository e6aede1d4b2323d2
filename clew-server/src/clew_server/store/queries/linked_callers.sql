-- The spans of these ids, each a trace's and a span's, 24 bytes in hex.
SELECT DISTINCT lower(hex(trace_id)), lower(hex(span_id)), toString(service), kind, status, toUnixTimestamp64Nano(start)
FROM spans WHERE H(NS({above_ns:Int64}),NS({below_to_ns:Int64})) AND concat(trace_id,span_id) IN SPAN_IDS
