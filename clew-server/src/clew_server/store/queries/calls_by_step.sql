-- Calls and failures of all operations together, by step, as in `failing_by_step`.
SELECT intDiv(toInt64(toUnixTimestamp(t))-{from_s:Int64}+1000*{step_s:Int64},{step_s:Int64})-1000 AS step, sum(red.n), sum(errors)
FROM red WHERE t>=toDateTime({before_s:UInt32},'UTC') AND t<=toDateTime({to_s:UInt32},'UTC') AND red.n>0 GROUP BY step ORDER BY step
