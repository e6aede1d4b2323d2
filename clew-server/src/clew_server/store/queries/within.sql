-- The spans of some operations in some traces.
SELECT hex(trace_id), hex(span_id), hex(parent_id), lower(hex(service)), lower(hex(name)), kind, toUnixTimestamp64Nano(start), duration, status
FROM spans WHERE (service,name) IN OPERATIONS AND (WINDOWS) AND trace_id IN IDS
