-- Traces as they are listed. TRACE_SETS: conditions on trace_id, which may keep more traces than are meant and must keep all rows of those;
-- TRACE_CONDITIONS: what is known of whole traces only.
SELECT lower(hex(trace_id)), toUnixTimestamp64Nano(min(traces.start) AS s), greatest(0,toUnixTimestamp64Nano(max(end))-toUnixTimestamp64Nano(s)) AS d,
 sum(spans) AS n, sum(errors) AS e, arraySort(groupUniqArrayArray(services)) AS of_services, (min(first) AS f).1, f.3, f.4
FROM traces WHERE TRACE_SETS
GROUP BY trace_id HAVING TRACE_CONDITIONS
ORDER BY ORDER_OF_TRACES LIMIT {limit:UInt64}
