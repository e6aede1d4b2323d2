-- Of the traces that start in the window and have such numbers, those in which some span may have come in more than one request:
-- there are two of one id, kind and start. A start that nobody can mean is placed at the arrival, so it says nothing.
SELECT lower(hex(trace_id)), toUnixTimestamp64Nano(min(traces.start) AS s), greatest(0,toUnixTimestamp64Nano(max(end))-toUnixTimestamp64Nano(s)), sum(spans), sum(errors)
FROM traces WHERE trace_id IN (
 SELECT trace_id FROM spans WHERE SPAN_WINDOW AND start!=FRAGMENT AND trace_id IN (
  SELECT trace_id FROM traces WHERE STARTED
  GROUP BY trace_id HAVING NUMBERS)
 GROUP BY trace_id HAVING count()!=uniqExact(cityHash64(span_id,kind,if(adjusted,0,toUnixTimestamp64Nano(start)))))
GROUP BY trace_id LIMIT {limit:UInt64}
