-- Ids of traces. Not asked by itself: other statements contain it.
WITH min(traces.start) AS s, greatest(0,toUnixTimestamp64Nano(max(end))-toUnixTimestamp64Nano(s)) AS d, sum(spans) AS n, sum(errors) AS e,
 groupUniqArrayArray(services) AS of_services, min(first) AS f
SELECT trace_id FROM traces WHERE TRACE_SETS GROUP BY trace_id HAVING TRACE_CONDITIONS
