-- Values of attributes of the resources that sent spans which have no attribute of that name themselves, with their types and about how many of these spans: each
-- resource that sent spans with some set of keys (schema step 21) counts alike. OF_RESOURCE: an array of (text, type).
SELECT one.1 AS v, one.2 AS t, sum(n) AS of_all FROM
 (SELECT res_key, sum(share) AS n FROM
   (SELECT arrayJoin(finalizeAggregation(`groupUniqArray(256)(res_key)`) AS senders) AS res_key, finalizeAggregation(`count()`)/length(senders) AS share
    FROM mergeTreeProjection(currentDatabase(), spans, key_sets)
    WHERE `toStartOfFifteenMinutes(start)` BETWEEN toDateTime({from_s:Int64},'UTC') AND toDateTime({to_s:Int64},'UTC') AND intDiv(toUnixTimestamp(`toStartOfFifteenMinutes(start)`),900)%{every:UInt32}=0 AND SERVICE_CONDITIONS AND NOT HAS_KEY)
  GROUP BY res_key) AS without
INNER JOIN (SELECT res_key, arrayJoin(arrayDistinct(any(OF_RESOURCE))) AS one FROM resources GROUP BY res_key) AS of_resources USING (res_key)
WHERE length(v)<=1024 AND VALUE_CONDITIONS GROUP BY one ORDER BY BEGINS DESC, of_all DESC, v LIMIT {limit:UInt64}
