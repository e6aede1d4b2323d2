-- Counts and durations of operations in a stretch of time and in the same stretch a day earlier, of all kinds together (-1) and of
-- each kind. Whole minutes are in `red`; of the minute in which the stretch ends the spans before its end are read.
SELECT lower(hex(service)), lower(hex(name)), if(grouping(kind)=1,-1,toInt16(kind)), sum(n), sum(failed), quantilesTDigestMerge(LEVELS)(q)
FROM (SELECT service, name, kind, sum(n) AS n, sum(failed) AS failed, QTMergeState(q) AS q
 FROM (SELECT service, name, kind, n, errors AS failed, q FROM red
  WHERE (service,name) IN OPERATIONS AND (t>=toDateTime({from_s:UInt32},'UTC') AND t<toDateTime({minute_s:UInt32},'UTC')
   OR t>=toDateTime({earlier_from_s:UInt32},'UTC') AND t<toDateTime({earlier_minute_s:UInt32},'UTC'))
  UNION ALL
  SELECT service, name, kind, count() AS n, countIf(status=2) AS failed, QTState(duration) AS q FROM spans
  WHERE (service,name) IN OPERATIONS
   AND (H(NS({minute_ns:Int64}),NS({to_ns:Int64})) OR H(NS({earlier_minute_ns:Int64}),NS({earlier_to_ns:Int64})))
  GROUP BY service, name, kind)
 GROUP BY service, name, kind)
GROUP BY GROUPING SETS ((service, name), (service, name, kind))
