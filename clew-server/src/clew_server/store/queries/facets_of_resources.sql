-- The same of the attributes of the spans' resources, whose values have no types.
SELECT 'resource', z.1 AS k, z.2 AS v, count() AS traces_with, countIf(has_failed), countIf(is_selected) FROM
 (SELECT DISTINCT trace_id, z FROM
  (SELECT DISTINCT trace_id, res_key FROM spans WHERE SPAN_WINDOW AND start!=FRAGMENT AND SPANS_OF_MEMBERS) AS of_traces
  INNER JOIN (SELECT DISTINCT res_key, arrayJoin(arrayMap((k,v)->(NEWEST_NAME,v),mapKeys(attrs),mapValues(attrs))) AS z FROM resources
   WHERE z.1 NOT IN ('service.name','process.command_args')) AS of_resources USING (res_key)) AS had
INNER JOIN (MEMBERS) AS members USING (trace_id)
GROUP BY z ORDER BY traces_with DESC, v LIMIT {limit:UInt64} BY z.1
