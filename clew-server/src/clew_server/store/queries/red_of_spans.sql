-- The same of spans themselves.
SELECT lower(hex(a)), lower(hex(b)), if(grouping(step)=1,-1,step), count(), countIf(status=2), quantilesExact(0.5,0.95,0.99)(duration) AS levels, levels[1], levels[2], levels[3], round(sum(weight)), round(sumIf(weight,status=2))
FROM (SELECT SERVICE_OR_NONE AS a, VALUE_OF_SPAN AS b, intDiv(toUnixTimestamp64Nano(start)-{from_ns:Int64},{step_ns:Int64}) AS step, status, duration, STANDS_FOR(kept) AS weight
 FROM spans WHERE SPAN_WINDOW AND start!=FRAGMENT AND SPAN_CONDITIONS)
WHERE IS_NAMED GROUP BY GROUPING SETS ((a,b),(a,b,step)) ORDER BY a, b, step LIMIT {limit:UInt64}
