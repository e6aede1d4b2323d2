-- The same of the values of attributes.
SELECT 'span', key, v, COUNTS_OF_TRACES FROM
 (SELECT NEWEST_NAME AS key, v, groupBitmapMergeState(numbers) AS traces FROM
  (SELECT k, v, groupBitmapState(number) AS numbers FROM
   NUMBERED_SPANS
   ARRAY JOIN ks AS k, vs AS v, ts AS t WHERE t IN CATEGORIES AND KEY_CONDITION GROUP BY k, v)
  GROUP BY key, v)
ORDER BY traces_with DESC, v LIMIT {limit:UInt64} BY key LIMIT {rows:UInt64}
