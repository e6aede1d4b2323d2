-- Traces that start in the window and have one span for which all conditions hold, newest first. Rows of fragments are
-- none: a condition on an event looks for them itself.
SELECT lower(hex(trace_id)), toUnixTimestamp64Nano(min(traces.start) AS s), greatest(0,toUnixTimestamp64Nano(max(end))-toUnixTimestamp64Nano(s)) AS d,
 sum(spans), sum(errors), arraySort(groupUniqArrayArray(services)), (min(first) AS f).1, f.3, f.4
FROM traces WHERE trace_id IN (SELECT trace_id FROM spans WHERE SPAN_WINDOW AND start!=FRAGMENT AND SPAN_CONDITIONS)
GROUP BY trace_id HAVING s>=NS({from_ns:Int64}) AND s<NS({to_ns:Int64}) AND TRACE_CONDITIONS
ORDER BY s DESC, trace_id DESC LIMIT {limit:UInt64}
