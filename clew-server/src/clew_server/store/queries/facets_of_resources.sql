-- The same of the attributes of the spans' resources, whose values have no types.
SELECT 'resource', NEWEST_NAME AS key, v, groupBitmapMerge(traces) AS traces_with, groupBitmapMerge(failed), groupBitmapMerge(selected) FROM
 (SELECT res_key, groupBitmapState(number) AS traces, groupBitmapStateIf(number,has_failed) AS failed, groupBitmapStateIf(number,is_selected) AS selected FROM
  (SELECT number, has_failed, is_selected, res_key FROM spans
   INNER JOIN (SELECT *, toUInt32(rowNumberInAllBlocks()) AS number FROM (MEMBERS)) AS members USING (trace_id)
   WHERE SPAN_WINDOW AND start!=FRAGMENT AND SPANS_OF_MEMBERS)
  GROUP BY res_key) AS of_spans
INNER JOIN (SELECT DISTINCT res_key, k, v FROM resources ARRAY JOIN mapKeys(attrs) AS k, mapValues(attrs) AS v
 WHERE k NOT IN ('service.name','process.command_args')) AS of_resources USING (res_key)
GROUP BY key, v ORDER BY traces_with DESC, v LIMIT {limit:UInt64} BY key LIMIT {rows:UInt64}
