-- Spans, failures and durations of services or operations by step, counted by minute; the row of all steps has -1.
SELECT lower(hex(a)), lower(hex(b)), if(grouping(step)=1,-1,step), sum(spans), sum(failed), quantilesTDigestMerge(0.5,0.9,0.95,0.99)(digest) AS levels, levels[1], levels[3], levels[4], round(sum(stands_for)), round(sum(failed_stand_for))
FROM (SELECT SERVICE_OR_NONE AS a, VALUE_OF_SPAN AS b, toInt64(intDiv(toUnixTimestamp(t)-{from_s:UInt32},{step_s:UInt32})) AS step, red.n AS spans, errors AS failed, q AS digest, estimated AS stands_for, estimated_errors AS failed_stand_for
 FROM red WHERE t>=toDateTime({from_s:UInt32},'UTC') AND t<=toDateTime({to_s:UInt32},'UTC') AND red.n>0 AND SPAN_CONDITIONS)
GROUP BY GROUPING SETS ((a,b),(a,b,step)) ORDER BY a, b, step LIMIT {limit:UInt64}
