-- How many spans start in these minutes.
SELECT sum(red.n) FROM red WHERE t>=toDateTime({from_s:UInt32},'UTC') AND t<=toDateTime({to_s:UInt32},'UTC')
