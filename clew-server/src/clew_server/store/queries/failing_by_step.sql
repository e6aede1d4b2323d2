-- Of the operations that failed often enough in a time: calls and failures by step, from before that time on (steps below 0).
SELECT lower(hex(service)), lower(hex(name)), intDiv(toInt64(toUnixTimestamp(t))-{from_s:Int64}+1000*{step_s:Int64},{step_s:Int64})-1000 AS step, sum(red.n), sum(errors)
FROM red WHERE t>=toDateTime({before_s:UInt32},'UTC') AND t<=toDateTime({to_s:UInt32},'UTC') AND red.n>0 AND SPAN_CONDITIONS AND (service,name) IN
 (SELECT service, name FROM red WHERE t>=toDateTime({from_s:UInt32},'UTC') AND t<=toDateTime({to_s:UInt32},'UTC') AND errors>0 GROUP BY service, name HAVING sum(errors)>={least:UInt64})
GROUP BY service, name, step ORDER BY service, name, step LIMIT {limit:UInt64}
