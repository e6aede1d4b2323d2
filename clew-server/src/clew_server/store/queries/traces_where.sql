-- Traces that start in the window and for which a query holds, newest first. TRACE_SETS: what spans decide, as conditions on
-- trace_id; TRACE_CONDITIONS: what is known of whole traces only.
SELECT lower(hex(trace_id)), toUnixTimestamp64Nano(min(traces.start) AS s), greatest(0,toUnixTimestamp64Nano(max(end))-toUnixTimestamp64Nano(s)) AS d,
 sum(spans) AS n, sum(errors) AS e, arraySort(groupUniqArrayArray(services)) AS of_services, (min(first) AS f).1, f.3, f.4
FROM traces WHERE TRACE_SETS
GROUP BY trace_id HAVING s>=NS({from_ns:Int64}) AND s<NS({to_ns:Int64}) AND TRACE_CONDITIONS
ORDER BY s DESC, trace_id DESC LIMIT {limit:UInt64}
