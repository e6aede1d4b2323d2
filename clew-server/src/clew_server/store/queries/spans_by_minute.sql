-- How many spans start in each minute that has some, newest first: what a question about calls would look at.
SELECT toUnixTimestamp(t) AS minute_s, sum(red.n) FROM red
WHERE t>=toDateTime({from_s:UInt32},'UTC') AND t<=toDateTime({to_s:UInt32},'UTC') AND red.n>0 GROUP BY t ORDER BY t DESC
