-- How many spans each resource sent, by the quarters of an hour that hold a time (one of every so many). Reads what schema step 21 counted, not the spans.
SELECT res_key, countMerge(`count()`) AS n FROM mergeTreeProjection(currentDatabase(), spans, resource_counts)
WHERE `toStartOfFifteenMinutes(start)` BETWEEN toDateTime({from_s:Int64},'UTC') AND toDateTime({to_s:Int64},'UTC') AND intDiv(toUnixTimestamp(`toStartOfFifteenMinutes(start)`),900)%{every:UInt32}=0 AND SERVICE_CONDITIONS
GROUP BY res_key ORDER BY n DESC LIMIT {limit:UInt64}
