-- Traces as they are listed: those of some of the newest rows, the newest LIMIT of them as these rows have them, each from all its rows; how many these are,
-- and the start of the newest. No other trace starts after the least of these starts.
SELECT LISTED, count(), toUnixTimestamp64Nano(max(traces.start))
FROM traces WHERE trace_id IN (SELECT trace_id FROM (SELECT trace_id, min(start) AS seen FROM
 (SELECT trace_id, start FROM traces WHERE start>=NS({from_ns:Int64}) AND start<NS({to_ns:Int64}) ORDER BY start DESC LIMIT {rows:UInt64})
 GROUP BY trace_id ORDER BY seen DESC LIMIT {limit:UInt64}))
GROUP BY trace_id ORDER BY ORDER_OF_TRACES
