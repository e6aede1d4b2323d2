-- Traces that start in the window, newest first. The inner WHERE looks at partial rows (a superset: the row that
-- holds the trace's start is one of them), the outer HAVING at whole traces.
SELECT lower(hex(trace_id)), toUnixTimestamp64Nano(min(traces.start) AS s), greatest(0,toUnixTimestamp64Nano(max(end))-toUnixTimestamp64Nano(s)) AS d,
 sum(spans), sum(errors), arraySort(groupUniqArrayArray(services)), (min(first) AS f).1, f.3, f.4
FROM traces WHERE trace_id IN (SELECT trace_id FROM traces WHERE start>=NS({from_ns:Int64}) AND start<NS({to_ns:Int64}))
GROUP BY trace_id HAVING s>=NS({from_ns:Int64}) AND s<NS({to_ns:Int64}) AND TRACE_CONDITIONS
ORDER BY s DESC, trace_id DESC LIMIT {limit:UInt64}
