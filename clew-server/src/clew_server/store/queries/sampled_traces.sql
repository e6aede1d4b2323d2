-- Some traces of one root operation, other than one trace, in the order of a hash of their ids: when they start and end, and
-- how many spans they have.
SELECT lower(hex(trace_id)), toUnixTimestamp64Nano(min(traces.start)), toUnixTimestamp64Nano(max(end)), sum(spans)
FROM traces WHERE trace_id IN (SELECT trace_id FROM spans
 WHERE service=unhex({service:String}) AND name=unhex({name:String}) AND kind={kind:UInt8} AND (parent_id=toFixedString('',8))={is_root:UInt8}
  AND trace_id!=toFixedString(unhex({trace_id:String}),16) AND (WINDOWS)
 GROUP BY trace_id ORDER BY sipHash64(trace_id) LIMIT {limit:UInt64})
GROUP BY trace_id ORDER BY sipHash64(trace_id)
