-- Names of services or operations, or kinds, with how many spans start in these minutes.
SELECT toString(COLUMN) AS v, 0, sum(red.n) AS spans FROM red
WHERE t>=toDateTime({from_s:UInt32},'UTC') AND t<=toDateTime({to_s:UInt32},'UTC') AND red.n>0 AND NAME_CONDITIONS
GROUP BY v HAVING VALUE_CONDITIONS ORDER BY BEGINS DESC, spans DESC, v LIMIT {limit:UInt64}
