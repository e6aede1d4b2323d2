-- Consumers with links: the links say who sent the messages, and only the spans' own bytes have them whole.
SELECT DISTINCT lower(hex(trace_id)), lower(hex(span_id)), lower(hex(parent_id)), toString(service), status
FROM spans WHERE H(NS({below_ns:Int64}),NS({below_to_ns:Int64})) AND kind=5 AND notEmpty(link_traces) LIMIT {limit:UInt64}
