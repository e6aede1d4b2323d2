-- Of some traces the spans for which a condition holds.
SELECT lower(hex(trace_id)), groupUniqArray(lower(hex(span_id))) FROM spans
WHERE H(NS({span_from_ns:Int64}),NS({span_to_ns:Int64})) AND TRACE_SET AND SPAN_CONDITION GROUP BY trace_id
