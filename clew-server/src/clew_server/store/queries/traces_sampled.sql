-- Some of the traces that match: those that hold a failed span first, the others in the order of a hash of their ids.
SELECT start_ns, length_ns, has_failed, lower(hex(trace_id)) FROM (MEMBERS) ORDER BY has_failed DESC, sipHash64(trace_id) LIMIT {limit:UInt64}
