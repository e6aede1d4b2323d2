-- Calls, failures and a quantile of durations in the windows before points in time. Point k lies k steps before `to_s`; a minute of
-- `red` counts at each point in whose window it begins.
SELECT lower(hex(service)), lower(hex(name)), k, sum(n), sum(failed), LEVEL
FROM (SELECT service, NAME_OR_NONE AS name, n, errors AS failed, q, toInt64({to_s:UInt32})-toInt64(toUnixTimestamp(t)) AS ago,
  arrayJoin(range(toUInt32(intDiv(greatest(ago-{window_s:Int64},0)+{step_s:Int64}-1,{step_s:Int64})),
   toUInt32(least(intDiv(ago-1,{step_s:Int64}),{points:Int64})+1))) AS k
 FROM red WHERE service IN (SELECT unhex(arrayJoin({services:Array(String)}))) AND has({kinds:Array(UInt8)},kind) AND red.n>0
  AND t>=toDateTime({from_s:UInt32},'UTC') AND t<toDateTime({to_s:UInt32},'UTC'))
GROUP BY service, name, k ORDER BY service, name, k DESC
