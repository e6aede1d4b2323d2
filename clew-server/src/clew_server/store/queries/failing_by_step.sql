-- Of each operation that failed often enough in a time, its steps with calls: the step's number (below 0 before that time), calls and failures; a bit for each kind of span that was counted, where KIND_BIT has one.
-- Names are compared first, which takes a quarter of the time that pairs with services would; what others do under such a name is left out after.
SELECT lower(hex(service)), lower(hex(name)), arraySort(groupArray((step,spans,failed))), groupBitOr(kinds) FROM
 (SELECT service, name, intDiv(toInt64(toUnixTimestamp(t))-{from_s:Int64}+1000*{step_s:Int64},{step_s:Int64})-1000 AS step, sum(red.n) AS spans, sum(errors) AS failed, groupBitOr(KIND_BIT) AS kinds
  FROM red WHERE t>=toDateTime({before_s:UInt32},'UTC') AND t<=toDateTime({to_s:UInt32},'UTC') AND red.n>0 AND SPAN_CONDITIONS AND name IN
   (SELECT name FROM red WHERE t>=toDateTime({from_s:UInt32},'UTC') AND t<=toDateTime({to_s:UInt32},'UTC') AND errors>0 AND SPAN_CONDITIONS
    GROUP BY service, name HAVING sum(errors)>={least:UInt64})
  GROUP BY service, name, step)
GROUP BY service, name HAVING sumIf(failed,step>=0)>={least:UInt64} ORDER BY service, name LIMIT {limit:UInt64}
