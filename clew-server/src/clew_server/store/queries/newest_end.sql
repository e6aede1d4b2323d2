-- No span of a trace that starts in the window starts after this.
SELECT count(), toUnixTimestamp64Nano(max(end)) FROM traces
WHERE trace_id IN (SELECT trace_id FROM traces WHERE start>=NS({from_ns:Int64}) AND start<NS({to_ns:Int64}))
