SELECT toUInt32(received) AS t, count() FROM spans WHERE toDate(received,'UTC')=toDate({day:String}) GROUP BY t ORDER BY t
