-- Counts and durations of operations in a time and in what is usual beside it: the hour before and the same time a day earlier; a bit for each kind of span that was counted, where KIND_BIT has one.
SELECT lower(hex(service)), lower(hex(name)), sumIf(red.n,is_now), sumIf(red.n,NOT is_now), quantilesTDigestMergeIf(0.5,0.9,0.95,0.99)(q,is_now) AS l, quantilesTDigestMergeIf(0.5,0.9,0.95,0.99)(q,NOT is_now) AS u, groupBitOr(kind_bit)
FROM (SELECT service, name, n, q, KIND_BIT AS kind_bit, t>=toDateTime({from_s:UInt32},'UTC') AS is_now FROM red
 WHERE red.n>0 AND SPAN_CONDITIONS AND (t>=toDateTime({before_s:UInt32},'UTC') AND t<=toDateTime({to_s:UInt32},'UTC')
  OR t>=toDateTime({earlier_from_s:UInt32},'UTC') AND t<=toDateTime({earlier_to_s:UInt32},'UTC'))) AS red
GROUP BY service, name HAVING sumIf(red.n,is_now)>={least:UInt64} AND sumIf(red.n,NOT is_now)>={least:UInt64} LIMIT {limit:UInt64}
